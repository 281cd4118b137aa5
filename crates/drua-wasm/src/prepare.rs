//! Turns an opened module into an opened artifact: from the cache, or through the compile role.
//!
//! Single-threaded from start to end, since the shim forks the container afterwards.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use drua_types::wasm::{Magic, split_entrypoint};
use drua_types::{Classify, Digest, ErrorKind, Flavor, Hint};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sha2::{Digest as _, Sha256};

use crate::artifact::{self, InvalidArtifact, Metadata, Target};
use crate::cache::{Cache, CacheError};
use crate::compile::{MODULE_LIMIT, REJECTED};
use crate::engine;

/// How long the compile role may take by the clock on the wall; its processor time is limited as well.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(900);
/// How much of the compile role's complaint is read.
const MESSAGE_LIMIT: u64 = 4096;

/// What [`prepare`] works on.
#[derive(Debug)]
pub struct Prepare<'a> {
    /// The module, which the caller opened inside the container's root.
    pub module: File,
    /// The flavor that the image or the user asked for; `None` when only the file's magic says that it is Wasm.
    pub flavor: Option<Flavor>,
    /// The first word of the command, `path[#function]`.
    pub entrypoint: &'a str,
    /// The AOT cache; created when missing.
    pub aot_dir: &'a Path,
    /// How to start the compile role.
    pub compiler: &'a Compiler,
}

/// How to start the compile role, whose body is [`compile_main`](crate::compile_main).
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Compiler {
    /// This binary, as `wasm-compile`.
    pub fn this_binary() -> Self {
        Self { program: "/proc/self/exe".into(), args: vec!["wasm-compile".into()] }
    }
}

/// A module that is ready to run: hand it to [`WasmRun`](crate::WasmRun).
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(crate) artifact: Arc<File>,
    pub(crate) metadata: Metadata,
    pub(crate) function: Option<String>,
    pub(crate) flavor: Flavor,
    digest: Digest,
    cached: bool,
}

impl Prepared {
    /// SHA-256 of the module.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What running it means.
    pub fn target(&self) -> Target {
        self.metadata.target
    }

    /// The flavor it runs under.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// Whether the artifact was in the cache already.
    pub fn was_cached(&self) -> bool {
        self.cached
    }
}

/// A module cannot be made ready to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The module's file cannot be read.
    #[error("cannot read the module `{entrypoint}`")]
    Read {
        /// The entrypoint.
        entrypoint: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is WebAssembly text.
    #[error("`{0}` is WebAssembly text, which drua does not compile")]
    Text(String),
    /// The compiler refuses the module; the reason says where in the file.
    #[error("`{entrypoint}`: {reason}")]
    Rejected {
        /// The entrypoint.
        entrypoint: String,
        /// The compiler's words.
        reason: String,
    },
    /// The file is larger than [`MODULE_LIMIT`].
    #[error("the module `{entrypoint}` has {size} bytes; the limit is {MODULE_LIMIT}")]
    TooLarge {
        /// The entrypoint.
        entrypoint: String,
        /// The file's size in bytes.
        size: u64,
    },
    /// The module was written to while it was compiled.
    #[error("the module `{0}` changed while it was compiled")]
    Changed(String),
    /// The cache directory cannot be used, or not trusted.
    #[error("the compiled module has no place")]
    Cache(#[source] CacheError),
    /// The compile role cannot be started or watched.
    #[error("cannot {action} the compiler `{}`", program.display())]
    Compiler {
        /// What was attempted.
        action: &'static str,
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compile role failed or was ended, for example by a limit.
    #[error("the compiler ended with {status}: {message}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// Its last words.
        message: String,
    },
    /// The compile role took longer than it may.
    #[error("the compiler did not finish `{name}` within {minutes} minutes", name = .0, minutes = COMPILE_TIMEOUT.as_secs() / 60)]
    Timeout(String),
    /// An annotation that says how the guest runs cannot be used.
    #[error("cannot tell how to run `{entrypoint}`")]
    Setting {
        /// The entrypoint.
        entrypoint: String,
        /// Which, and why.
        #[source]
        source: crate::InvalidSetting,
    },
    /// The compile role's output is not an artifact.
    #[error("the compiler's output is unusable")]
    Output(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Classify for PrepareError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Text(_) | Self::Rejected { .. } | Self::TooLarge { .. } | Self::Setting { .. } => ErrorKind::Invalid,
            Self::Changed(_) => ErrorKind::Conflict,
            Self::Timeout(_) => ErrorKind::Unavailable,
            Self::Read { .. } | Self::Cache(_) | Self::Compiler { .. } | Self::Failed { .. } | Self::Output(_) => {
                ErrorKind::Internal
            }
        }
    }
}

impl Hint for PrepareError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Text(path) => vec![format!("compile it first: `wasm-tools parse {path} -o module.wasm`")],
            Self::Changed(_) => vec!["start the container again".to_owned()],
            Self::Cache(CacheError::Untrusted { path, .. }) => {
                let path = path.display();
                vec![format!("`chown root {path} && chmod 700 {path}`, or remove it: it is only a cache")]
            }
            Self::Setting { source, .. } => source.hints(),
            Self::Rejected { .. } => vec!["`drua wasm validate` says more about a module".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// Makes a module ready to run. Needs write access to the AOT cache; as root, the compile role runs as `nobody`.
///
/// A module that is in the cache costs one pass of SHA-256 over it and a handful of system calls. A miss runs the
/// compile role, whose artifact is verified, made durable and renamed into place; concurrent misses do not disturb each
/// other. No thread and no child is left behind.
///
/// # Errors
/// See [`PrepareError`]; a damaged or foreign artifact in the cache is no error but a miss.
pub fn prepare(request: Prepare<'_>) -> Result<Prepared, PrepareError> {
    let (path, function) = split_entrypoint(request.entrypoint);
    let source = Source { file: &request.module, path };
    let digest = source.digest()?;
    let cache = Cache::open(request.aot_dir, &engine::cache_key()).map_err(PrepareError::Cache)?;
    let cached = load(&cache, &digest);
    let was_cached = cached.is_some();
    let (artifact, metadata) = match cached {
        Some(found) => found,
        None => compile(&cache, &digest, &source, request.compiler)?,
    };
    Ok(Prepared {
        artifact: Arc::new(artifact),
        metadata,
        function: function.map(str::to_owned),
        flavor: request.flavor.unwrap_or(Flavor::Wasmtime),
        digest,
        cached: was_cached,
    })
}

fn load(cache: &Cache, digest: &Digest) -> Option<(File, Metadata)> {
    let file = cache.get(digest)?;
    match artifact::read(&file) {
        Ok(metadata) => Some((file, metadata)),
        Err(error) => {
            tracing::warn!(module = %digest, %error, "a compiled module is damaged; compiling again");
            None
        }
    }
}

fn compile(
    cache: &Cache,
    digest: &Digest,
    source: &Source<'_>,
    compiler: &Compiler,
) -> Result<(File, Metadata), PrepareError> {
    let artifact = cache.create(digest).map_err(PrepareError::Cache)?;
    let fail = |action| {
        let program = compiler.program.clone();
        move |source: io::Error| PrepareError::Compiler { action, program, source }
    };
    let complaint = rustix::fs::memfd_create("drua-wasm-compile", rustix::fs::MemfdFlags::CLOEXEC);
    let mut complaint = File::from(complaint.map_err(io::Error::from).map_err(fail("open a file for"))?);
    let mut child = Command::new(&compiler.program)
        .args(&compiler.args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(artifact.file().try_clone().map_err(fail("open a file for"))?)
        .stderr(complaint.try_clone().map_err(fail("open a file for"))?)
        .spawn()
        .map_err(fail("start"))?;
    let sent = source.send(child.stdin.take().expect("stdin is piped"));
    // Whatever happened, the child is waited for before anything is reported.
    let status = wait(&mut child).map_err(fail("wait for"))?.ok_or_else(|| PrepareError::Timeout(source.name()))?;
    let sent = sent?;
    if !status.success() {
        return Err(source.complaint(status, &mut complaint));
    }
    if sent != *digest {
        return Err(PrepareError::Changed(source.name()));
    }
    let unusable = |error: InvalidArtifact| PrepareError::Output(Box::new(error));
    let metadata = artifact::verify(artifact.file()).map_err(unusable)?;
    Ok((artifact.keep().map_err(PrepareError::Cache)?, metadata))
}

/// Waits for the child, but not for ever: `None` means that it was killed.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let timeout = Timespec { tv_sec: COMPILE_TIMEOUT.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)))?;
    if ready == 0 {
        child.kill()?;
        child.wait()?;
        return Ok(None);
    }
    child.wait().map(Some)
}

/// The module as the container has it.
struct Source<'a> {
    file: &'a File,
    path: &'a str,
}

impl Source<'_> {
    /// Hashes the module, after a look at its size and first bytes.
    fn digest(&self) -> Result<Digest, PrepareError> {
        let size = self.file.metadata().map_err(self.read_error())?.len();
        if size > MODULE_LIMIT {
            return Err(PrepareError::TooLarge { entrypoint: self.name(), size });
        }
        let mut first = [0; Magic::LENGTH];
        let length = self.file.read_at(&mut first, 0).map_err(self.read_error())?;
        if Magic::of(&first[..length]) == Magic::Text {
            return Err(PrepareError::Text(self.name()));
        }
        self.each_chunk(|_| Ok(()))
    }

    /// Sends the module to the compile role, and hashes what was really sent: a bind-mounted file may change between
    /// two reads, and the artifact of one module must never be filed under the name of another.
    fn send(&self, mut pipe: impl Write) -> Result<Digest, PrepareError> {
        self.each_chunk(|chunk| match pipe.write_all(chunk) {
            // A child that has gone says why on its stderr.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        })
    }

    fn each_chunk(&self, mut visit: impl FnMut(&[u8]) -> io::Result<()>) -> Result<Digest, PrepareError> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut offset = 0;
        loop {
            let length = self.file.read_at(&mut buffer, offset).map_err(self.read_error())?;
            // The limit also ends a file that grows as fast as we read it.
            if length == 0 || offset > MODULE_LIMIT {
                return Ok(Digest::from_sha256(hash.finalize().into()));
            }
            hash.update(&buffer[..length]);
            visit(&buffer[..length]).map_err(self.read_error())?;
            offset += length as u64;
        }
    }

    fn complaint(&self, status: ExitStatus, file: &mut File) -> PrepareError {
        let mut message = Vec::new();
        let _ = file.rewind().and_then(|()| file.take(MESSAGE_LIMIT).read_to_end(&mut message));
        let message = String::from_utf8_lossy(&message).trim().to_owned();
        if status.code() == Some(i32::from(REJECTED)) {
            return PrepareError::Rejected { entrypoint: self.name(), reason: message };
        }
        let limit = matches!(status.signal(), Some(6 | 9 | 24 | 25));
        let message = match (message.is_empty(), limit) {
            (false, _) => message,
            (true, true) => "it reached a limit of memory, time or output".to_owned(),
            (true, false) => "it said nothing".to_owned(),
        };
        PrepareError::Failed { status, message }
    }

    fn name(&self) -> String {
        self.path.to_owned()
    }

    fn read_error(&self) -> impl Fn(io::Error) -> PrepareError + use<> {
        let entrypoint = self.name();
        move |source| PrepareError::Read { entrypoint: entrypoint.clone(), source }
    }
}
