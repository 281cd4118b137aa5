//! Decides who runs in the container's init: the program itself, or the Wasm host.
//!
//! The first word of the command is looked up in the container's root as `which` would, through `openat2` with
//! `RESOLVE_IN_ROOT`, so that no link leads out of it. `\0asm` means Wasm; WebAssembly text only when the image or the user
//! said that it is Wasm; anything else is a Linux process, and so is what cannot be found: the Linux side has the right
//! words for that (exit codes 126 and 127).

use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use drua_runtime::oci::{Mount, Process, Spec};
use drua_runtime::sandbox::{ExecWorkload, InitWorkload, StartError, StartSignal, Workload};
use drua_sys::root_fs::Root;
use drua_types::{Flavor, annotations};
use drua_wasm::{Compiler, InvalidSetting, Magic, Prepare, PrepareError, Settings, WasmRun, prepare, split_entrypoint};
use rustix::fs::{Mode, OFlags};

/// Where compiled modules are kept when the specification does not say.
const DEFAULT_AOT_CACHE: &str = "/var/lib/drua/aot";

/// A module that runs in the container's init process.
#[derive(Debug)]
struct WasmWorkload {
    run: WasmRun,
    /// The compiled module's descriptors, which have to survive until the guest runs.
    fds: Vec<RawFd>,
}

/// Looks at the command and prepares what is to run it. `rootfs` is mounted.
///
/// A module that is not in the cache is compiled here, by a child process; that may take seconds.
pub(crate) fn choose(spec: &Spec, rootfs: &Path) -> Result<Arc<dyn Workload>, PrepareError> {
    let flavor = annotation(spec, annotations::FLAVOR).and_then(|text| text.parse::<Flavor>().ok());
    let linux = || {
        let own_init = annotation(spec, annotations::INIT) == Some("true");
        Ok(if own_init { Arc::new(InitWorkload) as Arc<dyn Workload> } else { Arc::new(ExecWorkload) })
    };
    let Some(process) = spec.process().as_ref() else { return linux() };
    let Some(command) = process.args().as_deref().and_then(<[String]>::first) else { return linux() };
    let file = annotation(spec, annotations::MODULE).unwrap_or(command);
    let Some(module) = find(spec, process, rootfs, file) else { return linux() };
    let mut first = [0; Magic::LENGTH];
    let length = module.read_at(&mut first, 0).unwrap_or(0);
    let magic = Magic::of(&first[..length]);
    let is_wasm = magic.is_wasm() || (magic == Magic::Text && flavor.is_some());
    if !is_wasm {
        return linux();
    }
    let aot_dir = PathBuf::from(annotation(spec, annotations::AOT_CACHE).unwrap_or(DEFAULT_AOT_CACHE));
    let compiler = Compiler::this_binary();
    let settings = settings(spec).map_err(|source| PrepareError::Setting { entrypoint: command.clone(), source })?;
    let request = Prepare { module, flavor, entrypoint: command, aot_dir: &aot_dir, compiler: &compiler };
    let before = open_fds();
    let prepared = prepare(request)?;
    // `Prepared` does not name its descriptors. The process has one thread, so they are those that were not open before.
    let mut fds: Vec<RawFd> = open_fds().into_iter().filter(|fd| !before.contains(fd)).collect();
    fds.extend(RUNTIME_SOCKETS.get().into_iter().flatten());
    let run = WasmRun {
        prepared,
        settings,
        args: process.args().clone().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().clone(),
    };
    Ok(Arc::new(WasmWorkload { run, fds }))
}

/// What annotations say of the guest, and the container's memory limit.
fn settings(spec: &Spec) -> Result<Settings, InvalidSetting> {
    let mut settings = Settings::of_annotations(|key| annotation(spec, key))?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let limit = resources.and_then(|resources| resources.memory().as_ref()).and_then(|memory| memory.limit());
    settings.memory = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
    Ok(settings)
}

/// Whether the command is WebAssembly.
pub(crate) fn is_wasm(workload: &dyn Workload) -> bool {
    // Only a guest is kept from /proc.
    !workload.sees_proc()
}

/// The value of an annotation.
pub(crate) fn annotation<'a>(spec: &'a Spec, key: &str) -> Option<&'a str> {
    spec.annotations().as_ref()?.get(key).map(String::as_str)
}

impl Workload for WasmWorkload {
    fn validate(&self, _spec: &Spec) -> Result<(), StartError> {
        Ok(())
    }

    fn run(&self, _spec: &Spec, signal: &mut StartSignal) -> StartError {
        signal.started();
        let code = self.run.clone().run();
        // Threads of the guest may still run, and nothing is buffered.
        drua_sys::child::exit_now(code)
    }

    fn keep_fds(&self) -> Vec<RawFd> {
        self.fds.clone()
    }

    /// A guest could write its own process's memory through `/proc/self/mem`, and be out of the first wall.
    fn sees_proc(&self) -> bool {
        false
    }
}

/// tokio's one pair of sockets for signals. A process makes it once, for all its runtimes, and a fork inherits the belief
/// that it is there: the guest's own runtime cannot be built when they are closed. Nothing but wake-ups passes over them.
static RUNTIME_SOCKETS: OnceLock<Vec<RawFd>> = OnceLock::new();

/// Remembers the sockets that were not open `before` the runtime was built.
pub(crate) fn keep_sockets_since(before: &[RawFd]) {
    let is_socket = |fd: &RawFd| {
        fs_err::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"))
    };
    let sockets = open_fds().into_iter().filter(|fd| !before.contains(fd) && is_socket(fd)).collect();
    // A shim serves once.
    let _ = RUNTIME_SOCKETS.set(sockets);
}

/// This process's descriptors. The one that lists them is closed by the time it returns, and therefore left out.
pub(crate) fn open_fds() -> Vec<RawFd> {
    let entries = fs_err::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let listed: Vec<RawFd> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let is_open = |fd: &RawFd| fs_err::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    listed.into_iter().filter(is_open).collect()
}

/// Opens the regular file that the command names, as the container will see it.
fn find(spec: &Spec, process: &Process, rootfs: &Path, command: &str) -> Option<File> {
    let open = |path: &Path| open_in_container(spec.mounts().as_deref().unwrap_or(&[]), rootfs, path);
    let look = |name: &str| {
        if name.is_empty() {
            return None;
        }
        let in_cwd = || open(&process.cwd().join(name));
        if name.contains('/') {
            return in_cwd();
        }
        let path = process.env().iter().flatten().find_map(|pair| pair.strip_prefix("PATH="));
        let mut directories = path.unwrap_or_default().split(':').filter(|directory| !directory.is_empty());
        directories.find_map(|directory| open(&process.cwd().join(directory).join(name))).or_else(in_cwd)
    };
    // A file with a `#` in its name is rarer than a function name, and found first all the same.
    look(command).or_else(|| look(split_entrypoint(command).0))
}

/// Makes the working directory where it is missing, as `WORKDIR` and `-w` promise; owned by root.
pub(crate) fn make_cwd(spec: &Spec, rootfs: &Path) -> io::Result<()> {
    let Some(process) = spec.process() else { return Ok(()) };
    let place = place(spec.mounts().as_deref().unwrap_or(&[]), rootfs, process.cwd());
    if !place.writable {
        return Ok(());
    }
    let base = Root::open(&place.base)?;
    for path in place.inside.ancestors().collect::<Vec<_>>().into_iter().rev() {
        match base.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let Some((parent, name)) = base.parent(path)? else { return Err(error) };
                rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
            }
            found => drop(found?),
        }
    }
    Ok(())
}

fn open_in_container(mounts: &[Mount], rootfs: &Path, path: &Path) -> Option<File> {
    let place = place(mounts, rootfs, path);
    let opened = if place.inside.as_os_str().is_empty() {
        // A file that is mounted itself.
        Root::open(place.base.parent()?).ok()?.open_regular(Path::new(place.base.file_name()?))
    } else {
        Root::open(&place.base).ok()?.open_regular(&place.inside)
    };
    opened.ok().map(File::from)
}

/// A path of the container, seen from outside before its volumes are mounted.
struct Place {
    /// The root file system or a volume's source.
    base: PathBuf,
    /// The rest of the path there.
    inside: PathBuf,
    /// Whether the container may write there.
    writable: bool,
}

/// Where a path of the container is now. Volumes are not mounted yet: a path below one is looked up in its source.
fn place(mounts: &[Mount], rootfs: &Path, path: &Path) -> Place {
    let path = normalize(path);
    let below = |mount: &Mount| -> Option<(usize, Place)> {
        let destination = normalize(mount.destination());
        let inside = path.strip_prefix(&destination).ok()?.to_owned();
        let base = mount.source().clone().filter(|source| source.is_absolute())?;
        let writable = !mount.options().iter().flatten().any(|option| option == "ro");
        Some((destination.components().count(), Place { base, inside, writable }))
    };
    let volume = mounts.iter().filter_map(below).max_by_key(|(depth, _)| *depth);
    volume.map(|(_, place)| place).unwrap_or_else(|| Place {
        base: rootfs.to_owned(),
        inside: path.strip_prefix("/").unwrap_or(&path).to_owned(),
        writable: true,
    })
}

/// An absolute path without `.` and `..`; what `..` means after a link is for the kernel to say, and then decided by the
/// lookup in the root alone.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}
