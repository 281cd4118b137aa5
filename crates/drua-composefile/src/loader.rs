//! The port through which files are read.

use std::io;
use std::path::Path;

/// The largest file that is read, in bytes. Real compose files are a thousand times smaller.
pub(crate) const MAX_FILE_BYTES: u64 = 4 << 20;

/// Where the texts of compose, `.env` and `env_file` files come from.
pub trait Loader {
    /// Reads the whole file at an absolute path.
    ///
    /// # Errors
    /// As `std::fs::read`; [`io::ErrorKind::NotFound`] is what makes a file optional.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// Reads from the file system; refuses what is larger than 4 MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Loader for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use io::Read as _;
        let mut bytes = Vec::new();
        fs_err::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
        }
        Ok(bytes)
    }
}

/// Why a file could not be read, without its path: the messages that this goes into name it already.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}
