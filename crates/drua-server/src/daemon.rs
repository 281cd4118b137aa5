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
use tokio_rustls::TlsAcceptor;

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
    /// What may change while the daemon runs.
    pub settings: drua_engine::Settings,
    /// TLS for TCP hosts; without it they are served in the clear.
    pub tls: Option<crate::TlsFiles>,
    /// Reads the configuration again, on SIGHUP; the error is logged, and the old settings stay.
    pub reload: Option<Reload>,
}

/// Reads the settings anew.
pub type Reload = fn() -> Result<drua_engine::Settings, String>;

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
    #[error("invalid host `{0}`: expected `unix:///absolute/path`, `tcp://address:port` or `fd://`")]
    InvalidHost(String),
    #[error("no sockets were passed to the daemon, but `fd://` asks for them")]
    NoSockets,
    #[error("cannot set up TLS")]
    Tls(#[source] crate::tls::TlsError),

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
            Self::NoSockets => vec!["start `drua.socket` with systemctl, or name another host".to_owned()],
            Self::InvalidHost(_) | Self::Engine(_) | Self::Runtime(_) | Self::Tls(_) => Vec::new(),
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
    drua_engine::raise_open_files();
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
    let tls = config.tls.as_ref().map(crate::TlsFiles::acceptor).transpose().map_err(DaemonError::Tls)?;
    let mut listeners = Vec::new();
    for host in &hosts {
        if host.starts_with("fd://") {
            listeners.extend(Listener::passed()?);
        } else {
            listeners.push(Listener::bind(host, &config.group, tls.as_ref()).await?);
        }
    }
    let engine = Engine::open(config.engine.clone()).await?;
    engine.set_settings(config.settings.clone())?;
    let mut stop = [SignalKind::terminate(), SignalKind::interrupt()]
        .map(|kind| signal(kind).expect("SIGTERM and SIGINT can be handled"));
    tracing::info!(?hosts, "listening");
    let mut tasks = tokio::task::JoinSet::new();
    let mut sockets = Vec::new();
    for listener in listeners {
        sockets.extend(listener.path());
        tasks.spawn(listener.accept(engine.clone()));
    }
    notify("READY=1");
    let [terminate, interrupt] = &mut stop;
    let mut reload = signal(SignalKind::hangup()).expect("SIGHUP can be handled");
    let mut dump = signal(SignalKind::user_defined1()).expect("SIGUSR1 can be handled");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reload.recv() => reload_settings(config, &engine),
            _ = dump.recv() => write_dump(&engine),
        }
    }
    notify("STOPPING=1");
    tracing::info!("stopping; containers go on");
    tasks.shutdown().await;
    for socket in sockets {
        // A socket that is gone already is what we want.
        let _ = fs_err::remove_file(socket);
    }
    Ok(())
}

/// Puts what the configuration file says now in force, as far as a running daemon can.
fn reload_settings(config: &DaemonConfig, engine: &Engine) {
    let Some(reload) = config.reload else { return };
    match reload() {
        Ok(settings) => {
            tracing::info!(?settings, "configuration reloaded");
            if let Err(error) = engine.set_settings(settings) {
                tracing::error!(error = drua_types::error_chain(&error), "the configuration is not reloaded");
            }
        }
        Err(error) => tracing::error!(error, "the configuration is not reloaded"),
    }
}

/// What there is to know about the daemon's inside, for a report of an error: `<exec-root>/debug-<time>.json`.
fn write_dump(engine: &Engine) {
    let containers = engine.containers();
    let states: Vec<_> = containers
        .iter()
        .map(|container| {
            serde_json::json!({
                "id": container.id,
                "name": container.name,
                "status": container.state.status,
                "pid": container.state.pid,
                "exits": container.exits,
                "restarts": container.restart_count,
            })
        })
        .collect();
    let metrics = tokio::runtime::Handle::current().metrics();
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let dump = serde_json::json!({
        "time": jiff::Timestamp::now().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "settings": format!("{:?}", engine.settings()),
        "config": format!("{:?}", engine.config()),
        "containers": states,
        "volumes": engine.volumes().len(),
        "tasks": metrics.num_alive_tasks(),
        "files": std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        "status": text("/proc/self/status"),
    });
    let path = engine.config().exec_root.join(format!("debug-{}.json", jiff::Timestamp::now().as_millisecond()));
    match std::fs::write(&path, format!("{dump:#}\n")) {
        Ok(()) => tracing::info!(path = %path.display(), "debug dump written"),
        Err(error) => tracing::error!(path = %path.display(), %error, "cannot write the debug dump"),
    }
}

/// Tells systemd (`sd_notify(3)`); nobody else listens.
fn notify(state: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

enum Listener {
    Unix(UnixListener, PathBuf),
    /// From systemd, which keeps the socket when the daemon ends.
    Passed(UnixListener),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

impl Listener {
    /// The sockets that systemd has opened for us (`sd_listen_fds(3)`).
    fn passed() -> Result<Vec<Self>, DaemonError> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut listeners = Vec::new();
        let failed = |source| DaemonError::Listen { address: "fd://".to_owned(), source };
        for index in 0..passed.len() {
            if let Ok(Some(listener)) = passed.take_unix_listener(index) {
                listener.set_nonblocking(true).map_err(failed)?;
                listeners.push(Self::Passed(UnixListener::from_std(listener).map_err(failed)?));
            } else if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
                listener.set_nonblocking(true).map_err(failed)?;
                listeners.push(Self::Tcp(TcpListener::from_std(listener).map_err(failed)?, None));
            }
        }
        if listeners.is_empty() { Err(DaemonError::NoSockets) } else { Ok(listeners) }
    }

    async fn bind(host: &str, group: &str, tls: Option<&TlsAcceptor>) -> Result<Self, DaemonError> {
        let listen = |source| DaemonError::Listen { address: host.to_owned(), source };
        if let Some(path) = host.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(bind_unix(Path::new(path), group).await?, path.into()));
        }
        let address: SocketAddr = host
            .strip_prefix("tcp://")
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| DaemonError::InvalidHost(host.to_owned()))?;
        if !address.ip().is_loopback() && tls.is_none() {
            tracing::warn!(%address, "everybody who reaches this address is root on this machine");
        }
        Ok(Self::Tcp(TcpListener::bind(address).await.map_err(listen)?, tls.cloned()))
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(_, path) => Some(path.clone()),
            Self::Passed(_) | Self::Tcp(..) => None,
        }
    }

    async fn accept(self, engine: Engine) {
        loop {
            let result = match &self {
                Self::Unix(listener, _) | Self::Passed(listener) => {
                    listener.accept().await.map(|(stream, _)| spawn(engine.clone(), stream))
                }
                Self::Tcp(listener, None) => listener.accept().await.map(|(stream, _)| spawn(engine.clone(), stream)),
                Self::Tcp(listener, Some(tls)) => {
                    listener.accept().await.map(|(stream, _)| handshake(engine.clone(), tls.clone(), stream))
                }
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

/// A client that does not finish its handshake in this time is dropped.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);

/// Serves one connection after the TLS handshake.
fn handshake(engine: Engine, tls: TlsAcceptor, stream: tokio::net::TcpStream) {
    tokio::spawn(async move {
        match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => spawn(engine, stream),
            Ok(Err(error)) => tracing::info!(%error, "TLS handshake failed"),
            Err(_) => tracing::info!("TLS handshake took too long"),
        }
    });
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
