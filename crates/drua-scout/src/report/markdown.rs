//! Markdown for pull requests and job summaries. What strangers wrote is escaped: no HTML, no links, no tables of theirs.

use std::fmt::Write as _;

use super::compare::Comparison;
use super::packages::{bytes, fix};
use super::{Counts, Report, count_of};
use crate::advisory::Severity;
use crate::model::NoteKind;
use crate::text::clean;

/// The report of `cves`.
pub fn markdown(report: &Report<'_>) -> String {
    let target = &report.sbom.target;
    let mut text = format!("<h2>:mag: Vulnerabilities of <code>{}</code></h2>\n\n", html(&target.name));
    text.push_str("<details open=\"true\"><summary>:package: Image reference</summary>\n<table>\n");
    let mut row = |label: &str, value: &str| {
        let _ = writeln!(text, "<tr><td>{label}</td><td>{value}</td></tr>");
    };
    if let Some(digest) = target.digest.as_deref().or(target.image_id.as_deref()) {
        row("digest", &format!("<code>{}</code>", html(digest)));
    }
    row("vulnerabilities", &badges(&report.counts()));
    if let Some(platform) = &target.platform {
        row("platform", &html(platform));
    }
    row("size", &bytes(target.size));
    row("packages", &report.sbom.packages.len().to_string());
    text.push_str("</table>\n</details>\n\n");
    for (index, findings) in report.by_package() {
        let package = &report.sbom.packages[index];
        let counts = Counts::of(findings.iter().copied());
        let purl = package.purl(report.sbom.distro.as_ref()).to_string();
        let _ = write!(
            text,
            "<details><summary>{} <strong>{}</strong> <code>{}</code></summary>\n\n<small><code>{}</code></small><br/>\n",
            badges(&counts),
            html(&package.name),
            html(&package.version),
            html(&purl)
        );
        if let Some(layer) = package.layer().and_then(|layer| report.sbom.layers.get(layer)) {
            let line = layer.dockerfile_line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let _ = writeln!(text, "<small>{line}<code>{}</code></small><br/>", html(&clean(&layer.created_by, 200)));
        }
        for finding in findings {
            let _ = write!(
                text,
                "\n<a href=\"{}\"><code>{} {}</code></a> {}\n<table>\n<tr><td>Affected range</td><td><code>{}</code></td></tr>\n<tr><td>Fixed version</td><td>{}</td></tr>\n",
                html(&finding.url()),
                finding.severity.name(),
                html(&finding.id),
                html(&clean(&finding.summary, 300)),
                html(&finding.range),
                match &finding.fixed {
                    Some(_) => format!("<strong>{}</strong>", html(&fix(finding))),
                    None => fix(finding),
                }
            );
            if let Some(cvss) = &finding.cvss {
                let _ = writeln!(
                    text,
                    "<tr><td>CVSS</td><td>{:.1} <code>{}</code></td></tr>",
                    cvss.score,
                    html(&cvss.vector)
                );
            }
            if let Some(epss) = &finding.epss {
                let _ = writeln!(text, "<tr><td>EPSS</td><td>{:.3}%</td></tr>", epss.score * 100.0);
            }
            if let Some(exploited) = &finding.exploited {
                let _ = writeln!(text, "<tr><td>Exploited since</td><td>{}</td></tr>", html(&exploited.added));
            }
            text.push_str("</table>\n");
        }
        text.push_str("</details>\n\n");
    }
    text.push_str(&notes(report));
    text
}

/// The report of `compare`.
pub fn markdown_comparison(comparison: &Comparison<'_>) -> String {
    let (before, after) = (&comparison.before, &comparison.after);
    let mut text = format!(
        "<h2>:mag: <code>{}</code> compared to <code>{}</code></h2>\n\n",
        html(&after.sbom.target.name),
        html(&before.sbom.target.name)
    );
    text.push_str("| | before | after | change |\n|---|---|---|---|\n");
    let change = after.counts().change_from(&before.counts());
    let _ = writeln!(text, "| vulnerabilities | {} | {} | {change} |", before.counts(), after.counts());
    let _ = writeln!(text, "| size | {} | {} | |", bytes(before.sbom.target.size), bytes(after.sbom.target.size));
    let (was, is) = (before.sbom.packages.len(), after.sbom.packages.len());
    let _ = write!(text, "| packages | {was} | {is} | {:+} |\n\n", is as i64 - was as i64);
    for (title, list) in [("New vulnerabilities", &comparison.added), ("Gone", &comparison.removed)] {
        if list.is_empty() {
            continue;
        }
        let _ = write!(text, "<details><summary>{title}: {}</summary>\n\n", list.len());
        for (id, severity, package) in list {
            let _ = writeln!(text, "- {} {} in <code>{}</code>", severity.name(), html(id), html(package));
        }
        text.push_str("\n</details>\n\n");
    }
    if !comparison.packages.is_empty() {
        let _ = write!(
            text,
            "<details><summary>Packages: {}</summary>\n\n",
            count_of(comparison.packages.len(), "change", "changes")
        );
        for change in &comparison.packages {
            let _ = writeln!(text, "- {}", html(&change.to_string()));
        }
        text.push_str("\n</details>\n");
    }
    text
}

fn notes(report: &Report<'_>) -> String {
    let mut text = String::new();
    for note in report.notes() {
        let mark = if note.kind == NoteKind::Incomplete { ":warning:" } else { ":information_source:" };
        let _ = writeln!(text, "{mark} {}<br/>", html(&note.text));
    }
    text
}

/// Counts as words: badges would be loaded from somebody's server.
fn badges(counts: &Counts) -> String {
    let shown = Severity::ALL.iter().filter(|severity| counts.get(**severity) > 0);
    let words: Vec<String> = shown
        .map(|severity| format!("<code>{} {}</code>", severity.name().to_lowercase(), counts.get(*severity)))
        .collect();
    if words.is_empty() { "<code>none</code>".to_owned() } else { words.join(" ") }
}

/// Text in HTML in Markdown: nothing that either of them reads as its own.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in clean(text, 4000).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '\\' | '#' | '@' => {
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            other => escaped.push(other),
        }
    }
    escaped
}
