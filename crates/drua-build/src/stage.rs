//! One stage: its instructions in order.

use drua_dockerfile::{Check, CommandLine, Dockerfile, Expander, Healthcheck, Instruction, Kind, Pair, Word};
use drua_types::Digest;
use serde_json::{Value, json};

use crate::cache::Record;
use crate::error::{BuildError, Result};
use crate::events::{Event, Step};
use crate::plan::{Base, PlannedStage};
use crate::solve::{BuildFailure, Chain, LayerRef, Solving, Stage, located};
use crate::state::State;

/// Lines of a failed command's output that are kept for its error.
const TAIL: usize = 12;

/// A stage while it is built.
pub(crate) struct StageBuild<'b, 's> {
    pub(crate) solving: &'b Solving<'s>,
    pub(crate) index: usize,
    pub(crate) planned: &'b PlannedStage<'s>,
    pub(crate) state: State,
    pub(crate) chain: Chain,
    pub(crate) key: Digest,
    pub(crate) no_cache: bool,
    pub(crate) expander: Expander,
    /// The number of the current step.
    pub(crate) step: usize,
    pub(crate) tail: std::collections::VecDeque<String>,
}

type Built<T> = std::result::Result<T, Box<BuildFailure>>;

impl<'b, 's> StageBuild<'b, 's> {
    pub(crate) fn run(solving: &'b Solving<'s>, index: usize) -> Built<Stage> {
        let planned = &solving.plan.stages[index];
        let solver = solving.solver;
        let (first, stage) = solving.numbers.get(&index).copied().unwrap_or_default();
        let file = solving.plan.file;
        let total = planned.body.len() + 1;
        let begin = |number: usize, text: &str| {
            let title = format!("{}{number}/{total}] {text}", solving.prefix(index));
            let step = Step { index: first + number - 1, stage, title, text: text.to_owned() };
            solver.listener.event(Event::Started(step));
        };
        begin(1, &planned.from_text);
        let at = |error: BuildError| located(error, file, &solver.dockerfile_name, planned.from.span);
        let base = Self::base(solving, index).map_err(|mut failure| {
            solver.listener.event(Event::Failed(first));
            if failure.excerpt.is_empty() && !matches!(failure.error, BuildError::Canceled) {
                failure = at(failure.error);
            }
            failure
        })?;
        solver.listener.event(Event::Done(first, base.key.short().to_owned()));
        let request = solver.request;
        let filtered = request
            .no_cache_filter
            .iter()
            .any(|name| Some(name.to_lowercase()) == planned.name || name.parse() == Ok(index));
        let mut build = StageBuild {
            solving,
            index,
            planned,
            state: base.state.inherit(),
            chain: base.chain.clone(),
            key: base.key.clone(),
            no_cache: request.no_cache || filtered,
            expander: file.expander(),
            step: first,
            tail: std::collections::VecDeque::new(),
        };
        let from_image = matches!(planned.base, Base::Image(_));
        let triggers = if from_image { build.triggers(file).map_err(at)? } else { Vec::new() };
        for trigger in &triggers {
            // Its text is not in this file: the FROM is to blame.
            build.instruction(trigger).map_err(|failure| at(failure.error))?;
        }
        for (offset, instruction) in planned.body.iter().enumerate() {
            build.step = first + offset + 1;
            begin(offset + 2, &one_line(instruction));
            let result = build.instruction(instruction);
            match result {
                Ok(()) => solver.listener.event(Event::Done(build.step, build.key.short().to_owned())),
                Err(mut failure) => {
                    solver.listener.event(Event::Failed(build.step));
                    if failure.excerpt.is_empty() && !matches!(failure.error, BuildError::Canceled) {
                        failure = located(failure.error, file, &solver.dockerfile_name, instruction.span);
                        failure.output = build.tail.into();
                    }
                    return Err(failure);
                }
            }
        }
        Ok(Stage { state: build.state, chain: build.chain, key: build.key })
    }

    fn base(solving: &Solving<'_>, index: usize) -> Built<Stage> {
        let planned = &solving.plan.stages[index];
        let solver = solving.solver;
        let scratch = || State::scratch(&planned.platform);
        Ok(match &planned.base {
            Base::Scratch => Stage { state: scratch(), chain: Chain::default(), key: Digest::of(b"scratch") },
            Base::Stage(base) => (*solving.stage(*base)?).clone(),
            Base::Image(name) => solver.image(name, &planned.platform)?,
            Base::Context(name) => {
                // The directory's files are the root filesystem.
                let stage = Stage { state: scratch(), chain: Chain::default(), key: Digest::of(b"scratch") };
                crate::transfer::whole_context(solving, stage, name)?
            }
        })
    }

    /// The base image's ONBUILD instructions.
    fn triggers(&mut self, file: &Dockerfile) -> Result<Vec<Instruction>> {
        let mut triggers = Vec::new();
        for expression in self.state.on_build() {
            let escape = if file.escape == '`' { "# escape=`\n" } else { "" };
            let parsed = Dockerfile::parse(&format!("{escape}FROM scratch\n{expression}\n"));
            let parsed = parsed.map_err(|error| {
                BuildError::Value(format!("the base image's ONBUILD `{expression}` is wrong: {}", error.problem))
            })?;
            triggers.extend(parsed.instructions.into_iter().skip(1));
        }
        self.state.clear_on_build();
        Ok(triggers)
    }

    fn instruction(&mut self, instruction: &Instruction) -> Built<()> {
        self.solving.solver.check_canceled()?;
        self.tail.clear();
        let text = match &instruction.kind {
            Kind::Run(run) => return self.run_command(run, instruction),
            Kind::Copy(transfer) | Kind::Add(transfer) => return self.transfer(transfer, instruction),
            Kind::Workdir(word) => return Ok(self.workdir(word)?),
            _ => self.configure(instruction)?,
        };
        self.state.note(text, None);
        Ok(())
    }

    /// Instructions that change nothing but the configuration; returns what the history says.
    fn configure(&mut self, instruction: &Instruction) -> Result<String> {
        match &instruction.kind {
            Kind::Env(pairs) => {
                let pairs = self.pairs(pairs)?;
                pairs.iter().for_each(|(name, value)| self.state.set_env(name, value));
                Ok(format!("ENV {}", joined(&pairs)))
            }
            Kind::Label(pairs) => {
                let pairs = self.pairs(pairs)?;
                self.state.add_labels(pairs.clone());
                Ok(format!("LABEL {}", joined(&pairs)))
            }
            Kind::Arg(definitions) => self.arg(definitions),
            Kind::Cmd(command) => {
                let command = self.command_line(command);
                self.state.set_cmd(command.clone());
                Ok(format!("CMD {}", quoted(&command)))
            }
            Kind::Entrypoint(command) => {
                let command = self.command_line(command);
                self.state.set_entrypoint(command.clone());
                Ok(format!("ENTRYPOINT {}", quoted(&command)))
            }
            Kind::Expose(words) => {
                let mut ports = Vec::new();
                for word in words {
                    let lookup = |name: &str| self.lookup(name);
                    for port in self.expander.expand(&word.text, &lookup)?.words {
                        ports.extend(exposed(&port)?);
                    }
                }
                self.state.add_keys("ExposedPorts", ports.clone());
                Ok(format!("EXPOSE [{}]", ports.join(" ")))
            }
            Kind::User(word) => {
                let user = self.expand(&word.text)?;
                self.state.set("User", json!(user));
                Ok(format!("USER {user}"))
            }
            Kind::Volume(words) => {
                let volumes = words.iter().map(|word| self.expand(&word.text)).collect::<Result<Vec<_>>>()?;
                if volumes.iter().any(String::is_empty) {
                    return Err(BuildError::Value("VOLUME specified can not be an empty string".to_owned()));
                }
                self.state.add_keys("Volumes", volumes.clone());
                Ok(format!("VOLUME [{}]", volumes.join(" ")))
            }
            Kind::StopSignal(word) => {
                let signal = self.expand(&word.text)?;
                let known: std::result::Result<drua_types::Signal, _> = signal.parse();
                known.map_err(|_| BuildError::Value(format!("Invalid signal: {signal}")))?;
                self.state.set("StopSignal", json!(signal));
                Ok(format!("STOPSIGNAL {signal}"))
            }
            Kind::Shell(words) => {
                let shell: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                self.state.set("Shell", json!(shell));
                Ok(format!("SHELL [{}]", shell.join(" ")))
            }
            Kind::Healthcheck(check) => {
                let value = self.healthcheck(check);
                self.state.set("Healthcheck", value.clone());
                Ok(format!("HEALTHCHECK {value}"))
            }
            Kind::Onbuild(trigger) => {
                let expression = trigger.expression();
                self.state.add_on_build(expression.clone());
                Ok(format!("ONBUILD {expression}"))
            }
            Kind::Maintainer(word) => {
                self.state.set_author(&word.text);
                Ok(format!("MAINTAINER {}", word.text))
            }
            Kind::From(_) | Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_) => Ok(String::new()),
        }
    }

    fn arg(&mut self, definitions: &[drua_dockerfile::ArgDefinition]) -> Result<String> {
        let mut texts = Vec::new();
        for definition in definitions {
            let name = &definition.name.text;
            let default = definition.value.as_ref().map(|value| self.expand(&value.text)).transpose()?;
            let given = self.solving.plan.given.get(name).cloned();
            // What stands in the file shows in the history, what was given does not.
            texts.push(match &default {
                Some(default) => format!("{name}={default}"),
                None => name.clone(),
            });
            let global = || self.solving.plan.globals.get(name).cloned();
            let value = given.or(default).or_else(global);
            self.state.declare(name, value);
        }
        Ok(format!("ARG {}", texts.join(" ")))
    }

    fn workdir(&mut self, word: &Word) -> Result<()> {
        let text = self.expand(&word.text)?;
        if text.is_empty() {
            return Err(BuildError::Value("WORKDIR must not be empty".to_owned()));
        }
        let path = self.absolute(&text);
        let path = if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path };
        self.state.set("WorkingDir", json!(path));
        let layer = self.make_workdir(&path)?;
        self.state.note(format!("WORKDIR {path}"), layer);
        Ok(())
    }

    /// Makes a working directory that is not there; says when, if that took a layer.
    fn make_workdir(&mut self, path: &str) -> Result<Option<i64>> {
        let solver = self.solving.solver;
        let key = self.next_key(&json!({"op": "mkdir", "path": path}));
        let text = format!("WORKDIR {path}");
        let record = self.step(&key, &text, |build| {
            let tree = solver.tree_of(&build.chain)?;
            let inside = crate::tree::inside(path);
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
            if tree.root().open_at(&inside, flags, rustix::fs::Mode::empty()).is_ok() {
                return solver.cache.remember(&key, None, &text, 0);
            }
            let draft = solver.cache.begin()?;
            let root = build.writable(&draft, false)?;
            let options = crate::copy::CopyOptions::default();
            crate::copy::Target::new(&root, path, &options).directory(&inside)?;
            drop(root);
            solver.cache.keep(&key, &text, draft, &solver.uses)
        })?;
        let layer = record.snapshot.as_ref().map(|_| record.created);
        self.advance(key, record);
        Ok(layer)
    }

    /// A root filesystem that can be written to: the stage's, or an empty one for `--link`.
    pub(crate) fn writable(&self, draft: &crate::cache::Draft, empty: bool) -> Result<drua_sys::root_fs::Root> {
        let upper = draft.upper();
        let lowers = self.chain.lowers(self.solving.solver.cache);
        let root = if empty || lowers.is_empty() {
            crate::fsutil::open_dir(&upper)
        } else {
            let work = draft.work();
            drua_sys::overlay::mount(&lowers, Some(drua_sys::overlay::Upper { dir: &upper, work: &work }))
        };
        root.map(drua_sys::root_fs::Root::from_fd).map_err(BuildError::io("mount", &upper))
    }

    /// The key of what follows from the present files by an operation.
    pub(crate) fn next_key(&self, operation: &Value) -> Digest {
        Digest::of(format!("{}\0{operation}", self.key).as_bytes())
    }

    /// Looks a step up, or does it; never twice at the same time.
    pub(crate) fn step(
        &mut self,
        key: &Digest,
        _text: &str,
        work: impl FnOnce(&mut Self) -> Result<Record>,
    ) -> Result<Record> {
        let solver = self.solving.solver;
        let claim = solver.cache.claim(key, solver.cancel)?;
        if !self.no_cache
            && let Some(record) = solver.cache.find(key, &solver.uses)
        {
            solver.listener.event(Event::Cached(self.step));
            return Ok(record);
        }
        solver.check_canceled()?;
        let record = work(self);
        drop(claim);
        record
    }

    /// Goes on from a step's result.
    pub(crate) fn advance(&mut self, key: Digest, record: Record) {
        self.key = key;
        if let Some(id) = record.snapshot {
            self.chain.layers.push(LayerRef::Snapshot { id });
        }
    }

    /// The value of a variable: ENV, then ARG.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        self.state.env_value(name).or_else(|| self.state.arg(name))
    }

    pub(crate) fn expand(&self, text: &str) -> Result<String> {
        Ok(self.expander.expand(text, &|name| self.lookup(name))?.text)
    }

    /// A path that starts at the working directory unless it is absolute; a slash at the end stays.
    pub(crate) fn absolute(&self, path: &str) -> String {
        let joined = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.state.cwd()) };
        let is_dir = joined.ends_with('/') || joined.ends_with("/.") || path == "." || path.ends_with("/..");
        let clean = crate::tree::inside(&joined);
        let text = format!("/{}", clean.display());
        if is_dir && text != "/" { format!("{text}/") } else { text }
    }

    fn pairs(&self, pairs: &[Pair]) -> Result<Vec<(String, String)>> {
        let name = |pair: &Pair| {
            let name = self.expand(&pair.name.text)?;
            if name.is_empty() { Err(BuildError::Value("a name is blank".to_owned())) } else { Ok(name) }
        };
        pairs.iter().map(|pair| Ok((name(pair)?, self.expand(&pair.value.text)?))).collect()
    }

    /// A command as the image keeps it.
    pub(crate) fn command_line(&self, command: &CommandLine) -> Vec<String> {
        match command {
            CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
            CommandLine::Shell(word) if word.text.is_empty() => Vec::new(),
            CommandLine::Shell(word) => self.state.shell().into_iter().chain([word.text.clone()]).collect(),
        }
    }

    fn healthcheck(&self, check: &Healthcheck) -> Value {
        let test: Vec<String> = match &check.check {
            Check::None => vec!["NONE".to_owned()],
            Check::Command(CommandLine::Exec(words)) => {
                std::iter::once("CMD".to_owned()).chain(words.iter().map(|word| word.text.clone())).collect()
            }
            Check::Command(CommandLine::Shell(word)) => vec!["CMD-SHELL".to_owned(), word.text.clone()],
        };
        let mut value = json!({"Test": test});
        for (key, nanos) in [
            ("Interval", check.interval),
            ("Timeout", check.timeout),
            ("StartPeriod", check.start_period),
            ("StartInterval", check.start_interval),
        ] {
            if let Some(nanos) = nanos {
                value[key] = json!(nanos);
            }
        }
        if let Some(retries) = check.retries {
            value["Retries"] = json!(retries);
        }
        value
    }

    /// Remembers the last lines that a command wrote.
    pub(crate) fn remember_output(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split('\n');
        if let (Some(last), Some(first)) = (self.tail.back_mut(), lines.next()) {
            if last.len() < 2000 {
                last.push_str(first.trim_end_matches('\r'));
            }
        } else {
            self.tail.push_back(text.split('\n').next().unwrap_or_default().to_owned());
        }
        for line in lines {
            self.tail.push_back(line.chars().take(2000).collect());
        }
        while self.tail.len() > TAIL + 1 {
            self.tail.pop_front();
        }
    }
}

impl Solving<'_> {
    /// `[linux/arm64 build ` for step titles.
    fn prefix(&self, index: usize) -> String {
        let mut words = vec![self.label.clone()];
        let stage = &self.plan.stages[index];
        words.push(match &stage.name {
            Some(name) => name.clone(),
            None if self.plan.needed.len() > 1 => format!("stage-{index}"),
            None => String::new(),
        });
        words.retain(|word| !word.is_empty());
        format!("[{}{}", words.join(" "), if words.is_empty() { "" } else { " " })
    }
}

/// An instruction on one line, its heredocs left out.
pub(crate) fn one_line(instruction: &Instruction) -> String {
    let text: Vec<&str> = instruction.text.split_whitespace().collect();
    text.join(" ")
}

fn joined(pairs: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{name}={value}");
    pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// A list as the history shows it: quoted, without commas.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| json!(word).to_string()).collect();
    format!("[{}]", words.join(" "))
}

/// `80`, `80/udp`, `8000-8003/tcp` as the configuration names ports.
fn exposed(text: &str) -> Result<Vec<String>> {
    let bad = || BuildError::Value(format!("invalid containerPort: {text}"));
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(BuildError::Value(format!("invalid proto: {protocol}")));
    }
    // `ip:host:container` is accepted, as Docker does; the image keeps the container's port.
    let ports = ports.rsplit(':').next().unwrap_or(ports);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
