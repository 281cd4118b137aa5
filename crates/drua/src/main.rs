//! drua: Linux containers and WebAssembly side by side, behind the Docker API.
//!
//! One binary, six roles. The role is chosen here, before any thread or runtime exists, since the shim has to fork while
//! it has one thread. The sixth role, a container's init, is a fork of the shim and never comes through `main`.

mod precompile;
mod wasm;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use drua_cli::{DaemonArgs, WasmArgs};
use drua_server::{DaemonConfig, EngineConfig, Proxies, RegistrySettings};
use drua_types::{Hint as _, error_chain, exit};

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
    log_to_stderr(&args.log_level);
    let config = match config(args) {
        Ok(config) => config,
        Err(message) => return fail(&message, &[]),
    };
    match drua_server::run(&config) {
        Ok(()) => exit::OK,
        Err(error) => fail(&error_chain(&error), &error.hints()),
    }
}

fn log_to_stderr(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

fn config(args: DaemonArgs) -> Result<DaemonConfig, String> {
    if let Some(path) = &args.config {
        return Err(format!(
            "cannot read the configuration `{}`: configuration files are not supported yet",
            path.display()
        ));
    }
    let hosts = args.hosts().iter().map(ToString::to_string).collect();
    let defaults = EngineConfig::default();
    Ok(DaemonConfig {
        engine: EngineConfig {
            data_root: absolute(&args.data_root)?,
            exec_root: absolute(&args.exec_root)?,
            bridge: args.bridge,
            network_prefix: args.network_prefix,
            address_pools: args.default_address_pool.iter().map(|text| pool(text)).collect::<Result<_, _>>()?,
            cgroup_parent: args.cgroup_parent.unwrap_or(defaults.cgroup_parent),
            registries: RegistrySettings {
                insecure: args.insecure_registry,
                mirrors: args.registry_mirror,
                proxies: Proxies::from_env(),
                ..defaults.registries
            },
            shim: defaults.shim,
        },
        hosts,
        group: args.group,
    })
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
