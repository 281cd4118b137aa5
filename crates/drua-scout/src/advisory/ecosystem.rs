//! From packages to the keys of the database: which ecosystem, with which release, under which name.

use crate::model::{Distro, PackageKind};

/// Whether a distribution's advisories can be looked up at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Under this ecosystem, release included: `Debian:12`.
    Ecosystem(String),
    /// drua knows no advisories for it; why.
    Unsupported(String),
}

/// The OSV ecosystem of a kind of package that no distribution answers for. None for kinds without one.
pub fn of_kind(kind: PackageKind) -> Option<&'static str> {
    Some(match kind {
        PackageKind::Cargo => "crates.io",
        PackageKind::Composer => "Packagist",
        PackageKind::Conan => "ConanCenter",
        PackageKind::Gem => "RubyGems",
        // Bitnami's database is about programs, whoever built them.
        PackageKind::Generic => "Bitnami",
        PackageKind::Github => "GitHub Actions",
        PackageKind::Golang => "Go",
        PackageKind::Hex => "Hex",
        PackageKind::Maven => "Maven",
        PackageKind::Npm => "npm",
        PackageKind::Nuget => "NuGet",
        PackageKind::Pub => "Pub",
        PackageKind::Pypi => "PyPI",
        PackageKind::Swift => "SwiftURL",
        PackageKind::Apk
        | PackageKind::Alpm
        | PackageKind::Deb
        | PackageKind::Rpm
        | PackageKind::Cocoapods
        | PackageKind::Oci
        | PackageKind::Wasm => return None,
    })
}

/// The ecosystem of a distribution's packages.
pub fn of_distro(distro: &Distro) -> Coverage {
    let version = distro.version_id.as_str();
    let major = version.split('.').next().unwrap_or_default();
    let minor = || version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let found = match distro.id.as_str() {
        "debian" if !major.is_empty() => format!("Debian:{major}"),
        "debian" | "raspbian" => match debian_release(&distro.codename) {
            Some(release) => format!("Debian:{release}"),
            None => "Debian:unstable".to_owned(),
        },
        "ubuntu" => format!("Ubuntu:{version}"),
        // Between two releases `VERSION_ID` is `3.21_alpha20240807`.
        "alpine" if version.contains("alpha") || version.is_empty() => "Alpine:edge".to_owned(),
        "alpine" => format!("Alpine:v{}", minor()),
        "wolfi" => "Wolfi".to_owned(),
        "chainguard" => "Chainguard".to_owned(),
        "alpaquita" => format!("Alpaquita:{version}"),
        "almalinux" => format!("AlmaLinux:{major}"),
        "rocky" => format!("Rocky Linux:{major}"),
        "rhel" | "centos" | "redhat" => format!("Red Hat:{major}"),
        "ol" => format!("Oracle Linux:{major}"),
        "amzn" => format!("Amazon Linux:{version}"),
        "sles" | "sle_hpc" | "sles_sap" => format!("SUSE:{version}"),
        "opensuse-leap" => format!("openSUSE:{version}"),
        "opensuse-tumbleweed" => "openSUSE:Tumbleweed".to_owned(),
        "openEuler" | "openeuler" => format!("openEuler:{version}"),
        "mageia" => format!("Mageia:{version}"),
        "photon" => format!("Photon OS:{version}"),
        "azurelinux" | "mariner" => format!("Azure Linux:{major}"),
        "arch" | "archarm" => "Arch Linux".to_owned(),
        "echo" => "Echo".to_owned(),
        "minimos" => "MinimOS".to_owned(),
        "" => return Coverage::Unsupported("its os-release names no distribution".to_owned()),
        id => return Coverage::Unsupported(format!("drua knows no source of advisories for `{id}`")),
    };
    Coverage::Ecosystem(found)
}

/// Debian's releases by codename, for systems whose `os-release` has no number (and for lists that only know codenames).
pub(super) fn debian_release(codename: &str) -> Option<&'static str> {
    Some(match codename.split('/').next().unwrap_or_default() {
        "sarge" => "3.1",
        "etch" => "4",
        "lenny" => "5",
        "squeeze" => "6",
        "wheezy" => "7",
        "jessie" => "8",
        "stretch" => "9",
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        "duke" => "15",
        "sid" | "unstable" => "unstable",
        _ => return None,
    })
}

/// A feed's ecosystem in the one spelling that keys have: `Ubuntu:Pro:22.04:LTS` is `Ubuntu:22.04`. And whether it is a
/// paid channel.
pub(super) fn key_of_feed(ecosystem: &str) -> (String, bool) {
    let mut parts = ecosystem.split(':');
    let name = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    match name {
        "Ubuntu" => {
            let paid =
                rest.iter().any(|part| matches!(*part, "Pro" | "FIPS" | "FIPS-preview" | "FIPS-updates" | "Realtime"));
            let release = rest.iter().find(|part| part.starts_with(|c: char| c.is_ascii_digit()));
            (format!("Ubuntu:{}", release.copied().unwrap_or_default()), paid)
        }
        // `Red Hat:enterprise_linux:9::baseos`, `Red Hat:rhel_eus:9.2::appstream`.
        "Red Hat" => match rest.as_slice() {
            [product, release, ..] if product.starts_with("enterprise_linux") => {
                (format!("Red Hat:{}", release.split('.').next().unwrap_or_default()), false)
            }
            _ => (ecosystem.to_owned(), true),
        },
        // `SUSE:Linux Enterprise Server 15 SP5`, `openSUSE:Leap 15.5`.
        "SUSE" | "openSUSE" => (format!("{name}:{}", suse_release(&rest.join(":"))), false),
        "Debian" if rest.is_empty() => ("Debian:unstable".to_owned(), false),
        _ => (ecosystem.to_owned(), false),
    }
}

fn suse_release(text: &str) -> String {
    if text.contains("Tumbleweed") {
        return "Tumbleweed".to_owned();
    }
    let number = text.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default();
    match text.split_once(" SP") {
        Some((_, pack)) => {
            let digits: String = pack.chars().take_while(char::is_ascii_digit).collect();
            format!("{number}.{digits}")
        }
        None => number.to_owned(),
    }
}

/// A package's name as keys have it: where an ecosystem takes several spellings for one name, there is one here.
pub fn normalized_name(ecosystem: &str, name: &str) -> String {
    match ecosystem.split(':').next().unwrap_or_default() {
        "PyPI" => {
            let mut normal = String::with_capacity(name.len());
            for c in name.chars() {
                match c {
                    // PEP 503.
                    '-' | '_' | '.' if normal.ends_with('-') => {}
                    '-' | '_' | '.' => normal.push('-'),
                    c => normal.extend(c.to_lowercase()),
                }
            }
            normal
        }
        "NuGet" | "Packagist" | "Hex" | "Pub" | "GitHub Actions" | "SwiftURL" | "Bitnami" => name.to_lowercase(),
        _ => name.to_owned(),
    }
}
