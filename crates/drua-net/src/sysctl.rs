//! Kernel parameters of the calling thread's network namespace.

use std::path::Path;

use crate::NetError;

/// Sets `/proc/sys/<name>`, unless it has that value already (where /proc/sys is read-only, that is enough).
///
/// A parameter that the kernel does not have is left alone: without IPv6 there is nothing to switch off.
pub(crate) fn set(name: &str, value: &str) -> Result<(), NetError> {
    let path = Path::new("/proc/sys").join(name);
    match fs_err::read_to_string(&path) {
        Ok(text) if same(&text, value) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    fs_err::write(&path, value).map_err(|source| NetError::Sysctl {
        name: name.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// Whether `/proc/sys/<name>` has this value.
pub(crate) fn is(name: &str, value: &str) -> bool {
    fs_err::read_to_string(Path::new("/proc/sys").join(name)).is_ok_and(|text| same(&text, value))
}

fn same(text: &str, value: &str) -> bool {
    text.split_whitespace().eq(value.split_whitespace())
}
