//! `drua lint` beside hadolint: time over the same Dockerfiles in the same run, and agreement rule by rule.
//!
//! The corpus is a folder of Dockerfiles, filled up with generated ones to [`FILES`]. Both programs get all files in one
//! process, in turn, after one round that does not count.

use std::fmt::Write as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use drua_e2e::binary;
use serde_json::Value;

use crate::steps;

/// Dockerfiles that are linted.
const FILES: usize = 1000;
const ROUNDS: usize = 9;
const MARK: &str = "<!-- measured -->\n";

/// What one program found: the rule's code in a file, at an instruction.
type Findings = BTreeMap<String, BTreeSet<(String, usize)>>;

/// Measures with the Dockerfiles of a folder, and writes docs/lint.md.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let hadolint = std::env::var_os("HADOLINT").map_or_else(|| PathBuf::from("hadolint"), PathBuf::from);
    let work = binary::workspace().join("target/bench-lint");
    let (files, collected) = corpus(folder, &work)?;
    let drua = binary::workspace().join("target/release/drua");
    let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    let mut outputs = [String::new(), String::new()];
    for round in 0..=ROUNDS {
        for turn in [round % 2, 1 - round % 2] {
            let (program, args): (&Path, &[&str]) = match turn {
                0 => (&drua, &["lint", "--format", "json", "--fail-on", "never"]),
                _ => (&hadolint, &["--no-fail", "-f", "json"]),
            };
            let before = Instant::now();
            let output = Command::new(program).args(args).args(&files).current_dir(&work).output();
            let output = output.with_context(|| format!("cannot start `{}`", program.display()))?;
            if round > 0 {
                times[turn].push(before.elapsed());
            }
            outputs[turn] = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(!outputs[turn].is_empty(), "`{}` printed nothing", program.display());
        }
    }
    let lines = instruction_lines(&work, &files)?;
    let ours = ours(&serde_json::from_str(&outputs[0])?, &lines);
    let theirs = theirs(&serde_json::from_str(&outputs[1])?, &lines);
    let text = render(&times, &ours, &theirs, files.len(), collected);
    steps::print(&text);
    write(&text)
}

/// Copies the collected files and generates what is missing; each in a folder of its own.
fn corpus(folder: &Path, work: &Path) -> Result<(Vec<String>, usize)> {
    if work.exists() {
        fs_err::remove_dir_all(work)?;
    }
    let mut sources: Vec<PathBuf> =
        fs_err::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    sources.sort();
    sources.truncate(FILES);
    let collected = sources.len();
    let mut texts = sources.iter().map(fs_err::read_to_string).collect::<std::io::Result<Vec<_>>>()?;
    texts.extend((0..FILES.saturating_sub(collected)).map(generated));
    let mut files = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let name = format!("{number:04}/Dockerfile");
        fs_err::create_dir_all(work.join(format!("{number:04}")))?;
        fs_err::write(work.join(&name), text)?;
        files.push(name);
    }
    Ok((files, collected))
}

/// A Dockerfile put together from pieces, another one for every number.
fn generated(number: usize) -> String {
    const BASES: [&str; 6] = ["debian:13", "alpine", "node:latest", "python:3.14-slim", "golang:1.25", "rockylinux:9"];
    const STEPS: [&str; 16] = [
        "RUN apt-get update && apt-get install curl",
        "RUN apk add curl git",
        "RUN yum install -y httpd",
        "RUN pip install flask requests==2.32.0",
        "RUN npm install express && npm cache clean --force",
        "RUN cd /src && make",
        "RUN curl -sSL https://example.com/install.sh | bash",
        "ADD app /app",
        "COPY package.json src ./",
        "ENV PATH /opt/bin:$PATH",
        "WORKDIR app",
        "USER root",
        "RUN sudo chown -R app $HOME",
        "RUN mkdir $(cat dirs) && rm -rf *.o",
        "EXPOSE 80000",
        "MAINTAINER somebody@example.com",
    ];
    let mut text = format!("FROM {}\n", BASES[number % BASES.len()]);
    let mut state = number.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    for _ in 0..3 + number % 7 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(STEPS[(state >> 33) % STEPS.len()]);
        text.push('\n');
    }
    text.push_str("CMD app --serve\n");
    text
}

/// The first line of the instruction that each line belongs to.
fn instruction_lines(work: &Path, files: &[String]) -> Result<BTreeMap<String, Vec<usize>>> {
    let mut all = BTreeMap::new();
    for file in files {
        let text = fs_err::read_to_string(work.join(file))?;
        let mut starts = vec![0];
        let (mut start, mut continues) = (1, false);
        for (index, line) in text.lines().enumerate() {
            if !continues {
                start = index + 1;
            }
            starts.push(start);
            let is_comment = line.trim_start().starts_with('#') || line.trim().is_empty();
            continues = if is_comment { continues } else { line.trim_end().ends_with('\\') };
        }
        all.insert(file.clone(), starts);
    }
    Ok(all)
}

fn place(lines: &BTreeMap<String, Vec<usize>>, finding: &Value) -> (String, usize) {
    let file = finding["file"].as_str().unwrap_or_default().to_owned();
    let line = finding["line"].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or(0);
    let start = lines.get(&file).and_then(|starts| starts.get(line)).copied().unwrap_or(line);
    (file, start)
}

fn theirs(report: &Value, lines: &BTreeMap<String, Vec<usize>>) -> Findings {
    let mut findings = Findings::new();
    for finding in report.as_array().into_iter().flatten() {
        let code = finding["code"].as_str().unwrap_or_default().to_owned();
        findings.entry(code).or_default().insert(place(lines, finding));
    }
    findings
}

/// Ours under hadolint's codes, where it has one.
fn ours(report: &Value, lines: &BTreeMap<String, Vec<usize>>) -> Findings {
    let mut findings = Findings::new();
    for finding in report["findings"].as_array().into_iter().flatten() {
        let message = finding["message"].as_str().unwrap_or_default();
        let code = match finding["rule"].as_str().unwrap_or_default() {
            "JSONArgsRecommended" => "DL3025",
            "MaintainerDeprecated" => "DL4000",
            "DuplicateStageName" => "DL3024",
            "ReservedStageName" => "DL3063",
            "SecretsUsedInArgOrEnv" => "DL3064",
            "RedundantTargetPlatform" => "DL3065",
            "FromPlatformFlagConstDisallowed" => "DL3029",
            "MultipleInstructionsDisallowed" if message.contains("CMD") => "DL4003",
            "MultipleInstructionsDisallowed" if message.contains("ENTRYPOINT") => "DL4004",
            "MultipleInstructionsDisallowed" => "DL3012",
            code => code,
        };
        findings.entry(code.to_owned()).or_default().insert(place(lines, finding));
    }
    findings
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

fn render(times: &[Vec<Duration>; 2], ours: &Findings, theirs: &Findings, files: usize, collected: usize) -> String {
    let (drua, hadolint) = (median(&times[0]), median(&times[1]));
    let rate = |time: Duration| files as f64 / time.as_secs_f64();
    let mut text = format!(
        "{files} Dockerfiles, {collected} collected and {} generated, all in one process, median of {ROUNDS} rounds in turn:\n\n\
         | | time | files a second |\n|---|---|---|\n| `drua lint` (all of its rules) | {:.3} s | {:.0} |\n| hadolint | {:.3} s | {:.0} |\n\n",
        files - collected,
        drua.as_secs_f64(),
        rate(drua),
        hadolint.as_secs_f64(),
        rate(hadolint),
    );
    text.push_str(
        "Agreement, by file and instruction:\n\n| rule | both | only hadolint | only drua |\n|---|---|---|---|\n",
    );
    let codes: BTreeSet<&String> = theirs.keys().chain(ours.keys()).filter(|code| is_shared(code)).collect();
    let empty = BTreeSet::new();
    let mut totals = (0, 0, 0);
    for code in codes {
        let (a, b) = (ours.get(code).unwrap_or(&empty), theirs.get(code).unwrap_or(&empty));
        let (both, they, we) = (a.intersection(b).count(), b.difference(a).count(), a.difference(b).count());
        totals = (totals.0 + both, totals.1 + they, totals.2 + we);
        let _ = writeln!(text, "| {code} | {both} | {they} | {we} |");
    }
    let _ = writeln!(text, "| together | {} | {} | {} |", totals.0, totals.1, totals.2);
    text
}

fn is_shared(code: &str) -> bool {
    code.starts_with("DL") || code.starts_with("SC")
}

/// Puts the figures below their mark in docs/lint.md, in front of what follows the table.
fn write(text: &str) -> Result<()> {
    let path = binary::workspace().join("docs/lint.md");
    let document = fs_err::read_to_string(&path)?;
    let (head, rest) = document.split_once(MARK).context("docs/lint.md has no mark for what is measured")?;
    let rest = rest.split_once("<!-- /measured -->").context("docs/lint.md has no end of what is measured")?.1;
    Ok(fs_err::write(&path, format!("{head}{MARK}\n{text}\n<!-- /measured -->{rest}"))?)
}
