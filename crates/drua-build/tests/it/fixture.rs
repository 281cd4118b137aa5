//! A builder with directories of its own, and a stand-in for the sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use drua_build::{
    BuildFailure, BuildRequest, Builder, Built, Cancel, ContextDir, Event, Exit, Hosts, ImageSource, MountContent,
    PortError, RunStep, StepRunner, Stream,
};
use drua_store::Store;
use drua_types::{ErrorKind, Platform};

pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) builder: Builder,
    pub(crate) runner: Runner,
}

/// What a build did.
pub(crate) struct Outcome {
    pub(crate) result: Result<Built, Box<BuildFailure>>,
    pub(crate) cached: usize,
    pub(crate) output: String,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn ok(&self) -> &Built {
        match &self.result {
            Ok(built) => built,
            Err(failure) => panic!("{}\n{}", drua_types::error_chain(&failure.error), failure.excerpt),
        }
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.ok().id.clone().unwrap().to_string()
    }

    #[track_caller]
    pub(crate) fn error(&self) -> String {
        drua_types::error_chain(&self.result.as_ref().expect_err("the build should fail").error)
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = Store::open(&data).unwrap();
        let builder = Builder::open(&data).unwrap();
        Self { dir, store, builder, runner: Runner::default() }
    }

    /// As after `kill -9`: everything is opened anew.
    pub(crate) fn reopen(self) -> Self {
        let Self { dir, store, builder, runner } = self;
        drop((store, builder));
        let data = dir.path().join("data");
        Self { store: Store::open(&data).unwrap(), builder: Builder::open(&data).unwrap(), dir, runner }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes files of the context; it starts with those that are there.
    pub(crate) fn context(&self, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.dir.path().join("context");
        std::fs::create_dir_all(&dir).unwrap();
        for (path, content) in files {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        dir
    }

    pub(crate) fn build(&self, dockerfile: &str) -> Outcome {
        self.build_with(dockerfile, |_| ())
    }

    pub(crate) fn build_with(&self, dockerfile: &str, adjust: impl FnOnce(&mut BuildRequest)) -> Outcome {
        let context = self.context(&[("Dockerfile", dockerfile)]);
        let mut request =
            BuildRequest { context: Some(ContextDir { path: context, owned: false }), ..BuildRequest::default() };
        adjust(&mut request);
        let (cached, output) = (AtomicUsize::new(0), Mutex::new(String::new()));
        let listener = |event: Event| match event {
            Event::Cached(_) => drop(cached.fetch_add(1, Ordering::Relaxed)),
            Event::Output(_, _, bytes) => output.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes)),
            _ => {}
        };
        let hosts = Hosts { store: &self.store, runner: &self.runner, images: &Nowhere };
        let result = self.builder.build(hosts, &request, &listener, &Cancel::default());
        let output = output.lock().unwrap().clone();
        Outcome { result, cached: cached.into_inner(), output }
    }

    /// A file of an image, looked up from the top layer down.
    pub(crate) fn file(&self, image: &str, path: &str) -> Option<PathBuf> {
        let image = self.store.get(image, None).unwrap();
        let layers = self.store.layers(&image).unwrap();
        layers.iter().map(|layer| layer.join(path)).find(|path| path.symlink_metadata().is_ok())
    }

    #[track_caller]
    pub(crate) fn text(&self, image: &str, path: &str) -> String {
        let file = self.file(image, path).unwrap_or_else(|| panic!("`{path}` is not in the image"));
        std::fs::read_to_string(file).unwrap()
    }
}

/// Nothing can be pulled.
struct Nowhere;

impl ImageSource for Nowhere {
    fn pull(&self, name: &str, _: &Platform, _: &Cancel) -> Result<(), PortError> {
        Err(PortError { message: format!("there is no registry for {name}"), kind: ErrorKind::NotFound })
    }
}

/// Writes files instead of running programs.
#[derive(Default)]
pub(crate) struct Runner {
    pub(crate) runs: AtomicUsize,
    pub(crate) last: Mutex<Option<RunStep>>,
}

impl StepRunner for Runner {
    fn run(&self, step: &RunStep, output: &mut dyn FnMut(Stream, &[u8]), _: &Cancel) -> Result<Exit, PortError> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap() = Some(step.clone());
        let env: BTreeMap<&str, &str> = step.env.iter().filter_map(|entry| entry.split_once('=')).collect();
        let mut code = 0;
        for line in step.args.last().unwrap().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["put", path, text @ ..] => write(&step.upper, path, &text.join(" ")),
                ["count", path] => write(&step.upper, path, &number.to_string()),
                ["env", name] => output(Stream::Out, format!("{}\n", env.get(name).unwrap_or(&"unset")).as_bytes()),
                ["mounted", target, path] => {
                    let mount = step.mounts.iter().find(|mount| mount.target == *target).expect("mounted");
                    let MountContent::Path(source) = &mount.content else { panic!("{mount:?}") };
                    let file = if *path == "." { source.clone() } else { source.join(path) };
                    output(Stream::Out, &std::fs::read(file).unwrap_or_else(|error| error.to_string().into_bytes()));
                }
                ["exit", number] => code = number.parse().unwrap(),
                other => output(Stream::Err, format!("{other:?}\n").as_bytes()),
            }
        }
        Ok(Exit { code, out_of_memory: false })
    }
}

fn write(upper: &Path, path: &str, text: &str) {
    let path = upper.join(path.trim_start_matches('/'));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
