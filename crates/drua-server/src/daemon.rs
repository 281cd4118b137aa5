//! The daemon role: configuration, the lock that makes it the only one on its data root, sockets, signals.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use drua_engine::{Engine, EngineConfig};
use drua_types::Hint;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::router;

/// How a daemon is set up.
#[derive(Debug, Clone)]
pub struct DaemonConfig {
    /// The engine's part.
    pub engine: EngineConfig,
    /// Where to listen: `unix:///path` or `tcp://address:port`. Empty: `unix://<exec-root>/drua.sock`.
    pub hosts: Vec<String>,
    /// The group that may use unix sockets, besides root. Default `drua`; ignored when there is no such group.
    pub group: String,
}

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum DaemonError {
    #[error("another drua daemon (pid {pid}) uses the data root `{}`", root.display())]
    AlreadyRunning { root: PathBuf, pid: String },
    #[error("another daemon listens on `{}`", .0.display())]
    SocketInUse(PathBuf),
    #[error("cannot {action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot listen on `{address}`")]
    Listen {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("invalid host `{0}`: expected `unix:///absolute/path` or `tcp://address:port`")]
    InvalidHost(String),
    #[error("the data root `{}` has a character that overlay mounts cannot hold: `:`, `,`, `\\` or a control character", .0.display())]
    DataRoot(PathBuf),
    #[error("cannot open the engine")]
    Engine(#[from] drua_engine::Error),
    #[error("cannot start the async runtime")]
    Runtime(#[source] std::io::Error),
    #[error("the daemon needs root")]
    NotRoot,
}

impl Hint for DaemonError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::AlreadyRunning { .. } => {
                vec!["use the running daemon, or give this one `--data-root` and `--exec-root` of its own".to_owned()]
            }
            Self::SocketInUse(_) => vec!["choose another socket with `--host unix:///path`".to_owned()],
            Self::NotRoot => vec!["start it with `sudo drua daemon`".to_owned()],
            Self::Io { .. } | Self::Listen { .. } => {
                vec!["check that the directory exists, is writable and has space left".to_owned()]
            }
            Self::DataRoot(_) => vec!["choose another directory with `--data-root`".to_owned()],
            Self::InvalidHost(_) | Self::Engine(_) | Self::Runtime(_) => Vec::new(),
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT. Containers go on running after it has ended.
///
/// # Errors
/// [`DaemonError`] when it cannot start.
pub fn run(config: &DaemonConfig) -> Result<(), DaemonError> {
    if !rustix::process::geteuid().is_root() {
        return Err(DaemonError::NotRoot);
    }
    // Files of the daemon are its own; what containers and layers need is set explicitly.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if !can_be_mounted(&config.engine.data_root) {
        return Err(DaemonError::DataRoot(config.engine.data_root.clone()));
    }
    let _lock = lock(&config.engine.data_root)?;
    // One thread routes, waits and answers; whatever takes time runs on the blocking pool. Fewer threads, less memory and
    // no hand-over between cores for requests that take microseconds.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DaemonError::Runtime)?;
    runtime.block_on(serve(config))
}

/// Whether layers below a path can be named in the options of an overlay mount, where `:` and `,` separate and `\` escapes.
fn can_be_mounted(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains(|c: char| matches!(c, ':' | ',' | '\\') || c.is_control()))
}

/// Makes this daemon the only one on a data root, for as long as the file is open; the kernel frees it on any death.
fn lock(root: &Path) -> Result<File, DaemonError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| DaemonError::Io { action, path, source }
    };
    fs_err::create_dir_all(root).map_err(io("create", root))?;
    let path = root.join("daemon.lock");
    let mut file =
        File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(io("open", &path))?;
    if file.try_lock().is_err() {
        let pid = std::fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
        return Err(DaemonError::AlreadyRunning { root: root.to_owned(), pid });
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io("write", &path))?;
    Ok(file)
}

async fn serve(config: &DaemonConfig) -> Result<(), DaemonError> {
    let exec_root = &config.engine.exec_root;
    fs_err::create_dir_all(exec_root).map_err(|source| DaemonError::Io {
        action: "create",
        path: exec_root.clone(),
        source,
    })?;
    let hosts = match config.hosts.as_slice() {
        [] => vec![format!("unix://{}", exec_root.join("drua.sock").display())],
        hosts => hosts.to_vec(),
    };
    let mut listeners = Vec::new();
    for host in &hosts {
        listeners.push(Listener::bind(host, &config.group).await?);
    }
    let engine = Engine::open(config.engine.clone()).await?;
    let mut stop = [SignalKind::terminate(), SignalKind::interrupt()]
        .map(|kind| signal(kind).expect("SIGTERM and SIGINT can be handled"));
    tracing::info!(?hosts, "listening");
    let mut tasks = tokio::task::JoinSet::new();
    let mut sockets = Vec::new();
    for listener in listeners {
        sockets.extend(listener.path());
        tasks.spawn(listener.accept(engine.clone()));
    }
    let [terminate, interrupt] = &mut stop;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; containers go on");
    tasks.shutdown().await;
    for socket in sockets {
        // A socket that is gone already is what we want.
        let _ = fs_err::remove_file(socket);
    }
    Ok(())
}

enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    async fn bind(host: &str, group: &str) -> Result<Self, DaemonError> {
        let listen = |source| DaemonError::Listen { address: host.to_owned(), source };
        if let Some(path) = host.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(bind_unix(Path::new(path), group).await?, path.into()));
        }
        let address: SocketAddr = host
            .strip_prefix("tcp://")
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| DaemonError::InvalidHost(host.to_owned()))?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "everybody who reaches this address is root on this machine");
        }
        Ok(Self::Tcp(TcpListener::bind(address).await.map_err(listen)?))
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(_, path) => Some(path.clone()),
            Self::Tcp(_) => None,
        }
    }

    async fn accept(self, engine: Engine) {
        loop {
            let result = match &self {
                Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| spawn(engine.clone(), stream)),
                Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| spawn(engine.clone(), stream)),
            };
            if let Err(error) = result {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of descriptors, most likely: leave the others time to close some.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Binds a unix socket for root and the group, over a socket that nobody listens on any more.
async fn bind_unix(path: &Path, group: &str) -> Result<UnixListener, DaemonError> {
    let io = |action| {
        let path = path.to_owned();
        move |source| DaemonError::Io { action, path, source }
    };
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent).map_err(io("create the directory of"))?;
    }
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        if UnixStream::connect(path).await.is_ok() {
            return Err(DaemonError::SocketInUse(path.to_owned()));
        }
        fs_err::remove_file(path).map_err(io("remove the stale socket"))?;
    }
    let listener = UnixListener::bind(path)
        .map_err(|source| DaemonError::Listen { address: format!("unix://{}", path.display()), source })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(io("set the mode of"))?;
    if let Some(gid) = group_id(group) {
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(io("set the group of"))?;
    }
    Ok(listener)
}

/// The id of a group in /etc/group, or of a number.
fn group_id(group: &str) -> Option<u32> {
    if let Ok(id) = group.parse() {
        return Some(id);
    }
    let text = std::fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// Serves one connection. Hijacked ones live on in the tasks that took them over.
fn spawn(engine: Engine, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let engine = engine.clone();
            // A task of its own: a client that hangs up must not stop a creation half-way.
            async move { tokio::spawn(router::serve(engine, request)).await }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_roots_fit_into_mount_options() {
        for (path, fits) in
            [("/var/lib/drua", true), ("/a b/é", true), ("/a:b", false), ("/a,b", false), ("/a\\b", false)]
        {
            assert_eq!(can_be_mounted(Path::new(path)), fits, "{path}");
        }
    }
}
