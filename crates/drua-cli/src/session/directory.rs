//! A directory with an OCI layout as the tar that the daemon loads.

use std::io::{self, PipeReader, Read};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Reads a tar of a directory's image files while a thread writes it.
pub(crate) struct DirectoryArchive {
    pipe: PipeReader,
    writer: Option<JoinHandle<io::Result<()>>>,
}

/// Begins to archive the layout in `dir`: its documents and its blobs, nothing else that may lie there.
///
/// # Errors
/// When `dir` has neither `index.json` nor `manifest.json`.
pub(crate) fn archive_layout(dir: &Path) -> io::Result<DirectoryArchive> {
    let files = files(dir)?;
    let dir = dir.to_owned();
    let (pipe, sink) = io::pipe()?;
    let writer = std::thread::spawn(move || {
        let mut tar = tar::Builder::new(io::BufWriter::with_capacity(256 << 10, sink));
        for name in files {
            let mut file = fs_err::File::open(dir.join(&name))?;
            let size = file.metadata()?.len();
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(size);
            // Never more than its header says, even if it grows meanwhile.
            tar.append_data(&mut header, &name, (&mut file).take(size))?;
        }
        io::Write::flush(&mut tar.into_inner()?)
    });
    Ok(DirectoryArchive { pipe, writer: Some(writer) })
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    let blobs = Path::new("blobs/sha256");
    if dir.join(blobs).is_dir() {
        for entry in fs_err::read_dir(dir.join(blobs))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(blobs.join(entry.file_name()));
            }
        }
    }
    files.sort();
    let documents = ["oci-layout", "index.json", "manifest.json"].map(PathBuf::from);
    let documents: Vec<PathBuf> = documents.into_iter().filter(|name| dir.join(name).is_file()).collect();
    if !documents.iter().any(|name| name.as_path() != Path::new("oci-layout")) {
        let message = format!("the directory `{}` is not an OCI layout: it has no index.json", dir.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    files.extend(documents);
    Ok(files)
}

impl Read for DirectoryArchive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(buffer)?;
        if read == 0
            && let Some(writer) = self.writer.take()
        {
            // The daemon would only see that the archive is cut short; here is why.
            writer.join().unwrap_or_else(|_| Err(io::Error::other("archiving the directory panicked")))?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_layout_is_archived() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert!(archive_layout(dir.path()).is_err());
        fs_err::create_dir_all(dir.path().join("blobs/sha256")).expect("create");
        for name in ["index.json", "oci-layout", "blobs/sha256/abc", "secret.txt"] {
            fs_err::write(dir.path().join(name), name).expect("write");
        }
        let mut archive = tar::Archive::new(archive_layout(dir.path()).expect("a layout"));
        let paths: Vec<String> = archive
            .entries()
            .expect("a tar")
            .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
            .collect();
        assert_eq!(paths, ["blobs/sha256/abc", "oci-layout", "index.json"]);
    }
}
