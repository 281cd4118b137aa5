//! The table of results, and its place in docs/performance.md.

use std::{fmt::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use drua_e2e::binary;

use crate::steps;

/// Where a table is in the document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Section {
    /// Everything but images.
    Main,
    /// Pulls, pushes and archives.
    Images,
}

impl Section {
    fn markers(self) -> (&'static str, &'static str) {
        match self {
            Self::Main => ("<!-- bench:begin -->", "<!-- bench:end -->"),
            Self::Images => ("<!-- bench images:begin -->", "<!-- bench images:end -->"),
        }
    }
}

/// One line of the table.
pub(super) struct Row {
    work: String,
    who: String,
    /// Median, minimum, 99th percentile; or one value.
    cells: [String; 3],
}

impl Row {
    pub(super) fn times(work: &str, who: &str, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        let cells = [at(50), times[0], at(99)].map(|time| format!("{:.1} ms", time.as_secs_f64() * 1000.0));
        Self { work: work.to_owned(), who: who.to_owned(), cells }
    }

    pub(super) fn text(work: &str, who: &str, value: String) -> Self {
        Self { work: work.to_owned(), who: who.to_owned(), cells: [value, String::new(), String::new()] }
    }

    pub(super) fn kibibytes(work: &str, kibibytes: u64) -> Self {
        Self::kibibytes_of(work, "drua", kibibytes)
    }

    pub(super) fn kibibytes_of(work: &str, who: &str, kibibytes: u64) -> Self {
        Self::text(work, who, format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024))
    }
}

/// The table in Markdown, rows of the same work together, with the machine and the commit.
pub(super) fn render(rows: &[Row], rounds: usize) -> Result<String> {
    let mut works: Vec<&str> = Vec::new();
    for row in rows {
        if !works.contains(&row.work.as_str()) {
            works.push(&row.work);
        }
    }
    let mut text = format!("{}\n\n", circumstances(rounds)?);
    text.push_str("| work | who | median | min | p99 |\n|---|---|---|---|---|\n");
    for work in works {
        for row in rows.iter().filter(|row| row.work == work) {
            let [median, min, p99] = &row.cells;
            writeln!(text, "| {work} | {} | {median} | {min} | {p99} |", row.who)?;
        }
    }
    Ok(text)
}

fn circumstances(rounds: usize) -> Result<String> {
    let root = binary::workspace();
    let commit = steps::capture("git", &["describe", "--always", "--dirty"], root);
    let commit = commit.map_or_else(|_| "no commit".to_owned(), |text| text.trim().to_owned());
    let release = fs_err::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = release.trim().split('.').take(2).collect::<Vec<_>>().join(".");
    let cpu = fs_err::read_to_string("/proc/cpuinfo")?;
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{cores} cores ({model}), Linux {kernel}, {rounds} rounds, commit {commit}."))
}

/// Puts the text between the markers of a document.
pub(super) fn write(document: &Path, section: Section, text: &str) -> Result<()> {
    let (begin, end) = section.markers();
    let old = fs_err::read_to_string(document)?;
    let (head, rest) = old.split_once(begin).context("the document has no begin marker")?;
    let (_, tail) = rest.split_once(end).context("the document has no end marker")?;
    fs_err::write(document, format!("{head}{begin}\n{text}{end}{tail}"))?;
    Ok(())
}
