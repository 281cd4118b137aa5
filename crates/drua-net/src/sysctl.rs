//! Kernel parameters of the calling thread's network namespace.

use std::path::Path;

use crate::NetError;

/// Sets `/proc/sys/<name>`, unless it has that value already (where /proc/sys is read-only, that is enough).
///
/// A parameter that the kernel does not have is left alone: without IPv6 there is nothing to switch off.
pub(crate) fn set(name: &str, value: &str) -> Result<(), NetError> {
    let path = Path::new("/proc/sys").join(name);
    let same = |text: String| text.split_whitespace().eq(value.split_whitespace());
    match fs_err::read_to_string(&path) {
        Ok(text) if same(text.clone()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    fs_err::write(&path, value).map_err(|source| NetError::Sysctl {
        name: name.to_owned(),
        value: value.to_owned(),
        source,
    })
}
