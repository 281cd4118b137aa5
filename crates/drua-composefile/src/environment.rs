//! The variables that a project sees while it is loaded: the process environment over `.env`.

use std::collections::BTreeMap;

/// Variables by name; the process environment wins over `.env` files (compose-spec 12-interpolation.md).
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub(crate) process: BTreeMap<String, String>,
    pub(crate) dotenv: BTreeMap<String, String>,
}

impl Environment {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.process.get(name).or_else(|| self.dotenv.get(name)).map(String::as_str)
    }
}
