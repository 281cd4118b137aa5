//! Where the programs under test are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The workspace's root directory.
#[must_use]
pub fn workspace() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this crate stands two levels below the workspace's root")
}

/// The built `drua`: `$DRUA_BIN`, or the release binary of this workspace.
///
/// # Errors
///
/// Fails when it has not been built: `make test` builds it before the tests.
pub fn drua() -> Result<PathBuf> {
    let path = match env::var_os("DRUA_BIN") {
        Some(path) => PathBuf::from(path),
        None => target_dir().join("release/drua"),
    };
    ensure!(path.is_file(), "no `{}`; build it with `cargo build --release -p drua`", path.display());
    Ok(path)
}

/// Cargo's target directory.
#[must_use]
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// Finds a program on `PATH`.
#[must_use]
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}

/// Real image archives for tests: `$DRUA_TEST_DATA`, or `shared/data` beside the workspace.
///
/// # Errors
///
/// Fails when neither has `name`.
pub fn test_data(name: &str) -> Result<PathBuf> {
    let dir = match env::var_os("DRUA_TEST_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => workspace().join("../shared/data"),
    };
    let path = dir.join(name);
    path.is_file().then_some(path).with_context(|| format!("no test data `{name}` in `{}`", dir.display()))
}
