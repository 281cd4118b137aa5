//! Which OS package a file belongs to, and the licences that files beside the database state.

use std::collections::{BTreeMap, HashMap};

use super::Visible;
use crate::facts::{Finding, path_hash};

/// What visible files say about other packages.
pub(crate) struct Owners<'a> {
    names: Vec<&'a str>,
    /// Hash of a path → place in `names`.
    files: HashMap<u64, u32>,
    licenses: BTreeMap<&'a str, &'a [String]>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(visible: &[Visible<'a>]) -> Self {
        let mut owners = Self { names: Vec::new(), files: HashMap::new(), licenses: BTreeMap::new() };
        for finding in visible.iter().flat_map(|file| file.findings) {
            match finding {
                Finding::Owned { package, paths } => {
                    let place = u32::try_from(owners.names.len()).unwrap_or(u32::MAX);
                    owners.names.push(package);
                    owners.files.extend(paths.iter().map(|path| (*path, place)));
                }
                Finding::Licenses { package, licenses } => drop(owners.licenses.insert(package, licenses)),
                Finding::Packages(_)
                | Finding::Distro(_)
                | Finding::Changelog { .. }
                | Finding::Vex(_)
                | Finding::Secret { .. } => {}
            }
        }
        owners
    }

    /// The package that owns a file. Packages built before `/lib` became a link to `/usr/lib` list the old name.
    pub(crate) fn of(&self, path: &str) -> Option<&'a str> {
        let by =
            |path: &str| self.files.get(&path_hash(path)).and_then(|place| self.names.get(*place as usize)).copied();
        if self.files.is_empty() {
            return None;
        }
        by(path).or_else(|| by(path.strip_prefix("/usr").filter(|rest| !rest.is_empty())?))
    }

    pub(crate) fn licenses(&self, package: &str) -> &'a [String] {
        self.licenses.get(package).copied().unwrap_or_default()
    }
}
