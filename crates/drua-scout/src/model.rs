//! The vocabulary that catalogers, formats and matching share: packages, where they lie, and the document they make.
//!
//! The types derive serde because a document travels from the confined scanner to its parent and rests in the cache; what
//! users read are the formats of [`crate::sbom`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::purl::Purl;

/// The ecosystem a package belongs to, which decides its purl type, its version order and its advisories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// Alpine, Wolfi, Chainguard: apk.
    Apk,
    /// Arch Linux: pacman.
    Alpm,
    /// Debian, Ubuntu: dpkg. opkg's packages too.
    Deb,
    /// Red Hat, SUSE and their families: rpm.
    Rpm,
    /// Rust crates.
    Cargo,
    /// PHP: Composer.
    Composer,
    /// C and C++: Conan.
    Conan,
    /// Swift and Objective-C: CocoaPods.
    Cocoapods,
    /// Ruby.
    Gem,
    /// Server programs and interpreters that no package manager installed, recognised by a version string.
    Generic,
    /// GitHub actions.
    Github,
    /// Go modules, the standard library (`stdlib`) among them.
    Golang,
    /// Erlang and Elixir.
    Hex,
    /// Java.
    Maven,
    /// JavaScript.
    Npm,
    /// .NET.
    Nuget,
    /// Container images.
    Oci,
    /// Dart.
    Pub,
    /// Python.
    Pypi,
    /// Swift packages.
    Swift,
    /// WebAssembly modules and components, and the interfaces they ask for.
    Wasm,
}

impl PackageKind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 21] = [
        Self::Apk,
        Self::Alpm,
        Self::Deb,
        Self::Rpm,
        Self::Cargo,
        Self::Composer,
        Self::Conan,
        Self::Cocoapods,
        Self::Gem,
        Self::Generic,
        Self::Github,
        Self::Golang,
        Self::Hex,
        Self::Maven,
        Self::Npm,
        Self::Nuget,
        Self::Oci,
        Self::Pub,
        Self::Pypi,
        Self::Swift,
        Self::Wasm,
    ];

    /// The type in a purl, `deb` for example. What has no registered type is `generic`.
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Wasm => "generic",
            kind => kind.name(),
        }
    }

    /// The name in tables and filters (`--only-package-type`): the purl type, and `wasm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Alpm => "alpm",
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Cargo => "cargo",
            Self::Composer => "composer",
            Self::Conan => "conan",
            Self::Cocoapods => "cocoapods",
            Self::Gem => "gem",
            Self::Generic => "generic",
            Self::Github => "github",
            Self::Golang => "golang",
            Self::Hex => "hex",
            Self::Maven => "maven",
            Self::Npm => "npm",
            Self::Nuget => "nuget",
            Self::Oci => "oci",
            Self::Pub => "pub",
            Self::Pypi => "pypi",
            Self::Swift => "swift",
            Self::Wasm => "wasm",
        }
    }

    /// Whether a distribution's package manager installs this kind: its advisories are the distribution's.
    pub fn is_os(self) -> bool {
        matches!(self, Self::Apk | Self::Alpm | Self::Deb | Self::Rpm)
    }
}

impl fmt::Display for PackageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no kind of package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a type of package")]
pub struct UnknownKind(String);

impl FromStr for PackageKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == wanted)
            .ok_or_else(|| UnknownKind(text.chars().take(80).collect()))
    }
}

/// The source package from which a distribution built a binary package; distributions' advisories name this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Name, `openssl` for example.
    pub name: String,
    /// Version in the distribution's spelling; the binary package's where the database names none.
    pub version: String,
}

/// Where a package was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// Absolute path in the image (`/usr/lib/…`), or relative to the scanned directory with a leading `/`. Parts inside
    /// an archive or a component follow after `!`: `/app.jar!BOOT-INF/lib/x.jar`.
    pub path: String,
    /// Index into [`Sbom::layers`] of the layer that brought the package in its present version: for a database that
    /// later layers rewrite that is the layer of the change, not of the last writing. None without layers.
    pub layer: Option<usize>,
    /// 1-based line of the entry, in lock files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// How a package was recognised, from the surest to the least sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// A package manager's own record of what it installed.
    Installed,
    /// Data that a compiler or linker embedded in the binary.
    Embedded,
    /// A lock or manifest file: what would be installed.
    Declared,
    /// A version string among a program's bytes.
    Classified,
    /// Another tool's document said so.
    Stated,
}

/// One package of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Full name in the ecosystem's own spelling: `@scope/name`, `group:artifact`, `github.com/a/b`, `vendor/name`;
    /// Python names as their authors write them (matching normalises).
    pub name: String,
    /// Version in the ecosystem's spelling, epoch and revision included. May be empty when it is not known.
    pub version: String,
    /// Its ecosystem.
    pub kind: PackageKind,
    /// The vendor part of an OS package's purl: `debian`, `alpine`, `redhat`. None for others.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Architecture in the package manager's spelling: `amd64`, `x86_64`, `noarch`.
    #[serde(default)]
    pub arch: Option<String>,
    /// The source package, when the database names one that differs, or always for rpm and apk.
    #[serde(default)]
    pub source: Option<SourcePackage>,
    /// Licences as stated, expressions of SPDX or free text, in the order of the document.
    #[serde(default)]
    pub licenses: Vec<String>,
    /// Where it was seen, sorted; at least one, unless another SBOM named none.
    #[serde(default)]
    pub locations: Vec<Location>,
    /// How it was recognised.
    pub evidence: Evidence,
    /// Name of the cataloger: `dpkg`, `go-binary`, …
    pub found_by: String,
    /// Who ships it, as the database says (RPM's vendor, dpkg's origin or maintainer): third-party repositories show.
    #[serde(default)]
    pub vendor: Option<String>,
    /// Common Platform Enumeration 2.3 names, for what has no purl type of its own.
    #[serde(default)]
    pub cpes: Vec<String>,
    /// Index into [`Sbom::packages`] of the OS package that owns this one's files: the distribution answers for it.
    #[serde(default)]
    pub owner: Option<usize>,
    /// Further purl qualifiers (`epoch`, `modularitylabel`, `classifier`, …), and for packages of other SBOMs theirs.
    #[serde(default)]
    pub qualifiers: BTreeMap<String, String>,
    /// What no common field has a place for, by name: `go.main`, `wasm.import`, `description`, `homepage`, `sha1`.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}

impl Package {
    /// A package with these four and nothing else.
    pub fn new(kind: PackageKind, name: &str, version: &str, evidence: Evidence, found_by: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            kind,
            namespace: None,
            arch: None,
            source: None,
            licenses: Vec::new(),
            locations: Vec::new(),
            evidence,
            found_by: found_by.to_owned(),
            vendor: None,
            cpes: Vec::new(),
            owner: None,
            qualifiers: BTreeMap::new(),
            details: BTreeMap::new(),
        }
    }

    /// Name and version of the source package, the package's own where none is known.
    pub fn source_or_self(&self) -> (&str, &str) {
        self.source.as_ref().map_or((&self.name, &self.version), |source| (&source.name, &source.version))
    }

    /// The index of the layer that brought it, from the first location that has one.
    pub fn layer(&self) -> Option<usize> {
        self.locations.iter().find_map(|location| location.layer)
    }

    /// The package URL (`pkg:deb/debian/bash@5.2?arch=amd64&distro=debian-12`), by the rules of its type.
    pub fn purl(&self, distro: Option<&Distro>) -> Purl {
        Purl::of(self, distro)
    }
}

/// The distribution of an image, from `os-release`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Distro {
    /// `ID`: `debian`, `alpine`, `rhel`, `wolfi`.
    pub id: String,
    /// `ID_LIKE`, in order.
    #[serde(default)]
    pub id_like: Vec<String>,
    /// `VERSION_ID`: `12`, `3.20.3`, `9.4`; empty for rolling distributions and Debian's unstable.
    #[serde(default)]
    pub version_id: String,
    /// `VERSION_CODENAME`: `bookworm`. From `PRETTY_NAME` where Debian's unstable has nothing else.
    #[serde(default)]
    pub codename: String,
    /// `PRETTY_NAME`.
    #[serde(default)]
    pub pretty_name: String,
    /// `CPE_NAME`, which Red Hat's family states.
    #[serde(default)]
    pub cpe: Option<String>,
}

/// One layer of an image, the lowest first; instructions without a layer are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Layer {
    /// `sha256:…` of the uncompressed tar (`rootfs.diff_ids`).
    pub diff_id: String,
    /// `sha256:…` of the blob as it is stored, when known.
    #[serde(default)]
    pub digest: Option<String>,
    /// The instruction as the history has it: `RUN /bin/sh -c apt-get update`. Empty when unknown.
    #[serde(default)]
    pub created_by: String,
    /// Position in the configuration's `history`.
    #[serde(default)]
    pub history_index: Option<usize>,
    /// Dockerfile and 1-based line, when a provenance or a Dockerfile at hand says so.
    #[serde(default)]
    pub dockerfile_line: Option<u32>,
    /// Bytes of the files in it, uncompressed.
    #[serde(default)]
    pub size: u64,
    /// Files, links and directories in it.
    #[serde(default)]
    pub entries: u64,
}

/// What kind of thing was scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// An image, whichever way it was read.
    #[default]
    Image,
    /// A directory.
    Directory,
    /// The file system of a container.
    Container,
    /// A single file.
    File,
    /// Another SBOM.
    Sbom,
}

/// What was scanned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Target {
    /// What it is.
    pub kind: TargetKind,
    /// As the user said it, without the prefix: `alpine:3.20`, `./app`.
    pub name: String,
    /// Digest of the manifest, when known.
    #[serde(default)]
    pub digest: Option<String>,
    /// Digest of the configuration: the image id.
    #[serde(default)]
    pub image_id: Option<String>,
    /// `linux/amd64`.
    #[serde(default)]
    pub platform: Option<String>,
    /// RFC 3339 time of creation, as the configuration has it.
    #[serde(default)]
    pub created: Option<String>,
    /// Bytes of the layers' files.
    #[serde(default)]
    pub size: u64,
    /// The configuration's `User`; empty means root.
    #[serde(default)]
    pub user: String,
    /// The configuration's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest, `org.opencontainers.image.base.name` among them.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Every name the image has: `docker.io/library/alpine:3.20`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The configuration's history, `created_by` of every instruction, those without a layer too.
    #[serde(default)]
    pub history: Vec<String>,
    /// Predicate types of the attestations beside the image.
    #[serde(default)]
    pub attestations: Vec<String>,
}

/// How serious a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// Worth knowing; nothing is missing.
    Info,
    /// Something could not be read: packages may be missing. `--exit-code` counts it.
    Incomplete,
}

/// Something about the scan that the reader of the document has to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// How serious.
    pub kind: NoteKind,
    /// The file it is about, if one.
    pub path: Option<String>,
    /// A sentence without a period, control characters already replaced.
    pub text: String,
}

/// How two packages are related.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    /// `from` needs `to`.
    DependsOn,
    /// `from` holds `to` inside itself: a jar in a jar, a module in a component.
    Contains,
}

/// An edge between two packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relation {
    /// Index into [`Sbom::packages`].
    pub from: usize,
    /// Index into [`Sbom::packages`].
    pub to: usize,
    /// How.
    pub kind: RelationKind,
}

/// Everything that is known about one target: the input of formats, matching and policy.
///
/// Packages are sorted (kind, name, version, arch, locations) and unique, so that equal inputs give equal documents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sbom {
    /// What was scanned.
    pub target: Target,
    /// Its distribution, if it has one.
    #[serde(default)]
    pub distro: Option<Distro>,
    /// Its layers, the lowest first. Empty for directories and other SBOMs.
    #[serde(default)]
    pub layers: Vec<Layer>,
    /// Its packages.
    pub packages: Vec<Package>,
    /// Edges between them, sorted.
    #[serde(default)]
    pub relations: Vec<Relation>,
    /// What could not be read, and what else the reader has to know, sorted.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// Evidence inside the image for matching, by path: Debian changelogs' CVE ids per package (`changelog:<package>` →
    /// ids), and VEX documents (`vex:<path>` → text).
    #[serde(default)]
    pub evidence: BTreeMap<String, Vec<String>>,
}

impl Distro {
    /// For people: its pretty name, else id and version.
    pub fn title(&self) -> String {
        match (self.pretty_name.as_str(), self.version_id.as_str()) {
            ("", "") => self.id.clone(),
            ("", version) => format!("{} {version}", self.id),
            (pretty, _) => pretty.to_owned(),
        }
    }
}

impl Sbom {
    /// Keeps only some packages; edges and owners that point at others go with those.
    pub fn keep_packages(&mut self, mut keep: impl FnMut(&Package) -> bool) {
        let mut places = Vec::with_capacity(self.packages.len());
        let mut kept = 0;
        for package in &self.packages {
            let is_kept = keep(package);
            places.push(is_kept.then_some(kept));
            kept += usize::from(is_kept);
        }
        let mut flags = places.iter();
        self.packages.retain(|_| flags.next().is_some_and(Option::is_some));
        let place = |old: usize| places.get(old).copied().flatten();
        for package in &mut self.packages {
            package.owner = package.owner.and_then(place);
        }
        let relations = self.relations.iter();
        self.relations = relations
            .filter_map(|relation| {
                Some(Relation { from: place(relation.from)?, to: place(relation.to)?, kind: relation.kind })
            })
            .collect();
    }
}
