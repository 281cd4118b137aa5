//! How a build shows itself.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::failure::Failure;
use crate::ui::Printer;

/// `--progress`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// Moving lines on a terminal, plain text elsewhere.
    Auto,
    /// Everything, line by line.
    Plain,
    /// Moving lines.
    Tty,
    /// Nothing.
    Quiet,
    /// Events as JSON lines.
    Rawjson,
}

/// Shows events.
#[derive(Debug)]
pub(super) struct Display {
    ui: Printer,
    style: Style,
    steps: BTreeMap<u64, Step>,
    bars: MultiProgress,
    /// What should be known but stops nothing, for the end.
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Step {
    title: String,
    since: Instant,
    cached: bool,
    /// Output that has no end of line yet.
    rest: String,
    bar: Option<ProgressBar>,
}

impl Display {
    pub(super) fn new(ui: Printer, style: Style, quiet: bool) -> Self {
        let style = match style {
            _ if quiet => Style::Quiet,
            Style::Auto if ui.is_watched() => Style::Tty,
            Style::Auto => Style::Plain,
            style => style,
        };
        let target = if style == Style::Tty { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { ui, style, steps: BTreeMap::new(), bars: MultiProgress::with_draw_target(target), warnings: Vec::new() }
    }

    pub(super) fn event(&mut self, event: &Value) {
        match self.style {
            Style::Quiet => return,
            Style::Rawjson => return self.ui.note(&event.to_string()),
            Style::Auto | Style::Plain | Style::Tty => {}
        }
        let step_of = |value: &Value| value.as_u64().unwrap_or_default();
        if let Some(started) = event.get("started") {
            self.started(step_of(&started["step"]), started["title"].as_str().unwrap_or_default());
        } else if let Some(step) = event.get("cached") {
            if let Some(step) = self.steps.get_mut(&step_of(step)) {
                step.cached = true;
            }
        } else if let Some(output) = event.get("output") {
            self.output(step_of(&output["step"]), output["text"].as_str().unwrap_or_default());
        } else if let Some(done) = event.get("done") {
            self.done(step_of(&done["step"]));
        } else if let Some(step) = event.get("stopped") {
            self.stopped(step_of(step));
        } else if let Some(text) = event["warning"].as_str() {
            self.warnings.push(text.to_owned());
        } else if event.get("exporting").is_some() {
            self.say("exporting to image");
        }
    }

    fn say(&self, text: &str) {
        match self.style {
            // Fails only when stderr is gone.
            Style::Tty => drop(self.bars.println(format!(" => {text}"))),
            _ => self.ui.note(text),
        }
    }

    fn started(&mut self, number: u64, title: &str) {
        let bar = (self.style == Style::Tty).then(|| {
            let style =
                ProgressStyle::with_template(" {spinner} {msg} {elapsed}").expect("the template is well formed");
            let bar = self.bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_message(shorten(title, 100));
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        });
        if self.style == Style::Plain {
            self.ui.note(&format!("#{} {title}", number + 1));
        }
        let step = Step { title: title.to_owned(), since: Instant::now(), cached: false, rest: String::new(), bar };
        self.steps.insert(number, step);
    }

    fn output(&mut self, number: u64, text: &str) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        step.rest.push_str(text);
        let Some(end) = step.rest.rfind('\n') else { return };
        let whole: String = step.rest.drain(..=end).collect();
        let elapsed = step.since.elapsed().as_secs_f32();
        if let Some(bar) = &step.bar {
            let last = whole.trim_end().rsplit('\n').next().unwrap_or_default();
            bar.set_message(format!("{}  {}", shorten(&step.title, 50), shorten(last, 60)));
        } else {
            for line in whole.lines() {
                self.ui.note(&format!("#{} {elapsed:.3} {line}", number + 1));
            }
        }
    }

    fn done(&mut self, number: u64) {
        let Some(mut step) = self.steps.remove(&number) else { return };
        let elapsed = step.since.elapsed().as_secs_f32();
        if !step.rest.is_empty() && step.bar.is_none() {
            let rest = std::mem::take(&mut step.rest);
            self.ui.note(&format!("#{} {elapsed:.3} {rest}", number + 1));
        }
        match &step.bar {
            Some(bar) => {
                bar.finish_and_clear();
                self.bars.remove(bar);
                let note = if step.cached { "CACHED ".to_owned() } else { String::new() };
                self.say(&format!("{note}{}  {elapsed:.1}s", shorten(&step.title, 100)));
            }
            None if step.cached => self.ui.note(&format!("#{} CACHED\n", number + 1)),
            None => self.ui.note(&format!("#{} DONE {elapsed:.1}s\n", number + 1)),
        }
    }

    fn stopped(&mut self, number: u64) {
        let Some(step) = self.steps.remove(&number) else { return };
        match &step.bar {
            Some(bar) => {
                bar.finish_and_clear();
                self.bars.remove(bar);
                self.say(&format!("ERROR {}", step.title));
            }
            None => {
                if !step.rest.is_empty() {
                    self.ui.note(&format!("#{} {}", number + 1, step.rest));
                }
                self.ui.note(&format!("#{} ERROR\n", number + 1));
            }
        }
    }

    /// Takes away what moves.
    pub(super) fn clear(&self) {
        // Fails only when stderr is gone.
        let _ = self.bars.clear();
    }

    /// Names what came out.
    pub(super) fn finish(&self, built: &Value) {
        self.clear();
        if matches!(self.style, Style::Quiet | Style::Rawjson) {
            return;
        }
        if let Some(id) = built["id"].as_str() {
            self.ui.note(&format!("built {id}"));
        }
        for name in built["names"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.ui.note(&format!("named {name}"));
        }
        if !self.warnings.is_empty() {
            let count = self.warnings.len();
            let s = if count == 1 { "" } else { "s" };
            self.ui.note(&format!("\n {count} warning{s} found (use `drua build --check` to see where):"));
            self.warnings.iter().for_each(|text| self.ui.note(&format!(" - {text}")));
        }
    }

    /// The failure with its last output and its place in the Dockerfile.
    pub(super) fn failed(&self, failed: &Value) -> Failure {
        self.clear();
        let text = |key: &str| failed[key].as_str().unwrap_or_default();
        let output: Vec<&str> = failed["output"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let output = output.join("\n");
        if !output.trim().is_empty() {
            self.ui.note(&format!("------\n{}\n------", output.trim_end()));
        }
        if !text("excerpt").is_empty() {
            self.ui.note(text("excerpt").trim_end());
        }
        let hints = failed["hints"].as_array().into_iter().flatten().filter_map(Value::as_str);
        hints.fold(Failure::message(text("message")), |failure, hint| failure.hint(hint))
    }
}

fn shorten(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
