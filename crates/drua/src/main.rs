//! drua: Linux containers and WebAssembly side by side, behind the Docker API.
//!
//! One binary, seven roles. The role is chosen here, before any thread or runtime exists, since the shim has to fork while
//! it has one thread. The seventh role, a container's init, is a fork of the shim and never comes through `main`.

mod precompile;
mod wasm;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use drua_cli::{DaemonArgs, WasmArgs};
use drua_server::{
    DEFAULT_CONFIG_FILE, DaemonConfig, EngineConfig, FileConfig, Proxies, RegistrySettings, Settings, TlsFiles,
};
use drua_types::{Hint as _, error_chain, exit};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The names under which containerd looks for our shim: our own, and those of the shims that it stands in for.
const SHIM_NAMES: [&str; 3] = ["containerd-shim-drua-v1", "containerd-shim-wasmtime-v1", "containerd-shim-wasmedge-v1"];

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let called_as = args.first().and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    let role = args.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    match role {
        _ if SHIM_NAMES.iter().any(|name| called_as == *name) => drua_shim::main(args.into_iter().skip(1)),
        "shim" => drua_shim::main(args.into_iter().skip(2)),
        "wasm-compile" => drua_wasm::compile_main(),
        "scout-scan" => drua_cli::scan_main(),
        "wasm-precompile" => precompile::main(&args[2..]),
        _ if WasmArgs::is_wasm(&args) => ExitCode::from(WasmArgs::parse(&args).map_or_else(|code| code, wasm::main)),
        _ if DaemonArgs::is_daemon(&args) => ExitCode::from(daemon(&args)),
        _ => ExitCode::from(drua_cli::main(args)),
    }
}

fn daemon(args: &[OsString]) -> u8 {
    let args = match DaemonArgs::parse(args) {
        Ok(args) => args,
        Err(code) => return code,
    };
    // Fails when the process leads a session already, which is as good.
    let _ = args.leave_session();
    let loaded = match Loaded::new(args) {
        Ok(loaded) => loaded,
        Err((message, hints)) => return fail(&message, &hints),
    };
    if loaded.args.validate {
        let _ = writeln!(std::io::stdout(), "configuration OK");
        return exit::OK;
    }
    log_to_stderr(&loaded.log_filter());
    let config = match loaded.config() {
        Ok(config) => config,
        Err(message) => return fail(&message, &[]),
    };
    let _ = LOADED.set(loaded);
    match drua_server::run(&config) {
        Ok(()) => exit::OK,
        Err(error) => fail(&error_chain(&error), &error.hints()),
    }
}

/// What the daemon was started with, for reading its configuration again.
static LOADED: OnceLock<Loaded> = OnceLock::new();
/// Changes what is logged.
static LOG: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

fn log_to_stderr(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| "info".into());
    let (filter, handle) = reload::Layer::new(filter);
    let _ = LOG.set(handle);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// Command line and configuration file together.
struct Loaded {
    args: DaemonArgs,
    file: FileConfig,
}

impl Loaded {
    fn new(args: DaemonArgs) -> Result<Self, (String, Vec<String>)> {
        let path = args.config_file.clone().unwrap_or_else(|| DEFAULT_CONFIG_FILE.into());
        let read = FileConfig::read(&path, args.config_file.is_none());
        let checked = read.and_then(|file| file.conflicts(&path, &args.given).map(|()| file));
        let file = checked.map_err(|error| (error_chain(&error), error.hints()))?;
        let loaded = Self { args, file };
        loaded.config().map_err(|message| (message, Vec::new()))?;
        Ok(loaded)
    }

    /// What is logged: the flag, else the file, else `info`.
    fn log_filter(&self) -> String {
        let (args, file) = (&self.args, &self.file);
        if args.debug || (file.debug == Some(true) && !args.given.iter().any(|flag| flag == "log-level")) {
            return "debug".to_owned();
        }
        match file.log_level.as_deref() {
            Some("fatal") => "error".to_owned(),
            Some(level) => level.to_owned(),
            None => args.log_level.clone(),
        }
    }

    fn config(&self) -> Result<DaemonConfig, String> {
        let (args, file) = (&self.args, &self.file);
        let path = |flag: &Path, name: &str, file: &Option<std::path::PathBuf>| {
            let said = args.given.iter().any(|given| given == name);
            absolute(file.as_deref().filter(|_| !said).unwrap_or(flag))
        };
        let text = |flag: &str, file: &Option<String>| file.clone().unwrap_or_else(|| flag.to_owned());
        let defaults = EngineConfig::default();
        let exec_root = path(&args.exec_root, "exec-root", &file.exec_root)?;
        let pools = match args.default_address_pool.as_slice() {
            [] => file.default_address_pools.iter().map(|pool| (pool.base, pool.size)).collect(),
            pools => pools.iter().map(|text| pool(text)).collect::<Result<_, _>>()?,
        };
        let hosts: Vec<String> = args.host.iter().chain(&file.hosts).cloned().collect();
        let mut settings = file.settings();
        settings.debug |= args.debug;
        settings.insecure_registries = [args.insecure_registry.as_slice(), &file.insecure_registries].concat();
        settings.registry_mirrors = [args.registry_mirror.as_slice(), &file.registry_mirrors].concat();
        Ok(DaemonConfig {
            hosts: if hosts.is_empty() {
                vec![format!("unix://{}", exec_root.join("drua.sock").display())]
            } else {
                hosts
            },
            engine: EngineConfig {
                data_root: path(&args.data_root, "data-root", &file.data_root)?,
                exec_root,
                bridge: text(&args.bridge, &file.bridge),
                network_prefix: args.network_prefix.clone().or_else(|| file.network_prefix.clone()),
                address_pools: pools,
                cgroup_parent: args
                    .cgroup_parent
                    .clone()
                    .or_else(|| file.cgroup_parent.clone())
                    .unwrap_or(defaults.cgroup_parent),
                registries: RegistrySettings {
                    insecure: settings.insecure_registries.clone(),
                    mirrors: settings.registry_mirrors.clone(),
                    proxies: Proxies::from_env(),
                    ..defaults.registries
                },
                shim: defaults.shim,
            },
            group: text(&args.group, &file.group),
            settings,
            tls: self.tls()?,
            reload: Some(reload_settings),
        })
    }

    fn tls(&self) -> Result<Option<TlsFiles>, String> {
        let (args, file) = (&self.args, &self.file);
        let verify = args.tlsverify || file.tlsverify == Some(true);
        if !verify && !args.tls && file.tls != Some(true) {
            return Ok(None);
        }
        let either = |flag: &Option<std::path::PathBuf>, file: &Option<std::path::PathBuf>, name: &str| {
            flag.clone().or_else(|| file.clone()).ok_or_else(|| format!("TLS needs `--{name} <file>`"))
        };
        let client_ca = if verify { Some(either(&args.tlscacert, &file.tlscacert, "tlscacert")?) } else { None };
        Ok(Some(TlsFiles {
            client_ca,
            cert: either(&args.tlscert, &file.tlscert, "tlscert")?,
            key: either(&args.tlskey, &file.tlskey, "tlskey")?,
        }))
    }
}

/// On SIGHUP.
fn reload_settings() -> Result<Settings, String> {
    let loaded = LOADED.get().ok_or("the configuration is not known")?;
    let fresh =
        Loaded::new(loaded.args.clone()).map_err(|(message, hints)| [vec![message], hints].concat().join("; "))?;
    let settings = fresh.config()?.settings;
    if let (Some(handle), Ok(filter)) = (LOG.get(), EnvFilter::try_new(fresh.log_filter())) {
        handle.reload(filter).map_err(|error| format!("cannot change the log level: {error}"))?;
    }
    Ok(settings)
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("cannot make `{}` an absolute path: {error}", path.display()))
}

/// `base=<CIDR>,size=<prefix length>`, as dockerd has it.
fn pool(text: &str) -> Result<drua_server::AddressPool, String> {
    let invalid = || format!("invalid address pool `{text}`: expected `base=10.10.0.0/16,size=24`");
    let (mut base, mut size) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => base = value.parse().ok(),
            Some(("size", value)) => size = value.parse().ok(),
            _ => return Err(invalid()),
        }
    }
    base.zip(size).ok_or_else(invalid)
}

fn fail(message: &str, hints: &[String]) -> u8 {
    let mut stderr = std::io::stderr().lock();
    // When stderr is gone there is nobody to tell.
    let _ = writeln!(stderr, "error: {message}");
    for hint in hints {
        let _ = writeln!(stderr, "\nhint: {hint}");
    }
    exit::FAILURE
}
