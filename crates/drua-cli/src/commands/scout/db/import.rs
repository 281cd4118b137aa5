use std::path::{Path, PathBuf};

use drua_scout::advisory::{self, Import as Imported, SegmentInfo};
use drua_types::exit;
use sha2::{Digest as _, Sha256};

use super::store::{self, Store};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Read feeds of advisories from files and directories
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout db import PyPI.zip                 OSV's export of an ecosystem
  drua scout db import --name debian json       Debian's security tracker
  drua scout db import ./advisory-database/     a directory of OSV files
  drua scout db import advisories.tar           what `drua scout db export` wrote elsewhere

What a file is, its contents say: OSV (JSON, YAML), Debian's tracker and DSA/DLA lists, Alpine's and Wolfi's secdb, Red Hat's
CSAF, KEV, EPSS, NVD, endoflife.date, official images; in .zip, .tar, .gz, .xz, .zst or plain. Each source replaces what was
there under its name.")]
pub(super) struct Import {
    /// Name of the source; else that of the file
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Fail when any file cannot be read
    #[arg(long)]
    strict: bool,
    /// Feeds
    #[arg(value_name = "FILE|DIRECTORY", required = true)]
    paths: Vec<PathBuf>,
}

impl Import {
    pub(super) fn run(self, ctx: &Context) -> Outcome {
        let store = Store::open()?;
        if self.name.is_some() {
            // One name: all paths are one source.
            let name = self.name.clone().unwrap_or_default();
            self.feed(ctx, &store, &name, &self.paths)?;
            return Ok(exit::OK);
        }
        for path in &self.paths {
            if is_export(path)? {
                self.adopt(ctx, &store, path)?;
            } else {
                self.feed(ctx, &store, &source_name(path)?, std::slice::from_ref(path))?;
            }
        }
        Ok(exit::OK)
    }

    fn feed(&self, ctx: &Context, store: &Store, name: &str, paths: &[PathBuf]) -> Result<(), Failure> {
        store::check_name(name)?;
        let started = std::time::Instant::now();
        let mut importer = store::importer();
        let mut sha256 = None;
        for path in paths {
            for file in files(path)? {
                let bytes = fs_err::read(&file)?;
                sha256 = (paths.len() == 1 && path.is_file()).then(|| hex(&Sha256::digest(&bytes)));
                importer.add(&file.display().to_string(), &bytes);
            }
        }
        let (imported, builder) = importer.finish();
        warn(ctx, name, &imported);
        if builder.is_empty() {
            let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            return Err(Failure::message(format!("found no advisories in `{}`", shown.join("`, `")))
                .hint("`drua scout db import --help` lists what can be read"));
        }
        if self.strict && imported.problem_count > 0 {
            return Err(Failure::message(format!("{} files of `{name}` cannot be read", imported.problem_count)));
        }
        let origin = paths.first().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy().into_owned();
        let info = SegmentInfo { origin, sha256, ..store::info(name, &imported) };
        let info = store.put(builder, info)?;
        done(ctx, &info, started.elapsed());
        Ok(())
    }

    /// Segments that another drua exported.
    fn adopt(&self, ctx: &Context, store: &Store, path: &Path) -> Result<(), Failure> {
        let bytes = fs_err::read(path)?;
        let mut segments = Vec::new();
        advisory::archive::each(&path.display().to_string(), &bytes, &mut |name, bytes| {
            if let Some(name) = name.rsplit('/').next().and_then(|name| name.strip_suffix(".adv")) {
                segments.push((name.to_owned(), bytes.to_vec()));
            }
        })
        .map_err(Failure::new)?;
        for (name, bytes) in segments {
            let started = std::time::Instant::now();
            let info = store.adopt(&name, bytes)?;
            done(ctx, &info, started.elapsed());
        }
        Ok(())
    }
}

/// One line about a source that is in place now.
pub(super) fn done(ctx: &Context, info: &SegmentInfo, took: std::time::Duration) {
    let date =
        if info.data_date.is_empty() { "of unknown date".to_owned() } else { format!("of {}", day(&info.data_date)) };
    let mark = ctx.ui.paint().green("✓");
    ctx.ui.note(&format!("{mark} {}: {} records {date} ({:.2} s)", info.source, info.records, took.as_secs_f64()));
}

/// What could not be read, and dates that cannot be true.
pub(super) fn warn(ctx: &Context, name: &str, imported: &Imported) {
    for problem in imported.problems.iter().take(5) {
        ctx.ui.warning(&format!("{name}: {}: {}", problem.path, problem.reason));
    }
    let shown = imported.problems.len().min(5) as u64;
    if imported.problem_count > shown {
        ctx.ui.warning(&format!("{name}: {} more files cannot be read", imported.problem_count - shown));
    }
    if imported.future_dates > 0 {
        ctx.ui.warning(&format!("{name}: {} dates lie in the future and are disregarded", imported.future_dates));
    }
}

pub(super) fn day(date: &str) -> String {
    date.chars().take(10).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `PyPI.zip` and `pypa-advisories.tar.xz` without what tells the packing.
fn source_name(path: &Path) -> Result<String, Failure> {
    let path = fs_err::canonicalize(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut stem = name.as_str();
    for extension in [".xz", ".gz", ".zst", ".tgz", ".tar", ".zip", ".json", ".csv", ".yaml", ".yml"] {
        stem = stem.strip_suffix(extension).unwrap_or(stem);
    }
    let plain = stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' });
    Ok(plain.collect::<String>().trim_matches('.').to_owned())
}

/// A tar that holds segments.
fn is_export(path: &Path) -> Result<bool, Failure> {
    if !path.is_file() || path.extension().is_none_or(|extension| extension != "tar") {
        return Ok(false);
    }
    let mut archive = tar::Archive::new(fs_err::File::open(path)?);
    let first = archive.entries().ok().and_then(|mut entries| entries.next()?.ok());
    Ok(first.is_some_and(|entry| entry.path().is_ok_and(|path| path.extension().is_some_and(|e| e == "adv"))))
}

/// A file, or all files below a directory, `.git` excepted.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !fs_err::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs_err::read_dir(&dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != ".git" {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
