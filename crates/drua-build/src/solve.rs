//! Builds the stages that are needed, independent ones at the same time.
//!
//! A stage waits for those it is built on or copies from; everybody who needs a stage gets the same result. Work is
//! looked up by its key first, see [`crate::cache`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use drua_dockerfile::{Dockerfile, Ignore, LineIndex, excerpt};
use drua_types::{Digest, Platform};

use crate::cache::{Cache, Uses};
use crate::error::{BuildError, Result};
use crate::events::{Event, Listener};
use crate::plan::{Base, Plan};
use crate::ports::{Cancel, ImageSource, StepRunner};
use crate::request::{BuildRequest, NamedContext};
use crate::stage::StageBuild;
use crate::state::State;
use crate::tree::{Hashes, Tree};

/// A layer of a stage's root filesystem.
#[derive(Debug, Clone)]
pub(crate) enum LayerRef {
    /// One of the base image's.
    Base { layer: drua_store::Layer, path: PathBuf },
    /// One that was built.
    Snapshot { id: String },
}

/// A root filesystem, by its layers, lowest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<LayerRef>,
}

impl Chain {
    /// The layers' directories, topmost first.
    pub(crate) fn lowers(&self, cache: &Cache) -> Vec<PathBuf> {
        let path = |layer: &LayerRef| match layer {
            LayerRef::Base { path, .. } => path.clone(),
            LayerRef::Snapshot { id } => cache.snapshot(id),
        };
        self.layers.iter().rev().map(path).collect()
    }
}

/// A stage that is built.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) state: State,
    pub(crate) chain: Chain,
    /// Stands for the files: the base's digest and what was done to it.
    pub(crate) key: Digest,
}

/// A failure, and where in the Dockerfile it happened.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct BuildFailure {
    /// What went wrong.
    pub error: BuildError,
    /// The lines of the Dockerfile with the instruction marked; empty when it is none's fault.
    pub excerpt: String,
    /// The last lines that the command wrote.
    pub output: Vec<String>,
}

impl From<BuildError> for Box<BuildFailure> {
    fn from(error: BuildError) -> Self {
        Box::new(BuildFailure { error, excerpt: String::new(), output: Vec::new() })
    }
}

/// Everything that the stages of one build share.
pub(crate) struct Solver<'s> {
    pub(crate) request: &'s BuildRequest,
    pub(crate) cache: &'s Arc<Cache>,
    pub(crate) uses: Uses,
    pub(crate) hashes: &'s Hashes,
    pub(crate) store: &'s drua_store::Store,
    pub(crate) runner: &'s dyn StepRunner,
    pub(crate) images: &'s dyn ImageSource,
    pub(crate) listener: &'s dyn Listener,
    pub(crate) cancel: &'s Cancel,
    pub(crate) context: Option<Tree>,
    pub(crate) contexts: BTreeMap<String, Tree>,
    pub(crate) dockerfile_name: String,
    /// Bounds how many commands run at once.
    pub(crate) slots: Slots,
    pub(crate) materials: Mutex<BTreeMap<String, Digest>>,
    pub(crate) started: i64,
}

/// One plan with the stages that are done.
pub(crate) struct Solving<'s> {
    pub(crate) solver: &'s Solver<'s>,
    pub(crate) plan: &'s Plan<'s>,
    /// Number of the first step among all platforms', per needed stage; and that of the stage.
    pub(crate) numbers: BTreeMap<usize, (usize, usize)>,
    pub(crate) label: String,
    done: Mutex<BTreeMap<usize, Progress>>,
    changed: Condvar,
}

enum Progress {
    Running,
    Done(Arc<Stage>),
    Failed,
}

type StageResult = std::result::Result<Arc<Stage>, Box<BuildFailure>>;

impl<'s> Solving<'s> {
    pub(crate) fn new(
        solver: &'s Solver<'s>,
        plan: &'s Plan<'s>,
        numbers: BTreeMap<usize, (usize, usize)>,
        label: String,
    ) -> Self {
        Self { solver, plan, numbers, label, done: Mutex::default(), changed: Condvar::new() }
    }

    /// Builds the target.
    pub(crate) fn solve(&self) -> StageResult {
        let others: Vec<usize> = self.plan.needed.iter().copied().filter(|index| *index != self.plan.target).collect();
        if others.len() < 2 {
            // Nothing can happen at the same time.
            return self.stage(self.plan.target);
        }
        std::thread::scope(|scope| {
            let stages: Vec<_> = others.into_iter().map(|index| scope.spawn(move || self.stage(index))).collect();
            let target = self.stage(self.plan.target);
            let mut failures = Vec::new();
            for stage in stages {
                match stage.join() {
                    Ok(Err(failure)) => failures.push(failure),
                    Ok(Ok(_)) => {}
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            // The one that failed says more than those that had to stop because of it.
            let is_cause = |failure: &BuildFailure| !matches!(failure.error, BuildError::Canceled);
            match target {
                Err(failure) if !is_cause(&failure) => {
                    Err(failures.into_iter().find(|failure| is_cause(failure)).unwrap_or(failure))
                }
                target => target,
            }
        })
    }

    /// A stage's result; builds it unless somebody else does.
    pub(crate) fn stage(&self, index: usize) -> StageResult {
        let mut done = self.lock();
        loop {
            match done.get(&index) {
                None => break,
                Some(Progress::Done(stage)) => return Ok(Arc::clone(stage)),
                Some(Progress::Failed) => return Err(BuildError::Canceled.into()),
                Some(Progress::Running) => {
                    done = self.changed.wait(done).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        done.insert(index, Progress::Running);
        drop(done);
        // A panic must not leave others waiting.
        let mut guard = Finish { solving: self, index, progress: Some(Progress::Failed) };
        let result = self.build(index);
        guard.progress = Some(match &result {
            Ok(stage) => Progress::Done(Arc::clone(stage)),
            Err(_) => Progress::Failed,
        });
        drop(guard);
        result
    }

    fn build(&self, index: usize) -> StageResult {
        let planned = &self.plan.stages[index];
        // What it needs comes first, so that it holds no slot while it waits.
        for need in &planned.needs {
            self.stage(*need)?;
        }
        let built = StageBuild::run(self, index);
        if let Some((_, stage)) = self.numbers.get(&index) {
            self.solver.listener.event(Event::StageDone(*stage));
        }
        built.map(Arc::new)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Progress>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Finish<'f, 's> {
    solving: &'f Solving<'s>,
    index: usize,
    progress: Option<Progress>,
}

impl Drop for Finish<'_, '_> {
    fn drop(&mut self) {
        if let Some(progress) = self.progress.take() {
            self.solving.lock().insert(self.index, progress);
            self.solving.changed.notify_all();
        }
    }
}

impl Solver<'_> {
    pub(crate) fn check_canceled(&self) -> Result<()> {
        if self.cancel.is_canceled() { Err(BuildError::Canceled) } else { Ok(()) }
    }

    /// An image as the base of a stage, or to copy from.
    pub(crate) fn image(&self, name: &str, platform: &Platform) -> Result<Stage> {
        let name = name.strip_prefix("docker-image://").unwrap_or(name);
        let find = || self.store.get(name, Some(platform));
        let mut found = find();
        if found.is_err() || self.request.pull {
            match self.images.pull(name, platform, self.cancel) {
                Ok(()) => found = find(),
                // What is here is better than nothing, unless the newest was asked for.
                Err(error) if found.is_err() || self.request.pull => {
                    return Err(BuildError::Image { name: name.to_owned(), kind: error.kind, source: Box::new(error) });
                }
                Err(_) => {}
            }
        }
        let image = found.map_err(BuildError::image(name))?;
        let paths = self.store.layers(&image).map_err(BuildError::image(name))?;
        let mut layers = Vec::new();
        let unpacked = image.layers.iter().filter(|layer| layer.chain_id.is_some());
        for (layer, path) in unpacked.zip(paths.into_iter().rev()) {
            layers.push(LayerRef::Base { layer: layer.clone(), path });
        }
        let mut document = Vec::new();
        let blob = self.store.blob(&image.config_digest).map_err(BuildError::image(name))?;
        std::io::Read::read_to_end(&mut std::io::Read::take(blob, 8 << 20), &mut document)
            .map_err(BuildError::io("read", std::path::Path::new(image.config_digest.as_str())))?;
        let state = State::of_image(&document, &image.platform)
            .map_err(|error| BuildError::Value(format!("the configuration of `{name}` is damaged: {error}")))?;
        self.materials
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(format!("pkg:docker/{name}?platform={platform}"), image.manifest_digest.clone());
        let key = Digest::of(format!("image\0{}", image.manifest_digest).as_bytes());
        Ok(Stage { state, chain: Chain { layers }, key })
    }

    /// The files of a chain, to copy from.
    pub(crate) fn tree_of(&self, chain: &Chain) -> Result<Tree> {
        let mut lowers = chain.lowers(self.cache);
        let root = match lowers.len() {
            0 => crate::fsutil::open_dir(&self.cache.empty()?),
            // The directory itself: an overlay wants two.
            1 => crate::fsutil::open_dir(&lowers.remove(0)),
            _ => drua_sys::overlay::mount(&lowers, None),
        };
        let root = root.map_err(BuildError::io("mount", std::path::Path::new("/")))?;
        Ok(Tree::new(root, Ignore::default(), true))
    }
}

/// What a FROM or `--from` stands for, ready to be used.
pub(crate) enum Origin<'o> {
    Files(&'o Tree),
    Stage(Arc<Stage>),
}

impl<'s> Solving<'s> {
    /// Makes the source of a COPY or mount ready.
    pub(crate) fn origin(&self, user: usize, from: Option<&str>) -> std::result::Result<Origin<'_>, Box<BuildFailure>> {
        let no_context =
            || BuildError::Context("the build has none: it was started with a Dockerfile alone".to_owned());
        let Some(from) = from else {
            return self.solver.context.as_ref().map(Origin::Files).ok_or_else(|| no_context().into());
        };
        match self.plan.source(from, self.solver.request)? {
            Base::Stage(index) if self.plan.depends(index, user) => Err(BuildError::Cycle(from.to_owned()).into()),
            Base::Stage(index) => Ok(Origin::Stage(self.stage(index)?)),
            Base::Context(name) => match self.solver.contexts.get(&name) {
                Some(tree) => Ok(Origin::Files(tree)),
                None => Err(BuildError::NoStage(name).into()),
            },
            Base::Scratch => {
                let state = State::scratch(&self.plan.stages[user].platform);
                let key = Digest::of(b"scratch");
                Ok(Origin::Stage(Arc::new(Stage { state, chain: Chain::default(), key })))
            }
            Base::Image(name) => {
                let platform = &self.plan.stages[user].platform;
                Ok(Origin::Stage(Arc::new(self.solver.image(&name, platform)?)))
            }
        }
    }
}

/// Puts the place in the Dockerfile to an error.
pub(crate) fn located(
    error: BuildError,
    file: &Dockerfile,
    name: &str,
    span: drua_dockerfile::Span,
) -> Box<BuildFailure> {
    let (first, last) = LineIndex::new(&file.source).lines(span);
    Box::new(BuildFailure { error, excerpt: excerpt(name, &file.source, first, last), output: Vec::new() })
}

/// Opens the named contexts.
pub(crate) fn open_contexts(request: &BuildRequest) -> Result<BTreeMap<String, Tree>> {
    let mut trees = BTreeMap::new();
    for (name, context) in &request.contexts {
        if let NamedContext::Dir(path) = context {
            let ignore = fs_err::read_to_string(path.join(".dockerignore")).unwrap_or_default();
            let ignore = Ignore::new(&drua_dockerfile::read_ignore_file(&ignore))?;
            trees.insert(name.clone(), Tree::open(path, ignore)?);
        }
    }
    Ok(trees)
}

/// A number of places, of which everybody who works takes one.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Mutex<usize>,
    changed: Condvar,
}

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Slot<'s>(&'s Slots);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), changed: Condvar::new() }
    }

    pub(crate) fn take(&self) -> Slot<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_one();
    }
}
