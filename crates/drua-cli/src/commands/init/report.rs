//! What the user sees of it: the overview, differences, the end, and the same as JSON.

use std::fmt::Write as _;

use drua_init::{Hunk, Rendered, Service};
use serde_json::{Value, json};

use super::choices::Choices;
use super::files::{Action, Target};
use crate::ui::Paint;

/// What was found, with the reason for each line.
pub(super) fn overview(choices: &Choices<'_>, paint: Paint) -> String {
    let mut text = String::new();
    for (_, service) in choices.services() {
        let place = if service.dir.is_empty() { String::new() } else { format!(" in `{}`", service.dir) };
        let _ = writeln!(text, "{}{place}", paint.green(&service.title));
        for evidence in &service.evidence {
            let _ = writeln!(text, "  {evidence}");
        }
        let width = service.settings.iter().map(|(_, setting)| setting.value.len().min(44)).max().unwrap_or_default();
        for (key, setting) in service.settings.iter().filter(|(_, setting)| !setting.value.is_empty()) {
            let key = format!("{key:9}");
            let _ = writeln!(text, "  {} {:width$}  {}", paint.cyan(&key), setting.value, setting.evidence);
        }
    }
    for database in &choices.databases {
        let evidence = choices.services().find_map(|(_, service)| reason(service, *database));
        let _ = writeln!(
            text,
            "{}  {}",
            paint.green(database.title()),
            evidence.unwrap_or_else(|| "you said so".to_owned())
        );
    }
    let others: Vec<&str> =
        choices.places.iter().filter(|place| !place.chosen).map(|place| place.service.dir.as_str()).collect();
    if !others.is_empty() {
        let _ = writeln!(text, "not taken: {} (`--service DIR` takes others)", others.join(", "));
    }
    for note in &choices.notes {
        let _ = writeln!(text, "{} {note}", paint.yellow("note:"));
    }
    text.trim_end().to_owned()
}

fn reason(service: &Service, database: drua_init::Database) -> Option<String> {
    service.databases.iter().find(|(one, _)| *one == database).map(|(_, evidence)| evidence.to_string())
}

/// How a file on disk and a new one differ.
pub(super) fn difference(target: &Target, paint: Paint) -> String {
    unified(&target.file.path, target.old.as_deref().unwrap_or_default(), &target.file.text, paint)
}

fn unified(path: &str, old: &str, new: &str, paint: Paint) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    let text = diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
    let paint_line = |line: &str| match line.as_bytes().first() {
        Some(b'+') => paint.green(line),
        Some(b'-') => paint.red(line),
        Some(b'@') => paint.cyan(line),
        _ => line.to_owned(),
    };
    text.lines().map(paint_line).collect::<Vec<_>>().join("\n")
}

/// One place of a difference.
pub(super) fn hunk(hunk: &Hunk, paint: Paint) -> String {
    let mut text = paint.cyan(&format!("@@ line {} @@", hunk.line + 1));
    for (sign, lines) in [("-", &hunk.old), ("+", &hunk.new)] {
        for line in lines {
            let line = format!("{sign}{}", line.trim_end());
            text.push('\n');
            text.push_str(&if sign == "-" { paint.red(&line) } else { paint.green(&line) });
        }
    }
    text
}

/// A line for each file.
pub(super) fn outcome(targets: &[Target], backups: &[(String, String)], paint: Paint) -> String {
    let mut text = String::new();
    for target in targets {
        let path = &target.file.path;
        let backup = backups
            .iter()
            .find(|(old, _)| old == path)
            .map(|(_, new)| format!(" (was kept as {new})"))
            .unwrap_or_default();
        let _ = match target.action {
            Action::Create => writeln!(text, "{} {path}", paint.green("CREATED:")),
            Action::Merge(_) => writeln!(text, "{} {path}{backup}", paint.green("MERGED:")),
            Action::Replace => writeln!(text, "{} {path}{backup}", paint.green("REPLACED:")),
            Action::Same => writeln!(text, "unchanged: {path}"),
            Action::Keep => {
                writeln!(text, "{} {path} (yours differs: `drua init --diff` shows how)", paint.yellow("KEPT:"))
            }
        };
    }
    text.trim_end().to_owned()
}

/// Everything for programs; version 1 of it.
pub(super) fn json(choices: &Choices<'_>, rendered: &Rendered, targets: &[Target], written: bool) -> Value {
    let evidence = |evidence: &drua_init::Evidence| json!({ "file": evidence.file, "what": evidence.what });
    let service = |service: &Service| {
        let settings: serde_json::Map<String, Value> = service
            .settings
            .iter()
            .map(|(key, setting)| {
                (key.to_string(), json!({ "value": setting.value, "evidence": evidence(&setting.evidence) }))
            })
            .collect();
        json!({
            "name": service.name(), "dir": service.dir, "stack": service.stack.id(), "title": service.title,
            "evidence": service.evidence.iter().map(evidence).collect::<Vec<_>>(), "settings": settings,
        })
    };
    let database = |database: &drua_init::Database| {
        let found = choices.services().flat_map(|(_, service)| &service.databases).find(|(one, _)| one == database);
        json!({ "name": database.id(), "evidence": found.map(|(_, reason)| evidence(reason)) })
    };
    json!({
        "version": 1,
        "services": choices.services().map(|(_, one)| service(one)).collect::<Vec<_>>(),
        "notTaken": choices.places.iter().filter(|place| !place.chosen).map(|place| service(&place.service)).collect::<Vec<_>>(),
        "databases": choices.databases.iter().map(database).collect::<Vec<_>>(),
        "notes": choices.notes,
        "files": targets.iter().map(|target| json!({ "path": target.file.path, "action": target.word(), "text": target.file.text })).collect::<Vec<_>>(),
        "passwords": rendered.passwords,
        "addresses": rendered.addresses.iter().map(|(name, url)| json!({ "service": name, "url": url })).collect::<Vec<_>>(),
        "written": written,
    })
}
