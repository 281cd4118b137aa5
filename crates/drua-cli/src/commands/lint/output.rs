//! Findings for people.

use drua_lint::{Diagnostic, Fixed, Report, Rule, Safety, Severity};
use similar::TextDiff;
use std::fmt::Write as _;

use super::counts;
use crate::ui::Paint;

/// Characters of a line that are shown.
const WIDTH: usize = 160;

fn colored(severity: Severity, paint: Paint) -> String {
    match severity {
        Severity::Error => paint.red("error"),
        Severity::Warning => paint.yellow("warning"),
        Severity::Info => paint.cyan("info"),
        Severity::Style => paint.cyan("style"),
    }
}

/// Every finding with its line:
///
/// ```text
/// Dockerfile:3:20: warning DL3008: no version is given for curl
///   |
/// 3 | RUN apt-get install curl
///   |                     ^^^^
///   = help: …
/// ```
pub(super) fn findings(report: &Report, source: &dyn Fn(&str) -> String, paint: Paint) -> String {
    let mut text = String::new();
    let mut file = (String::new(), String::new());
    for found in &report.diagnostics {
        if file.0 != found.file {
            file = (found.file.clone(), source(&found.file));
        }
        text.push_str(&finding(found, &file.1, paint));
        text.push('\n');
    }
    text
}

fn finding(found: &Diagnostic, source: &str, paint: Paint) -> String {
    let code = found.rule.code;
    let line_number = found.start.line.to_string();
    let margin = " ".repeat(line_number.len());
    let mut text = format!(
        "{}:{}:{}: {} {code}: {}\n",
        found.file,
        found.start.line,
        found.start.column,
        colored(found.severity, paint),
        clean(&found.message)
    );
    if let Some(line) = source.lines().nth(found.start.line - 1) {
        let (line, caret) = excerpt(line, found);
        let _ = writeln!(text, "{margin} |\n{line_number} | {line}\n{margin} | {}", paint.yellow(&caret));
    }
    if let Some(help) = &found.help {
        let _ = writeln!(text, "{margin} = {} {}", paint.cyan("help:"), clean(help));
    }
    if let Some(fix) = &found.fix {
        let how = match fix.safety {
            Safety::Safe => "--fix",
            Safety::Unsafe => "--unsafe-fix",
        };
        let saves = found.saves.map(|bytes| format!(", saves about {}", size(bytes))).unwrap_or_default();
        let _ = writeln!(text, "{margin} = {} {} ({how}{saves})", paint.green("fix:"), clean(&fix.title));
    } else if let Some(bytes) = found.saves {
        let _ = writeln!(text, "{margin} = saves about {}", size(bytes));
    }
    text
}

/// No control characters of a file reach a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The line and the carets below it; long lines are cut to a window.
fn excerpt(line: &str, found: &Diagnostic) -> (String, String) {
    let start = line.get(..found.start.column - 1).map_or(0, |before| before.chars().count());
    let end = match found.end.line == found.start.line {
        true => line.get(..found.end.column - 1).map_or(start + 1, |before| before.chars().count()),
        false => line.trim_end().chars().count(),
    };
    let from = if start < WIDTH * 3 / 4 { 0 } else { start - WIDTH / 2 };
    let shown: String = line.chars().skip(from).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let length = end.saturating_sub(start).clamp(1, (WIDTH + from).saturating_sub(start).max(1));
    (shown.trim_end().to_owned(), format!("{}{}", " ".repeat(start - from), "^".repeat(length)))
}

/// What was found and what can be done about it, in a line or two.
pub(super) fn summary(report: &Report, mended: &[Fixed], known: usize, files: usize) -> String {
    let mut lines = Vec::new();
    let applied: usize = mended.iter().map(|file| file.applied.len()).sum();
    if applied > 0 {
        let s = if applied == 1 { "" } else { "s" };
        lines.push(format!("mended {applied} finding{s} in {} of {files} files", mended.len()));
    }
    let total = report.diagnostics.len();
    let by_severity: Vec<String> =
        counts(report).into_iter().map(|(severity, count)| format!("{count} {}", severity.name())).collect();
    let mut hidden = Vec::new();
    if report.ignored > 0 {
        hidden.push(format!("{} silenced by comments", report.ignored));
    }
    if known > 0 {
        hidden.push(format!("{known} in the baseline"));
    }
    let hidden = if hidden.is_empty() { String::new() } else { format!("; {}", hidden.join(", ")) };
    match total {
        0 => lines.push(format!("nothing found in {files} file{}{hidden}", if files == 1 { "" } else { "s" })),
        _ => lines.push(format!("found {total}: {}{hidden}", by_severity.join(", "))),
    }
    let fixable = |safety| {
        report.diagnostics.iter().filter(|found| found.fix.as_ref().is_some_and(|fix| fix.safety == safety)).count()
    };
    match (fixable(Safety::Safe), fixable(Safety::Unsafe)) {
        (0, 0) => {}
        (safe, 0) => lines.push(format!("`--fix` mends {safe}")),
        (0, more) => lines.push(format!("`--unsafe-fix` mends {more}, which may change what the image does")),
        (safe, more) => lines.push(format!("`--fix` mends {safe}, `--unsafe-fix` {more} more")),
    }
    let refused: usize = mended.iter().map(|file| file.refused.len()).sum();
    if refused > 0 {
        lines.push(format!("{refused} fixes were taken back: the result would have been another build"));
    }
    lines.join("\n")
}

/// A unified diff.
pub(super) fn diff(path: &str, old: &str, new: &str, paint: Paint) -> String {
    if old == new {
        return String::new();
    }
    let diff = TextDiff::from_lines(old, new);
    let plain = diff.unified_diff().context_radius(3).header(&format!("a/{path}"), &format!("b/{path}")).to_string();
    let line = |line: &str| match line.as_bytes().first() {
        Some(b'+') => paint.green(line),
        Some(b'-') => paint.red(line),
        Some(b'@') => paint.cyan(line),
        _ => line.to_owned(),
    };
    plain.lines().map(|text| line(&text.replace('\r', "")) + "\n").collect()
}

/// What instructions add to the image.
pub(super) fn estimates(report: &Report) -> String {
    if report.estimates.is_empty() {
        return "nothing is known about sizes: no base image is here, and no files are copied\n".to_owned();
    }
    let mut text = String::from("     SIZE  INSTRUCTION\n");
    for estimate in &report.estimates {
        let _ = writeln!(
            text,
            "{:>9}  {}:{} {} ({})",
            size(estimate.bytes),
            estimate.file,
            estimate.line,
            clean(&estimate.what),
            estimate.from
        );
    }
    text
}

/// Bytes in the units of `docker images`.
fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit < 4 {
        value /= 1000.0;
        unit += 1;
    }
    let unit = ["B", "kB", "MB", "GB", "TB"][unit];
    if value < 10.0 && unit != "B" { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// A rule at length.
pub(super) fn explanation(rule: &Rule, paint: Paint) -> String {
    let name = if rule.name == rule.code { String::new() } else { format!(" ({})", rule.name) };
    let mut text = format!("{}{name}: {}\n", paint.cyan(rule.code), rule.summary);
    let _ = writeln!(text, "\n{}\n", rule.why);
    for (title, example) in [(paint.red("wrong"), rule.bad), (paint.green("right"), rule.good)] {
        let _ = writeln!(text, "{title}");
        for line in example.lines() {
            let _ = writeln!(text, "    {line}");
        }
        text.push('\n');
    }
    let fix = match rule.fix {
        None => "none".to_owned(),
        Some(Safety::Safe) => "--fix".to_owned(),
        Some(Safety::Unsafe) => "--unsafe-fix".to_owned(),
    };
    let off = if rule.on { "" } else { ", off unless enabled" };
    let _ = writeln!(text, "severity: {}{off}\nfix: {fix}", rule.severity.name());
    if !rule.aliases.is_empty() {
        let _ = writeln!(text, "also known as: {}", rule.aliases.join(", "));
    }
    let _ = writeln!(text, "silence: # drua ignore={} why\nmore: {}", rule.code, rule.url());
    text
}
