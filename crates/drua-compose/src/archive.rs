//! Tar archives for the engine: small ones in memory, folders as a stream that is made while it is sent.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use drua_api::client::RequestBody;
use tokio::sync::mpsc;

use crate::files::Injected;

/// How much of a streamed archive is sent at once.
const CHUNK_BYTES: usize = 256 << 10;

/// An archive of texts; folders above them are the container's own business.
pub(crate) fn of_files(files: &[Injected]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(file.uid);
        header.set_gid(file.gid);
        let path = file.path.trim_start_matches('/');
        archive.append_data(&mut header, path, file.content.as_bytes()).expect("memory takes every archive");
    }
    archive.into_inner().expect("memory takes every archive")
}

/// One entry of an archive: where it comes from and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) source: PathBuf,
    /// Relative, with slashes.
    pub(crate) name: PathBuf,
}

/// Who owns the entries of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Root, and times and modes as they are.
    Root,
    /// This user and group.
    Is(u64, u64),
}

/// A request body with these files, folders and links, and texts that are no files here. What vanishes meanwhile is left out.
pub(crate) fn stream(entries: Vec<Entry>, owner: Owner, texts: Vec<(String, Vec<u8>)>) -> RequestBody {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    let failed = sender.clone();
    tokio::task::spawn_blocking(move || {
        let writer = io::BufWriter::with_capacity(CHUNK_BYTES, Channel(sender));
        let mut archive = tar::Builder::new(writer);
        archive.follow_symlinks(false);
        let written = entries.iter().try_for_each(|entry| append(&mut archive, &entry.source, &entry.name, owner));
        let written = written.and_then(|()| {
            texts.iter().try_for_each(|(name, text)| {
                let mut header = tar::Header::new_gnu();
                header.set_mode(0o644);
                header.set_size(text.len() as u64);
                archive.append_data(&mut header, name, text.as_slice())
            })
        });
        let finished = written.and_then(|()| archive.into_inner()).and_then(|mut writer| writer.flush());
        if let Err(error) = finished {
            // Whoever reads sees that the archive broke off; when nobody reads, nobody has to know.
            let _ = failed.blocking_send(Err(error));
        }
    });
    RequestBody::from_stream(futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    }))
}

fn append<W: Write>(archive: &mut tar::Builder<W>, source: &Path, name: &Path, owner: Owner) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    let (uid, gid) = match owner {
        Owner::Root => (0, 0),
        Owner::Is(uid, gid) => (uid, gid),
    };
    header.set_uid(uid);
    header.set_gid(gid);
    if metadata.is_symlink() {
        header.set_size(0);
        return archive.append_link(&mut header, name, std::fs::read_link(source)?);
    }
    if metadata.is_dir() {
        return archive.append_data(&mut header, name, io::empty());
    }
    if !metadata.is_file() {
        // Sockets, pipes and devices are no part of a context.
        return Ok(());
    }
    let file = match fs_err::File::open(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    // A file that grows or shrinks while it is read must not break the archive: its size is what the header says.
    let size = metadata.len();
    let padded = io::Read::chain(file, io::repeat(0));
    header.set_size(size);
    archive.append_data(&mut header, name, io::Read::take(padded, size))
}

/// A file or folder of this machine as an archive, under this name or its own.
///
/// # Errors
/// When there is no such path, or a folder cannot be listed.
pub fn copy_archive(source: &Path, name: Option<&str>) -> io::Result<RequestBody> {
    let metadata = fs_err::symlink_metadata(source)?;
    // `folder/.` means what is in it.
    let contents_only = source.to_string_lossy().ends_with("/.");
    let own =
        fs_err::canonicalize(source)?.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = PathBuf::from(if contents_only { String::new() } else { name.map_or(own, str::to_owned) });
    let mut entries = Vec::new();
    if !contents_only {
        entries.push(Entry { source: source.to_owned(), name: name.clone() });
    }
    let mut open = if metadata.is_dir() { vec![(source.to_owned(), name)] } else { Vec::new() };
    while let Some((folder, name)) = open.pop() {
        for item in fs_err::read_dir(&folder)? {
            let item = item?;
            let name = name.join(item.file_name());
            if item.file_type()?.is_dir() {
                open.push((item.path(), name.clone()));
            }
            entries.push(Entry { source: item.path(), name });
        }
    }
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(stream(entries, Owner::Root, Vec::new()))
}

/// Unpacks what the engine sent of a container's path: into a folder that is there, else under the target's name.
///
/// # Errors
/// When the archive is broken or leads out of the target, or a file cannot be written.
pub fn unpack_copy(archive: &[u8], path: &str, target: &Path) -> io::Result<()> {
    let name = path.trim_end_matches("/.").trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if target.is_dir() {
        return tar::Archive::new(archive).unpack(target);
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = folder.join(format!(".drua-cp-{}", std::process::id()));
    fs_err::create_dir(&temporary)?;
    let moved =
        tar::Archive::new(archive).unpack(&temporary).and_then(|()| fs_err::rename(temporary.join(name), target));
    fs_err::remove_dir_all(&temporary)?;
    moved
}

/// The blocking end of a channel.
struct Channel(mpsc::Sender<io::Result<Bytes>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
