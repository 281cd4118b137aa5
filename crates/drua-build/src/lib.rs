//! From a Dockerfile to an image: no BuildKit, no daemon of somebody else's.
//!
//! ```text
//! Dockerfile ─plan─► stages that are needed ─solve─► chains of snapshots ─export─► image in the store
//!                                │ RUN: StepRunner (the engine's sandbox)
//!                                │ COPY, ADD, WORKDIR: overlays that are mounted nowhere
//!                                └ cache: key of each step → snapshot
//! ```
//!
//! Keys follow BuildKit's rules: COPY by the content, modes and names of what is copied, not its times; RUN by its command
//! line, environment, ARGs in scope, user, directory, mounts, and by what came before. Secrets, proxies and the content of
//! cache mounts do not count.
//!
//! Synchronous; call it from threads that may block. Knows no HTTP, runs no command itself but `curl` for ADD of URLs.
//! Needs `CAP_SYS_ADMIN` for overlays and the rights to set owners.

mod cache;
mod chmod;
mod copy;
mod error;
mod events;
mod export;
mod fetch;
mod fsutil;
mod layer;
mod plan;
mod ports;
mod request;
mod run;
mod solve;
mod stage;
mod state;
mod transfer;
mod tree;
mod untar;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use drua_dockerfile::{Dockerfile, Ignore, read_ignore_file};
use drua_store::Store;
use drua_types::Platform;

pub use cache::{CacheItem, PruneOptions, Pruned};
pub use error::BuildError;
pub use events::{Event, Listener, Step};
pub use export::Built;
pub use ports::{
    Cancel, Exit, ImageSource, MountContent, Network, PortError, RunOptions, RunStep, StepMount, StepRunner, Stream,
};
pub use request::{BuildRequest, ContextDir, Entitlements, NamedContext, Output, Provenance};
pub use solve::BuildFailure;

use cache::{Cache, Uses};
use plan::Plan;
use solve::{Slots, Solver, Solving};
use tree::{Hashes, Tree};

/// Bytes that the cache may keep, unless a tenth of the disk is less.
const MAX_CACHE_BYTES: u64 = 20 << 30;
/// Platforms of one build.
const MAX_PLATFORMS: usize = 16;

/// The builder of one data root.
#[derive(Debug)]
pub struct Builder {
    cache: Arc<Cache>,
    hashes: Hashes,
}

/// Who does for the builder what it cannot do itself.
#[derive(Clone, Copy)]
pub struct Hosts<'h> {
    /// Images.
    pub store: &'h Store,
    /// Commands.
    pub runner: &'h dyn StepRunner,
    /// Images from elsewhere.
    pub images: &'h dyn ImageSource,
}

impl std::fmt::Debug for Hosts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hosts")
    }
}

impl Builder {
    /// Opens the cache below a data root; removes what a killed process left half done.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(data_root: &Path) -> Result<Self, BuildError> {
        Ok(Self { cache: Arc::new(Cache::open(data_root)?), hashes: Hashes::default() })
    }

    /// Unpacks an uploaded context: a tar, compressed or not, or a Dockerfile alone.
    ///
    /// # Errors
    /// [`BuildError::Context`] when the stream is damaged, hostile or too large.
    pub fn receive_context(&self, stream: impl Read) -> Result<Received, BuildError> {
        let bad = |error: std::io::Error| BuildError::Context(error.to_string());
        let (mut stream, format) = untar::decompress(stream).map_err(bad)?;
        let path = self.cache.contexts().join(fsutil::random_id());
        if format.is_none() {
            let mut text = Vec::new();
            let limit = drua_dockerfile::MAX_SOURCE_BYTES as u64 + 1;
            stream.take(limit).read_to_end(&mut text).map_err(bad)?;
            return Ok(Received::Text(String::from_utf8_lossy(&text).into_owned()));
        }
        fs_err::create_dir(&path).map_err(BuildError::io("create", &path))?;
        let context = ContextDir { path: path.clone(), owned: true };
        let dir = fsutil::open_dir(&path).map_err(BuildError::io("open", &path))?;
        let root = drua_sys::root_fs::Root::from_fd(dir);
        let how = untar::Untar { owners: false, owner: None };
        let unpacked = untar::untar(&mut stream, &root, Path::new(""), how);
        // What follows the end of the archive is the sender's to be rid of.
        let drained = std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink());
        match unpacked.and_then(|()| drained.map_err(bad)) {
            Ok(_) => Ok(Received::Dir(context)),
            Err(error) => {
                self.release_context(&context);
                Err(error)
            }
        }
    }

    /// Removes a context that [`Builder::receive_context`] made.
    pub fn release_context(&self, context: &ContextDir) {
        if context.owned
            && let Err(error) = fsutil::remove(&context.path)
        {
            tracing::warn!(%error, "a build context stays until the next start");
        }
    }

    /// Finds what is wrong with a build before it begins: no Dockerfile, a wrong one, no such target.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn check(&self, request: &BuildRequest) -> Result<(), Box<BuildFailure>> {
        let (name, text) = dockerfile(request)?;
        let file = Dockerfile::parse(&text).map_err(|error| {
            let span = error.span;
            let file = Dockerfile::read(&text).0;
            solve::located(error.into(), &file, &name, span)
        })?;
        check_syntax(&file, request)?;
        request.names.iter().try_for_each(|name| error::reference(name).map(drop))?;
        let host = Platform::host();
        Plan::new(&file, request, request.platforms.first().unwrap_or(&host))?;
        Ok(())
    }

    /// Builds. The events come from several threads.
    ///
    /// # Errors
    /// [`BuildFailure`] says what and where. What was finished until then is in the cache.
    pub fn build(
        &self,
        hosts: Hosts<'_>,
        request: &BuildRequest,
        listener: &dyn Listener,
        cancel: &Cancel,
    ) -> Result<Built, Box<BuildFailure>> {
        let (name, text) = dockerfile(request)?;
        let file = Dockerfile::parse(&text).map_err(|error| {
            let span = error.span;
            let file = Dockerfile::read(&text).0;
            solve::located(error.into(), &file, &name, span)
        })?;
        check_syntax(&file, request)?;
        lint(&name, &text, request, listener)?;
        let context = match &request.context {
            Some(dir) => Some(Tree::open(&dir.path, ignore_of(&dir.path, &name)?)?),
            None => None,
        };
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let solver = Solver {
            request,
            cache: &self.cache,
            uses: Uses::new(&self.cache),
            hashes: &self.hashes,
            store: hosts.store,
            runner: hosts.runner,
            images: hosts.images,
            listener,
            cancel,
            context,
            contexts: solve::open_contexts(request)?,
            dockerfile_name: name,
            slots: Slots::new((threads * 2).max(4)),
            materials: Mutex::default(),
            started: jiff::Timestamp::now().as_second(),
        };
        let mut platforms = request.platforms.clone();
        if platforms.is_empty() {
            platforms.push(Platform::host());
        }
        if platforms.len() > MAX_PLATFORMS {
            return Err(BuildError::Value(format!("more than {MAX_PLATFORMS} platforms")).into());
        }
        let plans = platforms.iter().map(|platform| Plan::new(&file, request, platform));
        let plans = plans.collect::<Result<Vec<_>, _>>().map_err(|error| match &error {
            BuildError::BlankBase(_) | BuildError::Platform(_) | BuildError::Cycle(_) | BuildError::NoStage(_) => {
                let span = file.stages().first().map_or(drua_dockerfile::Span::new(0, 0), |s| s.instruction.span);
                solve::located(error, &file, &solver.dockerfile_name, span)
            }
            _ => error.into(),
        })?;
        let (mut step, mut stage) = (0, 0);
        let mut solvings = Vec::new();
        for (plan, platform) in plans.iter().zip(&platforms) {
            let mut numbers = BTreeMap::new();
            for index in &plan.needed {
                numbers.insert(*index, (step, stage));
                step += plan.stages[*index].body.len() + 1;
                stage += 1;
            }
            let label = if platforms.len() > 1 { platform.to_string() } else { String::new() };
            solvings.push(Solving::new(&solver, plan, numbers, label));
        }
        listener.event(Event::Steps(step));
        let mut stages = Vec::new();
        // One platform after the other: what does not depend on it is cached by then.
        for (solving, platform) in solvings.iter().zip(&platforms) {
            stages.push((platform.clone(), solving.solve()?));
        }
        solver.check_canceled()?;
        listener.event(Event::Exporting);
        self.output(&solver, &stages, &file.source)
    }

    fn output(
        &self,
        solver: &Solver<'_>,
        stages: &[(Platform, Arc<solve::Stage>)],
        source: &str,
    ) -> Result<Built, Box<BuildFailure>> {
        let nothing = Built {
            id: None,
            config: None,
            names: Vec::new(),
            manifests: Vec::new(),
            media_type: String::new(),
            size: 0,
        };
        match &solver.request.output {
            Output::Store => Ok(export::export(solver, stages, source)?),
            Output::CacheOnly => Ok(nothing),
            Output::Tar(path) => {
                let (_, stage) = stages.first().ok_or_else(|| BuildError::Value("nothing was built".to_owned()))?;
                let mut tar = export::whole_tar(solver, stage)?;
                let write = || -> std::io::Result<()> {
                    let mut file = fs_err::File::create(path)?;
                    std::io::copy(&mut tar, &mut file)?;
                    file.sync_all()
                };
                let mut write = write;
                write().map_err(BuildError::io("write", path))?;
                Ok(nothing)
            }
        }
    }

    /// What the cache keeps, least recently used first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn cache_items(&self) -> Result<Vec<CacheItem>, BuildError> {
        self.cache.items()
    }

    /// Removes parts of the cache.
    ///
    /// # Errors
    /// When the disk fails; what was removed until then stays removed.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned, BuildError> {
        self.cache.prune(options)
    }

    /// Holds the cache within its limit; worth doing after a build. Failures are logged.
    pub fn collect_garbage(&self) {
        let limit = rustix::fs::statvfs(self.cache.contexts())
            .map_or(MAX_CACHE_BYTES, |stat| (stat.f_blocks * stat.f_frsize / 10).clamp(2 << 30, MAX_CACHE_BYTES));
        let options = PruneOptions { keep_bytes: Some(limit), ..PruneOptions::default() };
        match self.cache.prune_beyond(&options) {
            Ok(pruned) if !pruned.ids.is_empty() => {
                tracing::info!(items = pruned.ids.len(), bytes = pruned.bytes, "old build cache is removed");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "build cache is not removed"),
        }
    }
}

/// What an uploaded context turned out to be.
#[derive(Debug)]
pub enum Received {
    /// Files.
    Dir(ContextDir),
    /// A Dockerfile without context.
    Text(String),
}

/// The Dockerfile's name and text.
fn dockerfile(request: &BuildRequest) -> Result<(String, String), BuildError> {
    let name = request.dockerfile.clone().filter(|name| !name.is_empty());
    if let Some(text) = &request.dockerfile_text {
        return Ok((name.unwrap_or_else(|| "Dockerfile".to_owned()), text.clone()));
    }
    let shown = name.clone().unwrap_or_else(|| "Dockerfile".to_owned());
    let missing = || BuildError::NoDockerfile(shown.clone());
    let context = request.context.as_ref().ok_or_else(missing)?;
    let tree = Tree::open(&context.path, Ignore::default())?;
    let names = name.map_or_else(|| vec!["Dockerfile".to_owned(), "dockerfile".to_owned()], |name| vec![name]);
    for name in names {
        let Ok(file) = tree.file(&tree::inside(&name)) else { continue };
        let mut text = Vec::new();
        let limit = drua_dockerfile::MAX_SOURCE_BYTES as u64 + 1;
        file.take(limit).read_to_end(&mut text).map_err(BuildError::io("read", Path::new(&name)))?;
        return Ok((name, String::from_utf8_lossy(&text).into_owned()));
    }
    Err(missing())
}

/// BuildKit's checks, as warnings in its words; `# check=error=true` makes them end the build.
fn lint(name: &str, text: &str, request: &BuildRequest, listener: &dyn Listener) -> Result<(), BuildError> {
    let ignore = match &request.context {
        Some(dir) => ignore_text(&dir.path, name)?,
        None => None,
    };
    let found = drua_lint::build_warnings(drua_lint::Build {
        dockerfile: drua_lint::Text { path: name, text },
        ignore: ignore.as_deref().map(|text| drua_lint::Text { path: ".dockerignore", text }),
        context: None,
        context_path: ".",
    });
    for warning in &found.warnings {
        let (rule, line) = (warning.rule.code, warning.start.line);
        listener.event(Event::Warning(format!("{rule}: {} (line {line})", warning.message)));
    }
    match found.fatal {
        true => Err(BuildError::Checks(found.warnings.iter().map(|warning| warning.rule.code.to_owned()).collect())),
        false => Ok(()),
    }
}

/// The ignore file of a Dockerfile, or else of the context.
fn ignore_of(context: &Path, dockerfile: &str) -> Result<Ignore, BuildError> {
    let text = ignore_text(context, dockerfile)?.unwrap_or_default();
    Ok(Ignore::new(&read_ignore_file(&text))?)
}

fn ignore_text(context: &Path, dockerfile: &str) -> Result<Option<String>, BuildError> {
    let tree = Tree::open(context, Ignore::default())?;
    for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()] {
        let Ok(file) = tree.file(&tree::inside(&name)) else { continue };
        let mut text = Vec::new();
        file.take(4 << 20).read_to_end(&mut text).map_err(BuildError::io("read", Path::new(&name)))?;
        return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
    }
    Ok(None)
}

/// `# syntax=` may name the Dockerfile language only: all of its versions are built in.
fn check_syntax(file: &Dockerfile, request: &BuildRequest) -> Result<(), BuildError> {
    let asked = request.args.get("BUILDKIT_SYNTAX").map(String::as_str).or_else(|| file.directive("syntax"));
    let Some(syntax) = asked.and_then(|syntax| syntax.split_whitespace().next()) else { return Ok(()) };
    let name = syntax.split(['@']).next().unwrap_or_default();
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.split(':').next().unwrap_or_default();
    match name {
        "docker/dockerfile" | "docker/dockerfile-upstream" => Ok(()),
        _ => Err(BuildError::Frontend(syntax.to_owned())),
    }
}
