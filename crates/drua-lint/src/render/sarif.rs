//! SARIF 2.1.0 (OASIS), as code scanning services take it.

use serde_json::{Value, json};
use std::fmt::Write as _;

use crate::report::{Diagnostic, Report, Severity};
use crate::rules::{self, Rule};

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info | Severity::Style => "note",
    }
}

/// The report as one SARIF run. `source` gives a file's text, `version` is the program's.
pub fn sarif(report: &Report, version: &str, source: &dyn Fn(&str) -> String) -> Value {
    let used: Vec<&Rule> =
        rules::all().filter(|rule| report.diagnostics.iter().any(|found| found.rule == *rule)).collect();
    let number = |rule: &Rule| used.iter().position(|known| *known == rule);
    let result = |found: &Diagnostic| {
        let text = source(&found.file);
        let mut result = json!({
            "ruleId": found.rule.code,
            "ruleIndex": number(found.rule),
            "level": level(found.severity),
            "message": {"text": message(found)},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(&found.file)}, "region": region(found, &text)}}],
            "partialFingerprints": {"drua/v1": found.fingerprint(&text)},
        });
        if let Some(fix) = &found.fix {
            let replacement = |edit: &crate::Edit| {
                json!({"deletedRegion": {"byteOffset": edit.span.start, "byteLength": edit.span.end - edit.span.start},
                       "insertedContent": {"text": edit.text}})
            };
            let replacements: Vec<Value> = fix.edits.iter().map(replacement).collect();
            result["fixes"] = json!([{"description": {"text": fix.title},
                "artifactChanges": [{"artifactLocation": {"uri": uri(&found.file)}, "replacements": replacements}]}]);
        }
        result
    };
    let describe = |rule: &&Rule| {
        json!({"id": rule.code, "name": rule.name, "shortDescription": {"text": rule.summary},
               "fullDescription": {"text": rule.why}, "defaultConfiguration": {"level": level(rule.severity)},
               "help": {"text": format!("{}\n\nwrong:\n{}\nright:\n{}", rule.why, rule.bad, rule.good)}})
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "drua lint", "semanticVersion": version, "rules": used.iter().map(describe).collect::<Vec<_>>()}},
            "columnKind": "unicodeCodePoints",
            "results": report.diagnostics.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn message(found: &Diagnostic) -> String {
    match &found.help {
        Some(help) => format!("{}; {help}", found.message),
        None => found.message.clone(),
    }
}

fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => uri.push(char::from(byte)),
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

/// Lines, and columns in characters.
fn region(found: &Diagnostic, text: &str) -> Value {
    let column = |offset: usize, byte_column: usize| {
        let line_start = offset.saturating_sub(byte_column - 1);
        text.get(line_start..offset).map_or(byte_column, |line| line.chars().count() + 1)
    };
    json!({
        "startLine": found.start.line, "startColumn": column(found.span.start, found.start.column),
        "endLine": found.end.line, "endColumn": column(found.span.end, found.end.column),
        "byteOffset": found.span.start, "byteLength": found.span.end - found.span.start,
    })
}
