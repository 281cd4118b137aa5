//! What one layer says by itself, before layers are merged: the unit that is cached by digest.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{Distro, Note, Package, RelationKind};

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// It records packages.
    Packages(Vec<FoundPackage>),
    /// It is `os-release`.
    Distro(Distro),
    /// It lists which files an OS package owns: the hashes of their paths (see [`path_hash`]).
    Owned {
        /// The package's name.
        package: String,
        /// Sorted.
        paths: Vec<u64>,
    },
    /// It states licences of an OS package.
    Licenses {
        /// The package's name.
        package: String,
        /// Names of licences.
        licenses: Vec<String>,
    },
    /// It is a changelog that names vulnerabilities which the distribution has dealt with.
    Changelog {
        /// The source or binary package's name, as the path has it.
        package: String,
        /// CVE ids, sorted.
        ids: Vec<String>,
    },
    /// It is an OpenVEX document, verbatim.
    Vex(String),
    /// It looks like a credential; the value itself is not recorded.
    Secret {
        /// Which rule it matched, `private-key` for example.
        rule: String,
        /// 1-based.
        line: u32,
    },
}

/// A package within a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPackage {
    /// The package; its locations are not filled in yet.
    pub package: Package,
    /// Where in the file: the path inside an archive, after `!`. Empty for the file itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub inside: String,
    /// 1-based line, in text files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Packages of the same file that it needs or holds, by their places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<(RelationKind, usize)>,
    /// Names of packages, of any file, that it needs: dpkg's and apk's dependencies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

impl FoundPackage {
    /// A package of the file itself.
    pub fn new(package: Package) -> Self {
        Self { package, inside: String::new(), line: None, relations: Vec::new(), needs: Vec::new() }
    }
}

/// A file with something to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Absolute path, without `.` and `..`.
    pub path: String,
    /// What it says.
    pub findings: Vec<Finding>,
}

/// Everything that a layer says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LayerFacts {
    /// Files with findings, sorted by path. A file that could say something and does not is listed with none: it hides
    /// what lower layers say under its name.
    pub files: Vec<FileFacts>,
    /// Paths that this layer removes from those below it, sorted.
    pub whiteouts: Vec<String>,
    /// Directories of which this layer hides all that lies below, sorted.
    pub opaque: Vec<String>,
    /// What could not be read.
    pub notes: Vec<Note>,
    /// Bytes of regular files.
    pub size: u64,
    /// Files, directories, links and others.
    pub entries: u64,
    /// Hashes of all paths, sorted; the lowest bit says that it is a directory. Travels beside the document.
    #[serde(skip)]
    pub hashes: Vec<u64>,
}

/// A path with the hashes of itself and of all directories above it, to be looked for in many layers.
#[derive(Debug)]
pub(crate) struct Hashed<'a> {
    path: &'a str,
    own: u64,
    above: Vec<(&'a str, u64)>,
}

impl<'a> Hashed<'a> {
    pub(crate) fn new(path: &'a str) -> Self {
        let above = ancestors(path).filter(|dir| !dir.is_empty()).map(|dir| (dir, path_hash(dir))).collect();
        Self { path, own: path_hash(path), above }
    }

    /// Every hash by which a layer could hide the path.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = u64> {
        [self.own, self.own | 1].into_iter().chain(self.above.iter().map(|(_, hash)| *hash))
    }
}

impl LayerFacts {
    /// Whether this layer takes a path of a lower layer out of sight: by a file of that name, by a file in place of a
    /// directory above it, or by a whiteout.
    pub(crate) fn hides(&self, path: &Hashed<'_>) -> bool {
        let has = |hash: u64| self.hashes.binary_search(&hash).is_ok();
        path.hashes().any(has) || self.removes(path)
    }

    /// Whether a whiteout of this layer removes the path.
    pub(crate) fn removes(&self, path: &Hashed<'_>) -> bool {
        let listed = |list: &[String], path: &str| list.binary_search_by(|entry| entry.as_str().cmp(path)).is_ok();
        let is_empty = self.whiteouts.is_empty() && self.opaque.is_empty();
        !is_empty
            && (listed(&self.whiteouts, path.path)
                || path.above.iter().any(|(dir, _)| listed(&self.whiteouts, dir) || listed(&self.opaque, dir))
                || listed(&self.opaque, ""))
    }
}

/// The directories above a path, the nearest first, without the root's name.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rfind('/').map(|at| &path[..at]), |dir| dir.rfind('/').map(|at| &dir[..at]))
}

/// Stands for a path: the first bytes of its SHA-256, the lowest bit zero. Cryptographic, since a layer that could
/// choose a path with the hash of another one could hide that one.
pub fn path_hash(path: &str) -> u64 {
    let hash = Sha256::digest(path.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(bytes) & !1
}
