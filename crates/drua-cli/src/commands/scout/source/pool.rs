//! Confined scanners at work: this binary in its role `scout-scan`, a few of them, each used for many layers.

use std::io::{self, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use drua_scout::{Request, RequestWriter, Scanned, read_answer};

/// Scanners that wait for work.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Scanner>>,
}

#[derive(Debug)]
struct Scanner {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Pool {
    /// Lets a scanner look into what `feed` writes. Blocks.
    pub(super) fn scan(
        &self,
        request: Request,
        feed: impl FnOnce(&mut dyn io::Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<Scanned> {
        let idle = self.idle().pop();
        let mut scanner = match idle {
            Some(scanner) => scanner,
            None => Scanner::start().context("cannot start the scanner (`drua scout-scan`)")?,
        };
        // A scanner that failed is not used again; dropping it ends it.
        let scanned = scanner.scan(request, feed)?;
        self.idle().push(scanner);
        Ok(scanned)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Scanner>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scanner {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg("scout-scan")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("it has no output")?;
        if let Some(input) = &input {
            // Fewer turns between the two; a smaller pipe works as well.
            let _ = rustix::pipe::fcntl_setpipe_size(input, 1 << 20);
        }
        Ok(Self { child, input, output: BufReader::with_capacity(256 << 10, output) })
    }

    fn scan(
        &mut self,
        request: Request,
        feed: impl FnOnce(&mut dyn io::Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<Scanned> {
        let pipe = self.input.as_mut().context("the scanner has ended")?;
        let mut writer = RequestWriter::begin(&mut *pipe, request).context("cannot talk to the scanner")?;
        let fed = feed(&mut writer);
        let ended = writer.end().and_then(|pipe| pipe.flush());
        if let Err(error) = fed {
            // A scanner that died explains a broken pipe better than the pipe does.
            return Err(if is_broken_pipe(&error) { self.death() } else { error });
        }
        if ended.is_err() {
            return Err(self.death());
        }
        match read_answer(&mut self.output) {
            Ok(scanned) => Ok(scanned),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.death()),
            Err(error) => Err(anyhow::Error::new(error).context("the scanner gave up")),
        }
    }

    /// How the scanner ended.
    fn death(&mut self) -> anyhow::Error {
        drop(self.input.take());
        match self.child.wait() {
            Ok(status) => {
                anyhow::anyhow!("the scanner was stopped ({status}): what it reads may be larger than its limits")
            }
            Err(error) => anyhow::Error::new(error).context("the scanner has ended"),
        }
    }
}

impl Drop for Scanner {
    fn drop(&mut self) {
        // The end of its input is the end of its work; one that hangs is killed.
        drop(self.input.take());
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Copies all of a stream; returns its SHA-256 as `sha256:…`.
pub(super) fn copy_hashed(mut from: impl Read, to: &mut dyn io::Write) -> anyhow::Result<String> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.context("cannot read the layer")?,
        };
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
    Ok(drua_types::Digest::from_sha256(hash.finalize().into()).to_string())
}
