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
mod config;
mod images;
mod input;
mod report;
pub mod rules;
mod shell;
mod silence;
mod unit;
mod yaml;

use drua_dockerfile::LineIndex;

pub use config::{Config, ConfigError, LabelKind, Level, PerFile};
pub use input::{Build, ContextFile, Date, Input, KnownImage, Text};
pub use report::{Diagnostic, Edit, Estimate, Fix, Report, Safety, Severity};
pub use rules::{Family, Rule};

use report::Sink;
use silence::{CheckDirective, Silences};
use unit::{Unit, View};

/// Looks at everything.
pub fn lint(input: &Input<'_>) -> Report {
    let mut report = Report::default();
    for build in &input.builds {
        let unit = Unit::new(*build);
        let view = View::new(&unit);
        let text = build.dockerfile;
        let mut sink = Sink::new(text.path, &unit.index, text.text.len());
        syntax(&unit, &mut sink);
        checks::dockerfile(&view, input, &mut sink);
        settle(sink, &view, input, &mut report);
    }
    report.diagnostics.sort_by(|a, b| {
        (&a.file, a.span.start, a.rule.code, &a.message).cmp(&(&b.file, b.span.start, b.rule.code, &b.message))
    });
    report
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

/// Takes over what configuration and comments leave.
fn settle(sink: Sink<'_>, view: &View<'_>, input: &Input<'_>, report: &mut Report) {
    let silences = if input.config.no_inline { Silences::default() } else { Silences::of_dockerfile(view) };
    let directive = if input.config.no_inline { CheckDirective::default() } else { CheckDirective::of(view.unit) };
    for mut found in sink.found {
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

/// Line starts of a text, for places in it.
pub(crate) fn index(text: &str) -> LineIndex {
    LineIndex::new(text)
}
