//! Which runtime a name means: drua's own, or a shim of containerd's kind that somebody else has made.
//!
//! | name                                       | what runs the container                                                  |
//! |--------------------------------------------|--------------------------------------------------------------------------|
//! | a key of `runtimes` in daemon.json         | what it says there                                                       |
//! | (empty), `drua`, `runc`, `crun`            | drua                                                                     |
//! | `wasmtime`, `io.containerd.wasmedge.v1`, … | drua, as WebAssembly                                                     |
//! | `io.containerd.<name>.<version>`           | `containerd-shim-<name>-<version>` on PATH; without it drua, for `runc`  |
//! | an absolute path                           | that shim                                                                |

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::{CodedOutputStream, Message as _};
use containerd_shim_protos::shim::oci::Options as RuncOptions;
use drua_types::{Flavor, ForeignShim, ShimOptions};
use serde_json::{Map, Value};

use crate::container::{Container, Hull};
use crate::engine::Shared;
use crate::{Error, Result};

/// The shim that runs OCI runtimes like crun.
const RUNC_SHIM: &str = "io.containerd.runc.v2";
/// Names that mean drua's own, which a configuration cannot change.
pub const RESERVED: [&str; 2] = ["drua", "runc"];
/// Where shims are looked for besides the daemon's PATH.
const PATHS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One of `runtimes` in daemon.json: an OCI runtime by its path, or a shim by its type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtime {
    /// Program with runc's command line; empty for a shim.
    pub path: PathBuf,
    /// What is put before its arguments.
    pub args: Vec<String>,
    /// `io.containerd.<name>.<version>`, or the absolute path of a shim; empty for a program.
    pub shim: String,
    /// Options of the shim, by their names in its protobuf message.
    pub options: Map<String, Value>,
}

/// Who runs a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// drua; as WebAssembly, when a flavor was asked for.
    Own(Option<Flavor>),
    /// Somebody else's shim.
    Foreign(Foreign),
}

/// Somebody else's shim, before its options are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    program: PathBuf,
    /// The runtime's type, which decides the message of its options.
    kind: String,
    runtime: Runtime,
}

/// Resolves a runtime's name.
///
/// # Errors
/// [`Error::Invalid`] when there is no such runtime here.
pub(crate) fn choose(name: &str, known: &BTreeMap<String, Runtime>) -> Result<Choice> {
    if let Some(runtime) = known.get(name) {
        let kind = if runtime.shim.is_empty() { RUNC_SHIM } else { &runtime.shim };
        let program = program(kind).ok_or_else(|| missing(name, kind))?;
        return Ok(Choice::Foreign(Foreign { program, kind: kind.to_owned(), runtime: runtime.clone() }));
    }
    let own = Flavor::from_runtime(name);
    if let Ok(Some(flavor @ (Flavor::Wasmtime | Flavor::WasmEdge))) = own {
        return Ok(Choice::Own(Some(flavor)));
    }
    let foreign = program(name).filter(|_| name != "io.containerd.drua.v1");
    match (foreign, own) {
        (Some(program), _) => {
            Ok(Choice::Foreign(Foreign { program, kind: name.to_owned(), runtime: Runtime::default() }))
        }
        (None, Ok(flavor)) => Ok(Choice::Own(flavor)),
        (None, Err(_)) => Err(missing(name, name)),
    }
}

/// The shim of a container that somebody else's runs; `None` when it is drua's own.
///
/// # Errors
/// When the runtime has gone since the container was created.
pub(crate) fn foreign(shared: &Shared, container: &Container) -> Result<Option<Foreign>> {
    if matches!(container.hull, Hull::Wasm(_)) {
        return Ok(None);
    }
    match choose(&container.host.runtime, &shared.settings().runtimes)? {
        Choice::Foreign(foreign) => Ok(Some(foreign)),
        Choice::Own(_) => Ok(None),
    }
}

/// Whether a name can be a runtime here, given those of the configuration.
///
/// # Errors
/// [`Error::Invalid`] says what is missing.
pub fn check(name: &str, known: &BTreeMap<String, Runtime>) -> Result<()> {
    choose(name, known).map(drop)
}

/// Shims on PATH, as runtime names, with the path of each.
pub fn installed() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for dir in search_path() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let parts = name.strip_prefix("containerd-shim-").and_then(|rest| rest.rsplit_once("-v"));
            if let Some((kind, version)) = parts.filter(|(kind, _)| *kind != "drua") {
                found.entry(format!("io.containerd.{kind}.v{version}")).or_insert_with(|| entry.path());
            }
        }
    }
    found
}

impl Foreign {
    /// What the container's bundle says of it. `dir` is the bundle, where a program with arguments gets a script. Blocking.
    pub(crate) fn pack(&self, dir: &Path) -> Result<ForeignShim> {
        let mut shim = ForeignShim::new(self.program.clone());
        let is_runc =
            self.kind == RUNC_SHIM || self.program.file_name().is_some_and(|name| name == "containerd-shim-runc-v2");
        let text = |name: &str| option(&self.runtime.options, name).and_then(Value::as_str).map(str::to_owned);
        if is_runc {
            let flag = |name: &str| option(&self.runtime.options, name).and_then(Value::as_bool).unwrap_or_default();
            let binary = match self.runtime.path.as_os_str().is_empty() {
                true => text("BinaryName").unwrap_or_default(),
                false => wrapper(dir, &self.runtime)?,
            };
            let options = RuncOptions {
                no_pivot_root: flag("NoPivotRoot"),
                no_new_keyring: flag("NoNewKeyring"),
                shim_cgroup: text("ShimCgroup").unwrap_or_default(),
                binary_name: binary,
                root: text("Root").unwrap_or_default(),
                systemd_cgroup: flag("SystemdCgroup"),
                criu_image_path: text("CriuImagePath").unwrap_or_default(),
                criu_work_path: text("CriuWorkPath").unwrap_or_default(),
                ..RuncOptions::default()
            };
            let packed = options.write_to_bytes().map_err(|error| Error::Invalid(error.to_string()))?;
            shim.options = Some(ShimOptions { type_url: "containerd.runc.v1.Options".to_owned(), value: packed });
        } else if !self.runtime.options.is_empty() {
            // runtimeoptions.v1.Options: all fields are texts, but for the last, which is bytes and written the same.
            let fields = [(1, "TypeUrl"), (2, "ConfigPath"), (3, "ConfigBody")];
            let mut value = Vec::new();
            let mut stream = CodedOutputStream::vec(&mut value);
            let written = fields.iter().try_for_each(|(number, name)| match text(name) {
                Some(text) => stream.write_string(*number, &text),
                None => Ok(()),
            });
            written.and_then(|()| stream.flush()).map_err(|error| Error::Invalid(error.to_string()))?;
            drop(stream);
            shim.options = Some(ShimOptions { type_url: "runtimeoptions.v1.Options".to_owned(), value });
        }
        Ok(shim)
    }
}

/// Options are found as Go finds them: by name, whatever the case.
fn option<'a>(options: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    options.iter().find(|(key, _)| key.replace('_', "").eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The program, or a script that puts its arguments first, as Docker does.
fn wrapper(dir: &Path, runtime: &Runtime) -> Result<String> {
    if runtime.args.is_empty() {
        return Ok(runtime.path.display().to_string());
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let args: Vec<String> = runtime.args.iter().map(|arg| quoted(arg)).collect();
    let script = format!("#!/bin/sh\nexec {} {} \"$@\"\n", quoted(&runtime.path.display().to_string()), args.join(" "));
    let path = dir.join("runtime.sh");
    let write = || {
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
    };
    write().map_err(Error::io("write", &path))?;
    Ok(path.display().to_string())
}

/// The shim's program: an absolute path, or what `io.containerd.<name>.<version>` means on PATH.
fn program(kind: &str) -> Option<PathBuf> {
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if kind.starts_with('/') {
        return Some(PathBuf::from(kind)).filter(|path| executable(path));
    }
    let (rest, version) = kind.rsplit_once('.')?;
    let (prefix, name) = rest.rsplit_once('.')?;
    let plain = |text: &str| !text.is_empty() && !text.contains('/');
    if prefix.is_empty() || !plain(name) || !plain(version) {
        return None;
    }
    let file = format!("containerd-shim-{name}-{version}");
    search_path().into_iter().map(|dir| dir.join(&file)).find(|path| executable(path))
}

fn search_path() -> Vec<PathBuf> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&own).filter(|dir| dir.is_absolute()).collect();
    dirs.extend(std::env::split_paths(PATHS));
    dirs
}

fn missing(name: &str, kind: &str) -> Error {
    let name: String = name.chars().take(80).collect();
    let parts: Vec<&str> = kind.rsplitn(3, '.').collect();
    let hint = match parts[..] {
        _ if kind.starts_with('/') => format!(": there is no program `{kind}`"),
        [version, shim, _] => format!(": there is no `containerd-shim-{shim}-{version}` on PATH"),
        _ => String::new(),
    };
    Error::Invalid(format!("unknown or invalid runtime name: {name}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_runtime() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let shim = dir.path().join("containerd-shim-x-v1");
        std::fs::write(&shim, "").expect("write");
        std::fs::set_permissions(&shim, std::fs::Permissions::from_mode(0o755)).expect("set mode");
        let shim_path = shim.display().to_string();
        let configured = Runtime { shim: shim_path.clone(), ..Runtime::default() };
        let known = BTreeMap::from([("mine".to_owned(), configured.clone())]);
        let own = |flavor| Choice::Own(flavor);
        for (name, expected) in [
            ("", own(None)),
            ("drua", own(None)),
            ("runc", own(None)),
            ("wasmtime", own(Some(Flavor::Wasmtime))),
            ("io.containerd.wasmedge.v1", own(Some(Flavor::WasmEdge))),
            ("mine", Choice::Foreign(Foreign { program: shim.clone(), kind: shim_path.clone(), runtime: configured })),
            (
                &shim_path,
                Choice::Foreign(Foreign {
                    program: shim.clone(),
                    kind: shim_path.clone(),
                    runtime: Runtime::default(),
                }),
            ),
        ] {
            assert_eq!(choose(name, &known).expect(name), expected, "{name}");
        }
        for (name, hint) in [
            ("io.containerd.nothing.v1", "containerd-shim-nothing-v1"),
            ("/no/such/shim", "no program"),
            ("what", "unknown or invalid runtime name: what"),
            ("io.containerd./../x.v1", "unknown"),
        ] {
            let error = choose(name, &known).expect_err(name).to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn options_are_packed_as_their_shim_reads_them() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let options = serde_json::json!({ "systemdCgroup": false, "binary_name": "/usr/bin/crun" });
        let options = options.as_object().cloned().unwrap_or_default();
        let of = |kind: &str, runtime| Foreign { program: "/x".into(), kind: kind.to_owned(), runtime };
        let packed = of(RUNC_SHIM, Runtime { options, ..Runtime::default() }).pack(dir.path()).expect("packed");
        let packed = packed.options.expect("options");
        let read = RuncOptions::parse_from_bytes(&packed.value).expect("a message");
        assert_eq!(
            (packed.type_url.as_str(), read.binary_name.as_str()),
            ("containerd.runc.v1.Options", "/usr/bin/crun")
        );
        let args = vec!["--debug".to_owned(), "it's".to_owned()];
        let program = Runtime { path: "/usr/bin/crun".into(), args, ..Runtime::default() };
        let packed = of(RUNC_SHIM, program).pack(dir.path()).expect("packed").options.expect("options");
        let read = RuncOptions::parse_from_bytes(&packed.value).expect("a message");
        let script = std::fs::read_to_string(read.binary_name).expect("a script");
        assert_eq!(script, "#!/bin/sh\nexec '/usr/bin/crun' '--debug' 'it'\\''s' \"$@\"\n");
        let options =
            serde_json::json!({ "TypeUrl": "io.containerd.runsc.v1.options", "ConfigPath": "/etc/runsc.toml" });
        let options = options.as_object().cloned().unwrap_or_default();
        let packed = of("io.containerd.runsc.v1", Runtime { options, ..Runtime::default() }).pack(dir.path());
        let packed = packed.expect("packed").options.expect("options");
        assert_eq!(packed.value, b"\x0a\x1eio.containerd.runsc.v1.options\x12\x0f/etc/runsc.toml");
    }
}
