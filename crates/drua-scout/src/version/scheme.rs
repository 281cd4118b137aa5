use std::cmp::Ordering;

use super::{alpm, apk, cran, dpkg, maven, nuget, packagist, pep440, rpm, rubygems, semver};

/// How an ecosystem orders its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Debian and its descendants: `epoch:upstream-revision`.
    Dpkg,
    /// Alpine, Wolfi, Chainguard, Alpaquita.
    Apk,
    /// Everything that uses RPM: `epoch:version-release`.
    Rpm,
    /// Arch Linux.
    Alpm,
    /// SemVer 2.0.0, as npm, Cargo, Hex and Julia use it; read leniently.
    Semver,
    /// SemVer with Go's habits: a `v` or `go` before it, `+incompatible`, pseudo-versions, `go1.21rc2`.
    Go,
    /// SemVer where build metadata counts: Dart's pub.
    Pub,
    /// Python, PEP 440; what it does not allow sorts as `pkg_resources` once did.
    Pep440,
    /// Maven's `ComparableVersion`.
    Maven,
    /// RubyGems' `Gem::Version`.
    RubyGems,
    /// NuGet: SemVer with a fourth number and without letter case.
    NuGet,
    /// PHP's Composer.
    Packagist,
    /// R's `package_version`: numbers between dots and dashes. Haskell's PVP sorts the same way.
    Cran,
    /// Bitnami: SemVer, and a packaging revision after a dash (`1.2.3-4`) that does not make it a pre-release.
    Bitnami,
}

impl Scheme {
    /// The order of an OSV ecosystem, with or without its release (`Debian:12`). `None` for one that this crate does not
    /// know.
    pub fn of_ecosystem(ecosystem: &str) -> Option<Self> {
        let name = ecosystem.split(':').next().unwrap_or(ecosystem);
        Some(match name {
            "Debian" | "Ubuntu" | "Echo" => Self::Dpkg,
            "Alpine" | "Wolfi" | "Chainguard" | "Alpaquita" | "MinimOS" | "CleanStart"
            | "BellSoft Hardened Containers" => Self::Apk,
            "AlmaLinux" | "Rocky Linux" | "Red Hat" | "CentOS" | "Fedora" | "Oracle Linux" | "Amazon Linux" | "SUSE"
            | "openSUSE" | "openEuler" | "Mageia" | "Photon OS" | "Azure Linux" | "Mariner" => Self::Rpm,
            "Arch Linux" => Self::Alpm,
            "npm" | "crates.io" | "Hex" | "Julia" | "SwiftURL" | "GitHub Actions" | "ConanCenter" | "Kubernetes"
            | "VSCode" | "OSS-Fuzz" | "Linux" => Self::Semver,
            "Go" => Self::Go,
            "Pub" => Self::Pub,
            "PyPI" => Self::Pep440,
            "Maven" => Self::Maven,
            "RubyGems" => Self::RubyGems,
            "NuGet" => Self::NuGet,
            "Packagist" => Self::Packagist,
            "CRAN" | "Bioconductor" | "Hackage" | "GHC" => Self::Cran,
            "Bitnami" => Self::Bitnami,
            _ => return None,
        })
    }

    /// What people call it, as evidence says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Alpm => "alpm",
            Self::Semver => "semver",
            Self::Go => "go",
            Self::Pub => "pub",
            Self::Pep440 => "pep440",
            Self::Maven => "maven",
            Self::RubyGems => "rubygems",
            Self::NuGet => "nuget",
            Self::Packagist => "composer",
            Self::Cran => "cran",
            Self::Bitnami => "bitnami",
        }
    }

    /// Compares two versions.
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Dpkg => dpkg::compare(a, b),
            Self::Apk => apk::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
            Self::Alpm => alpm::compare(a, b),
            Self::Semver => semver::compare(a, b),
            Self::Go => semver::compare_go(a, b),
            Self::Pub => semver::compare_pub(a, b),
            Self::Pep440 => pep440::compare(a, b),
            Self::Maven => maven::compare(a, b),
            Self::RubyGems => rubygems::compare(a, b),
            Self::NuGet => nuget::compare(a, b),
            Self::Packagist => packagist::compare(a, b),
            Self::Cran => cran::compare(a, b),
            Self::Bitnami => semver::compare_bitnami(a, b),
        }
    }

    /// Whether the ecosystem would accept this version. Where it would not, [`Scheme::compare`] still answers, but by guess.
    pub fn is_valid(self, version: &str) -> bool {
        match self {
            Self::Dpkg => dpkg::is_valid(version),
            Self::Apk => apk::is_valid(version),
            Self::Rpm | Self::Alpm => !version.is_empty() && !version.contains(char::is_whitespace),
            Self::Semver | Self::Go | Self::Pub | Self::Bitnami => semver::is_valid(version),
            Self::Pep440 => pep440::is_valid(version),
            Self::Maven => !version.is_empty(),
            Self::RubyGems => rubygems::is_valid(version),
            Self::NuGet => nuget::is_valid(version),
            Self::Packagist => packagist::is_valid(version),
            Self::Cran => cran::is_valid(version),
        }
    }
}
