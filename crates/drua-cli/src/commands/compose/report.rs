use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drua_api::stream::StreamType;
use drua_compose::{Observer, OutputLine, Resource, ResourceKind, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::{Paint, Printer};

/// Shows what happens: progress on stderr, containers' output on stdout.
///
/// Where somebody watches, each resource has a line that changes; elsewhere each change is a line.
pub(super) struct Report<'a> {
    ui: &'a Printer,
    prefix: Prefix,
    paint: Paint,
    bars: MultiProgress,
    /// What builds write is not shown.
    quiet: bool,
    exits: Option<tokio::sync::mpsc::UnboundedSender<Exit>>,
    state: Mutex<State>,
}

/// A container whose output is shown has exited.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) label: String,
    pub(super) status: i64,
}

/// Whether lines of output begin with the container that wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// `web-1  | `
    Shown,
    /// Nothing.
    Hidden,
}

#[derive(Default)]
struct State {
    lines: Vec<(Resource, ProgressBar)>,
    /// Labels seen so far, in the order of their colours.
    labels: Vec<String>,
    /// The first failure to write; it ends the output.
    broken: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(ui: &'a Printer) -> Self {
        let target = if ui.is_watched() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            ui,
            prefix: Prefix::Shown,
            paint: Paint::for_stdout(),
            bars: MultiProgress::with_draw_target(target),
            quiet: false,
            exits: None,
            state: Mutex::default(),
        }
    }

    /// The same with another look of the containers' output.
    pub(super) fn with_output(mut self, prefix: Prefix, no_color: bool) -> Self {
        self.prefix = prefix;
        if no_color {
            self.paint = Paint::Plain;
        }
        self
    }

    /// Without what builds write.
    pub(super) fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// Says when containers exit.
    pub(super) fn with_exits(mut self, exits: tokio::sync::mpsc::UnboundedSender<Exit>) -> Self {
        self.exits = Some(exits);
        self
    }

    /// A remark between the lines of progress.
    pub(super) fn note(&self, text: &str) {
        self.bars.suspend(|| self.ui.note(text));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What the lock protects is only what has been shown.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, resource: &Resource) -> ProgressBar {
        let mut state = self.state();
        if let Some((_, line)) = state.lines.iter().find(|(known, _)| known == resource) {
            return line.clone();
        }
        let style = ProgressStyle::with_template(" {spinner:.cyan} {msg}  {elapsed:.dim}")
            .expect("the template is well formed")
            .tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]);
        let line = self.bars.add(ProgressBar::new_spinner().with_style(style));
        line.enable_steady_tick(Duration::from_millis(100));
        state.lines.push((resource.clone(), line.clone()));
        line
    }

    fn label(&self, label: &str) -> String {
        let mut state = self.state();
        let number = state.labels.iter().position(|known| known == label).unwrap_or_else(|| {
            state.labels.push(label.to_owned());
            state.labels.len() - 1
        });
        let width = state.labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
        self.paint.of_many(number, &format!("{label:<width$}  | "))
    }
}

impl Observer for Report<'_> {
    fn status(&self, resource: &Resource, status: Status) {
        let text = format!("{} {}  {}", kind(resource.kind), resource.name, word(status));
        if !self.ui.is_watched() {
            self.ui.note(&format!(" {text}"));
            return;
        }
        let line = self.line(resource);
        if is_last(status) {
            let paint = self.ui.paint();
            let mark = if status == Status::Failed { paint.red("✘") } else { paint.green("✔") };
            line.set_style(ProgressStyle::with_template(" {msg}").expect("the template is well formed"));
            line.finish_with_message(format!("{mark} {text}"));
        } else {
            line.reset();
            line.set_message(text);
        }
    }

    fn warning(&self, text: &str) {
        self.bars.suspend(|| self.ui.warning(text));
    }

    fn build_output(&self, image: &str, line: &str) {
        if !self.quiet {
            self.note(&format!("{image}: {line}"));
        }
    }

    fn watching(&self, paths: &[String]) {
        self.note(&format!("Watch enabled: {}", paths.join(", ")));
    }

    fn watch_action(&self, text: &str) {
        self.note(&format!("watch: {text}"));
    }

    fn output(&self, line: OutputLine<'_>) {
        if self.state().broken {
            return;
        }
        let mut bytes = match self.prefix {
            Prefix::Shown => self.label(line.label).into_bytes(),
            Prefix::Hidden => Vec::new(),
        };
        bytes.extend_from_slice(line.line);
        bytes.push(b'\n');
        let written = self.bars.suspend(|| match line.stream {
            StreamType::Stderr | StreamType::SystemError => self.ui.error_data(&bytes),
            StreamType::Stdout | StreamType::Stdin => self.ui.data(&bytes),
        });
        self.state().broken = written.is_err();
    }

    fn exited(&self, label: &str, status: i64) {
        self.note(&format!("{label} exited with code {status}"));
        if let Some(exits) = &self.exits {
            // Nobody waits for them any more.
            let _ = exits.send(Exit { label: label.to_owned(), status });
        }
    }
}

fn kind(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Network => "Network",
        ResourceKind::Volume => "Volume",
        ResourceKind::Container => "Container",
        ResourceKind::Image => "Image",
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pulling => "Pulling",
        Status::Pulled => "Pulled",
        Status::Building => "Building",
        Status::Built => "Built",
        Status::Pushing => "Pushing",
        Status::Pushed => "Pushed",
        Status::Creating => "Creating",
        Status::Created => "Created",
        Status::Recreating => "Recreate",
        Status::Recreated => "Recreated",
        Status::Starting => "Starting",
        Status::Started => "Started",
        Status::Running => "Running",
        Status::Waiting => "Waiting",
        Status::Healthy => "Healthy",
        Status::Completed => "Exited",
        Status::Stopping => "Stopping",
        Status::Stopped => "Stopped",
        Status::Restarting => "Restarting",
        Status::Restarted => "Restarted",
        Status::Killing => "Killing",
        Status::Killed => "Killed",
        Status::Removing => "Removing",
        Status::Removed => "Removed",
        Status::StillInUse => "Resource is still in use",
        Status::Failed => "Error",
    }
}

/// Whether a line stops moving. `Created` does, although a container goes on to `Starting`: its line moves again then.
fn is_last(status: Status) -> bool {
    match status {
        Status::Pulling
        | Status::Building
        | Status::Pushing
        | Status::Creating
        | Status::Recreating
        | Status::Starting
        | Status::Waiting
        | Status::Stopping
        | Status::Restarting
        | Status::Killing
        | Status::Removing => false,
        Status::Pulled
        | Status::Built
        | Status::Pushed
        | Status::Created
        | Status::Recreated
        | Status::Started
        | Status::Running
        | Status::Healthy
        | Status::Completed
        | Status::Stopped
        | Status::Restarted
        | Status::Killed
        | Status::Removed
        | Status::StillInUse
        | Status::Failed => true,
    }
}
