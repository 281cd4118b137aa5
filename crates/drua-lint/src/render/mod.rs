//! A report as text for machines: JSON, SARIF, GitHub's annotations; and baselines.

mod docs;
mod sarif;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::{Diagnostic, Report, Severity};

pub use docs::reference;
pub use sarif::sarif;

/// The report as JSON. The format has a version, and keys are only added.
pub fn json(report: &Report) -> Value {
    let finding = |found: &Diagnostic| {
        let fix = found.fix.as_ref().map(|fix| {
            let edits: Vec<Value> = fix
                .edits
                .iter()
                .map(|edit| json!({"start": edit.span.start, "end": edit.span.end, "text": edit.text}))
                .collect();
            let safety = match fix.safety {
                crate::Safety::Safe => "safe",
                crate::Safety::Unsafe => "unsafe",
            };
            json!({"title": fix.title, "safety": safety, "edits": edits})
        });
        json!({
            "rule": found.rule.code, "name": found.rule.name, "severity": found.severity.name(), "file": found.file,
            "line": found.start.line, "column": found.start.column, "endLine": found.end.line, "endColumn": found.end.column,
            "message": found.message, "help": found.help, "url": found.rule.url(), "fix": fix, "saves": found.saves,
        })
    };
    let estimate = |estimate: &crate::Estimate| json!({"file": estimate.file, "line": estimate.line, "what": estimate.what, "bytes": estimate.bytes, "from": estimate.from});
    json!({
        "version": 1,
        "findings": report.diagnostics.iter().map(finding).collect::<Vec<_>>(),
        "estimates": report.estimates.iter().map(estimate).collect::<Vec<_>>(),
        "ignored": report.ignored,
    })
}

/// The report as GitHub's workflow commands, one a line.
pub fn github(report: &Report) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut lines = String::new();
    for found in &report.diagnostics {
        let command = match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info | Severity::Style => "notice",
        };
        let _ = writeln!(
            lines,
            "::{command} file={},line={},col={},endLine={},endColumn={},title={}::{}",
            property(&found.file),
            found.start.line,
            found.start.column,
            found.end.line,
            found.end.column,
            property(found.rule.code),
            data(&found.message),
        );
    }
    lines
}

/// Findings that are known and borne: file → fingerprint → how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline(BTreeMap<String, BTreeMap<String, usize>>);

/// A baseline cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("it is not a lint baseline")]
pub struct BaselineError(#[source] serde_json::Error);

impl Baseline {
    /// Everything that a report has. `source` gives a file's text.
    pub fn of(report: &Report, source: &dyn Fn(&str) -> String) -> Self {
        let mut files: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for found in &report.diagnostics {
            let fingerprint = format!("{} {}", found.rule.code, found.fingerprint(&source(&found.file)));
            *files.entry(found.file.clone()).or_default().entry(fingerprint).or_default() += 1;
        }
        Self(files)
    }

    /// Reads what [`Baseline::to_json`] wrote.
    ///
    /// # Errors
    /// It is not JSON of that form.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        #[derive(serde::Deserialize)]
        struct File {
            files: BTreeMap<String, BTreeMap<String, usize>>,
        }
        let file: File = serde_json::from_str(text).map_err(BaselineError)?;
        Ok(Self(file.files))
    }

    /// As JSON, one finding a line, to be kept beside the files.
    pub fn to_json(&self) -> Value {
        json!({"version": 1, "files": self.0})
    }

    /// Takes what is known out of a report, and returns how much that was.
    pub fn subtract(&self, report: &mut Report, source: &dyn Fn(&str) -> String) -> usize {
        let mut left = self.0.clone();
        let before = report.diagnostics.len();
        report.diagnostics.retain(|found| {
            let fingerprint = format!("{} {}", found.rule.code, found.fingerprint(&source(&found.file)));
            let count = left.get_mut(&found.file).and_then(|file| file.get_mut(&fingerprint));
            match count {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            }
        });
        before - report.diagnostics.len()
    }
}
