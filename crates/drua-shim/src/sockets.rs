//! Unix sockets that only this user can reach.
//!
//! A socket is a path with mode 0600, never an abstract name: those can be reached from any process in the host's network
//! namespace (CVE-2020-15257). The peer's user id is checked as well, for the case that a path is copied or handed on.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use drua_types::Digest;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{UnixListener, UnixStream};

/// `sun_path` holds 108 bytes with the terminating zero (`unix(7)`).
const MAX_PATH_BYTES: usize = 107;

/// A socket could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind socket `{path}`")]
pub(crate) struct BindError {
    path: PathBuf,
    #[source]
    pub(crate) err: io::Error,
}

/// Listens on `path` with mode 0600.
///
/// The mode is set on the socket before it gets its name, so that there is no moment in which others can connect.
pub(crate) fn bind(path: &Path) -> Result<StdUnixListener, BindError> {
    let bind = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, 128)?;
        Ok(StdUnixListener::from(socket))
    };
    bind().map_err(|err: rustix::io::Errno| BindError { path: path.to_owned(), err: err.into() })
}

/// Waits for the next connection of a process that runs as root or as this user.
pub(crate) async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    let own = rustix::process::geteuid().as_raw();
    loop {
        let (stream, _) = listener.accept().await?;
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == own => return Ok(stream),
            Ok(peer) => tracing::warn!(uid = peer.uid(), "refused a connection of another user"),
            Err(error) => tracing::debug!(%error, "refused a connection without credentials"),
        }
    }
}

/// Where the socket `name` of a container lives: in its bundle, or, when that path is too long for a socket address (as
/// containerd's usually is), in `<directory of the daemon's socket>/s/` under a hash of what identifies the container.
pub(crate) fn path_for(bundle: &Path, name: &str, daemon: &Path, namespace: &str, id: &str) -> PathBuf {
    let near = bundle.join(name);
    if near.as_os_str().len() <= MAX_PATH_BYTES {
        return near;
    }
    let identity = format!("{}\0{namespace}\0{id}\0{name}", daemon.display());
    let directory = daemon.parent().filter(|parent| parent.is_absolute()).unwrap_or(Path::new("/run/drua"));
    directory.join("s").join(&Digest::of(identity.as_bytes()).hex()[..40])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn long_bundles_get_a_short_socket() {
        let near =
            path_for(Path::new("/run/drua/shim/0123"), "shim.sock", Path::new("/run/drua/e.sock"), "drua", "0123");
        assert_eq!(near, Path::new("/run/drua/shim/0123/shim.sock"));
        let bundle = format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{}", "a".repeat(64));
        let daemon = Path::new("/run/containerd/containerd.sock");
        let far = path_for(Path::new(&bundle), "shim.sock", daemon, "k8s.io", "a");
        assert!(far.starts_with("/run/containerd/s") && far.as_os_str().len() < MAX_PATH_BYTES);
        assert_ne!(far, path_for(Path::new(&bundle), "io.sock", daemon, "k8s.io", "a"));
    }

    #[test]
    fn a_socket_is_private_from_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sock");
        let _listener = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(&path).unwrap_err().err.kind(), io::ErrorKind::AddrInUse);
    }
}
