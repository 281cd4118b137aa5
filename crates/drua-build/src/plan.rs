//! Which stages there are, what they are built on, and which of them are needed.

use std::collections::{BTreeMap, BTreeSet};

use drua_dockerfile::{Dockerfile, Expander, Instruction, Kind, Mount, MountKind, nearest};
use drua_types::Platform;

use crate::error::{BuildError, Result};
use crate::request::{BuildRequest, NamedContext};

/// What FROM names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image.
    Image(String),
    /// A directory given by `--build-context`.
    Context(String),
}

/// A stage, planned.
#[derive(Debug, Clone)]
pub(crate) struct PlannedStage<'d> {
    pub(crate) name: Option<String>,
    pub(crate) base: Base,
    pub(crate) platform: Platform,
    pub(crate) from: &'d Instruction,
    /// FROM with its variables expanded.
    pub(crate) from_text: String,
    pub(crate) body: &'d [Instruction],
    /// Stages that must be there first.
    pub(crate) needs: BTreeSet<usize>,
}

/// A Dockerfile, planned for one platform.
#[derive(Debug)]
pub(crate) struct Plan<'d> {
    pub(crate) file: &'d Dockerfile,
    pub(crate) stages: Vec<PlannedStage<'d>>,
    pub(crate) target: usize,
    /// Stages that the target needs, itself included, in order.
    pub(crate) needed: Vec<usize>,
    /// What ARG gives in a stage when it names no default: the global ARGs and the platform's.
    pub(crate) globals: BTreeMap<String, String>,
    /// What the user gave as `--build-arg`.
    pub(crate) given: BTreeMap<String, String>,
}

impl<'d> Plan<'d> {
    pub(crate) fn new(file: &'d Dockerfile, request: &BuildRequest, platform: &Platform) -> Result<Self> {
        let mut globals = platform_args(platform);
        if let Some(target) = &request.target {
            globals.insert("TARGETSTAGE".to_owned(), target.clone());
        } else {
            globals.insert("TARGETSTAGE".to_owned(), "default".to_owned());
        }
        let mut declared: BTreeMap<String, String> = BTreeMap::new();
        let expander = file.expander();
        for (_, definition) in file.global_args() {
            let name = &definition.name.text;
            let lookup = |name: &str| declared.get(name).or_else(|| globals.get(name)).cloned();
            let default = definition.value.as_ref().map(|value| expander.expand(&value.text, &lookup)).transpose()?;
            let value = request.args.get(name).cloned().or(default.map(|value| value.text));
            if let Some(value) = value.or_else(|| globals.get(name).cloned()) {
                declared.insert(name.clone(), value);
            }
        }
        globals.extend(declared);
        let mut plan =
            Self { file, stages: Vec::new(), target: 0, needed: Vec::new(), globals, given: request.args.clone() };
        for stage in file.stages() {
            let planned = plan.stage(&stage, request, platform, expander)?;
            plan.stages.push(planned);
        }
        for index in 0..plan.stages.len() {
            let needs = plan.needs(index, request);
            plan.stages[index].needs = needs?;
        }
        plan.target = plan.find_target(request.target.as_deref())?;
        plan.needed = plan.reachable()?;
        Ok(plan)
    }

    fn stage(
        &self,
        stage: &drua_dockerfile::Stage<'d>,
        request: &BuildRequest,
        platform: &Platform,
        expander: Expander,
    ) -> Result<PlannedStage<'d>> {
        let lookup = |name: &str| self.globals.get(name).cloned();
        let base_text = expander.expand(&stage.from.base.text, &lookup)?.text;
        if base_text.is_empty() {
            return Err(BuildError::BlankBase(stage.from.base.text.clone()));
        }
        let platform = match &stage.from.platform {
            Some(word) => {
                let text = expander.expand(&word.text, &lookup)?.text;
                parse_platform(&text)?
            }
            None => platform.clone(),
        };
        let earlier = self.stages.iter().rposition(|known| known.name.as_deref() == Some(&base_text.to_lowercase()));
        let base = match request.contexts.get(&base_text) {
            Some(NamedContext::Dir(_)) => Base::Context(base_text.clone()),
            Some(NamedContext::Image(image)) => Base::Image(image.clone()),
            Some(NamedContext::Target(name)) => match self.stage_of(name) {
                Some(index) => Base::Stage(index),
                None => return Err(BuildError::NoStage(name.clone())),
            },
            None => match earlier {
                _ if base_text == "scratch" => Base::Scratch,
                Some(index) => Base::Stage(index),
                None => Base::Image(base_text.clone()),
            },
        };
        let from_text = match &stage.from.name {
            Some(name) => format!("FROM {base_text} AS {}", name.text),
            None => format!("FROM {base_text}"),
        };
        let platform = match (&base, &stage.from.platform) {
            // A stage on a stage is for what that one is for.
            (Base::Stage(index), None) => self.stages[*index].platform.clone(),
            _ => platform,
        };
        Ok(PlannedStage {
            name: stage.name(),
            base,
            platform,
            from: stage.instruction,
            from_text,
            body: stage.body,
            needs: BTreeSet::new(),
        })
    }

    /// The stage with this name or number.
    pub(crate) fn stage_of(&self, text: &str) -> Option<usize> {
        let name = text.to_lowercase();
        let named = self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(&name));
        named.or_else(|| text.parse::<usize>().ok().filter(|index| *index < self.stages.len()))
    }

    /// What COPY --from and mounts name: a stage if there is one, else something from outside.
    pub(crate) fn source(&self, from: &str, request: &BuildRequest) -> Result<Base> {
        match request.contexts.get(from) {
            Some(NamedContext::Dir(_)) => return Ok(Base::Context(from.to_owned())),
            Some(NamedContext::Image(image)) => return Ok(Base::Image(image.clone())),
            Some(NamedContext::Target(_)) | None => {}
        }
        match self.stage_of(from) {
            Some(index) => Ok(Base::Stage(index)),
            None if from.parse::<usize>().is_ok() => Err(BuildError::NoStage(from.to_owned())),
            None if from == "scratch" => Ok(Base::Scratch),
            None => Ok(Base::Image(from.to_owned())),
        }
    }

    fn needs(&self, index: usize, request: &BuildRequest) -> Result<BTreeSet<usize>> {
        let stage = &self.stages[index];
        let mut needs = BTreeSet::new();
        if let Base::Stage(base) = stage.base {
            needs.insert(base);
        }
        for from in stage.body.iter().flat_map(references) {
            // References with variables are looked up when the stage is built.
            if !from.contains('$')
                && let Base::Stage(other) = self.source(&from, request)?
            {
                needs.insert(other);
            }
        }
        Ok(needs)
    }

    fn find_target(&self, target: Option<&str>) -> Result<usize> {
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            return Ok(self.stages.len().saturating_sub(1));
        };
        self.stage_of(target).ok_or_else(|| BuildError::NoTarget {
            target: target.to_owned(),
            suggestion: nearest(target, self.stages.iter().filter_map(|stage| stage.name.as_deref()))
                .map(str::to_owned),
        })
    }

    /// Everything below the target, and that nothing needs itself.
    fn reachable(&self) -> Result<Vec<usize>> {
        let mut done = BTreeSet::new();
        let mut path = Vec::new();
        self.visit(self.target, &mut path, &mut done)?;
        Ok(done.into_iter().collect())
    }

    fn visit(&self, index: usize, path: &mut Vec<usize>, done: &mut BTreeSet<usize>) -> Result<()> {
        if path.contains(&index) {
            let stage = &self.stages[index];
            return Err(BuildError::Cycle(stage.name.clone().unwrap_or_else(|| index.to_string())));
        }
        if done.contains(&index) {
            return Ok(());
        }
        path.push(index);
        for need in &self.stages[index].needs {
            self.visit(*need, path, done)?;
        }
        path.pop();
        done.insert(index);
        Ok(())
    }

    /// Whether a stage needs another, directly or not.
    pub(crate) fn depends(&self, index: usize, on: usize) -> bool {
        index == on || self.stages[index].needs.iter().any(|need| self.depends(*need, on))
    }
}

/// What an instruction takes files from.
pub(crate) fn references(instruction: &Instruction) -> Vec<String> {
    match &instruction.kind {
        Kind::Copy(transfer) => transfer.from.iter().map(|from| from.text.clone()).collect(),
        Kind::Run(run) => run
            .mounts
            .iter()
            .filter_map(|mount| Mount::parse(&mount.text).ok())
            .filter_map(|mount| match mount.kind {
                MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => from,
                MountKind::Tmpfs { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn parse_platform(text: &str) -> Result<Platform> {
    text.parse().map_err(|_| BuildError::Platform(text.to_owned()))
}

fn platform_args(target: &Platform) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", &Platform::host())] {
        args.insert(format!("{prefix}PLATFORM"), platform.to_string());
        args.insert(format!("{prefix}OS"), platform.os().to_owned());
        args.insert(format!("{prefix}OSVERSION"), String::new());
        args.insert(format!("{prefix}ARCH"), platform.architecture().to_owned());
        args.insert(format!("{prefix}VARIANT"), platform.variant().unwrap_or_default().to_owned());
    }
    args
}
