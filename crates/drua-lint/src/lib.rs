//! What is wrong in Dockerfiles, `.dockerignore` and compose files, alone and together, and how it is mended.
//!
//! Texts go in, a [`Report`] comes out; the crate opens no files and asks nobody. What it cannot know from texts, such as the
//! files of a build context or the size of a base image, the caller says in [`Input`].
//!
//! ```text
//! Input ─parse─► Unit (instructions, scripts, YAML) ─checks─► findings ─comments, configuration─► Report
//!                                                                 └─fix─► edits ─parse again, compare─► new text
//! ```
//!
//! Rules are the table in [`rules`]; docs/lint.md is made of it.

mod checks;
mod compose;
mod config;
mod eol;
mod fix;
mod images;
mod input;
pub mod render;
mod report;
pub mod rules;
mod shell;
mod silence;
mod size;
mod unit;
mod yaml;

use drua_dockerfile::LineIndex;

pub use compose::{BuildPlace, builds_of};
pub use config::{Config, ConfigError, LabelKind, Level, PerFile};
pub use eol::TABLE_DATE as END_OF_LIFE_DATE;
pub use fix::{Fixed, apply, fix};
pub use input::{Build, ContextFile, Date, Input, KnownImage, Text};
pub use report::{Diagnostic, Edit, Estimate, Fix, Report, Safety, Severity};
pub use rules::{Family, Rule};

use compose::ComposeView;
use report::Sink;
use silence::{CheckDirective, Silences};
use unit::{Unit, View};

/// Looks at everything.
pub fn lint(input: &Input<'_>) -> Report {
    let mut report = Report::default();
    let units: Vec<Unit<'_>> = input.builds.iter().map(|build| Unit::new(*build)).collect();
    let views: Vec<View<'_>> = units.iter().map(View::new).collect();
    for view in &views {
        let text = view.unit.build.dockerfile;
        let mut sink = Sink::new(text.path, &view.unit.index, text.text.len());
        syntax(view.unit, &mut sink);
        checks::dockerfile(view, input, &mut sink);
        settle(sink.found, view, input, &mut report);
        if let Some(ignore) = view.unit.build.ignore {
            take(checks::ignore_file(view), &Silences::of_lines(ignore.text), input, &mut report);
        }
    }
    for text in &input.compose {
        let compose = ComposeView::new(*text);
        let mut sink = Sink::new(text.path, &compose.index, text.text.len());
        checks::compose(&compose, &views, input, &mut sink);
        take(sink.found, &Silences::of_lines(text.text), input, &mut report);
    }
    report.estimates = size::estimates(&views, input);
    report.sort();
    report
}

impl Report {
    fn sort(&mut self) {
        self.diagnostics.sort_by(|a, b| {
            (&a.file, a.span.start, a.rule.code, &a.message).cmp(&(&b.file, b.span.start, b.rule.code, &b.message))
        });
        self.diagnostics.dedup();
    }

    /// Adds what a loader of compose files has found: line, column and length in characters, all from 1.
    pub fn add_compose_error(
        &mut self,
        input: &Input<'_>,
        path: &str,
        (line, column, length): (usize, usize, usize),
        message: &str,
        help: Option<&str>,
    ) {
        let Some(text) = input.compose.iter().find(|text| text.path == path) else { return };
        let index = LineIndex::new(text.text);
        let lines: Vec<&str> = text.text.split_inclusive('\n').collect();
        let start: usize = lines.iter().take(line - 1).map(|line| line.len()).sum();
        let of_line = lines.get(line - 1).copied().unwrap_or_default().trim_end();
        let byte = |chars: usize| of_line.char_indices().nth(chars).map_or(of_line.len(), |(at, _)| at);
        let span = drua_dockerfile::Span::new(start + byte(column - 1), start + byte(column - 1 + length));
        let mut sink = Sink::new(path, &index, text.text.len());
        sink.add("DC0001", span, message).help = help.map(str::to_owned);
        self.diagnostics.append(&mut sink.found);
        self.sort();
    }
}

/// What `docker build` says of a Dockerfile: BuildKit's checks, by the file's own `check=` directive.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildWarnings {
    /// The findings.
    pub warnings: Vec<Diagnostic>,
    /// Whether the file wants them to stop the build.
    pub fatal: bool,
}

/// Looks at a Dockerfile as `docker build` does.
pub fn build_warnings(build: Build<'_>) -> BuildWarnings {
    let input = Input { builds: vec![build], ..Input::default() };
    let unit = Unit::new(build);
    let view = View::new(&unit);
    let mut sink = Sink::new(build.dockerfile.path, &unit.index, build.dockerfile.text.len());
    checks::buildkit(&view, &input, &mut sink);
    let directive = CheckDirective::of(&unit);
    let mut warnings = sink.found;
    warnings.retain(|found| {
        (found.rule.on || silence::is_asked_for(&directive, found)) && !silence::skipped(&directive, found)
    });
    warnings.sort_by_key(|found| found.span.start);
    BuildWarnings { fatal: directive.error && !warnings.is_empty(), warnings }
}

fn syntax(unit: &Unit<'_>, sink: &mut Sink<'_>) {
    const MOST: usize = 50;
    for error in unit.errors.iter().take(MOST) {
        sink.add("DR0001", error.span, error.problem.to_string());
    }
}

/// Takes over what configuration and comments leave of the findings in a file without directives.
fn take(found: Vec<Diagnostic>, silences: &Silences, input: &Input<'_>, report: &mut Report) {
    for mut found in found {
        let Some(severity) = input.config.severity(found.rule, &found.file) else { continue };
        if !input.config.no_inline && silences.cover(&found) {
            report.ignored += 1;
            continue;
        }
        found.severity = severity;
        report.diagnostics.push(found);
    }
}

/// The same for a Dockerfile.
fn settle(found: Vec<Diagnostic>, view: &View<'_>, input: &Input<'_>, report: &mut Report) {
    let silences = if input.config.no_inline { Silences::default() } else { Silences::of_dockerfile(view) };
    let directive = if input.config.no_inline { CheckDirective::default() } else { CheckDirective::of(view.unit) };
    for mut found in found {
        let by_config = input.config.severity(found.rule, &found.file);
        let asked = silence::is_asked_for(&directive, &found).then_some(found.rule.severity);
        let Some(mut severity) = by_config.or(asked) else { continue };
        // A file that cannot be parsed is never fine.
        if found.rule.code != "DR0001" && (silences.cover(&found) || silence::skipped(&directive, &found)) {
            report.ignored += 1;
            continue;
        }
        if directive.error && found.rule.family == Family::BuildKit {
            severity = Severity::Error;
        }
        found.severity = severity;
        report.diagnostics.push(found);
    }
}
