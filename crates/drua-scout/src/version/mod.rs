//! The order of versions, each ecosystem's own.
//!
//! Every order here is total and never fails: a package manager's database holds what it holds, and "cannot compare" must not
//! become "not affected". [`Scheme::is_valid`] tells whether a version is one that its ecosystem would accept; where it is
//! not, a finding says that the comparison was a guess.
//!
//! The orders were checked against the programs that define them (dpkg, apk-tools, rpm, pacman, npm's `semver`, Python's
//! `packaging`, Maven's `ComparableVersion`, RubyGems, PHP's Composer); see docs/scout-database.md for the figures.

mod alpm;
mod apk;
mod cran;
mod dpkg;
mod maven;
mod nuget;
mod packagist;
mod pep440;
mod rpm;
mod rubygems;
mod scan;
mod scheme;
mod semver;
#[cfg(test)]
mod tests;

pub use scheme::Scheme;
