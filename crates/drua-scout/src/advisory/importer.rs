//! From files of any known shape to records. What a file is, its contents say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::segment::SegmentBuilder;
use super::{archive, csaf, debian, eol, epss, kev, nvd, official, osv, secdb, yaml};
use crate::text::clean;

/// Problems that are kept with their reason; the rest is counted.
const MAX_PROBLEMS: usize = 20;

/// The shapes of feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// OSV records.
    Osv,
    /// Debian's tracker, JSON.
    DebianTracker,
    /// Debian's lists of DSA and DLA.
    DebianList,
    /// Alpine's secdb and its kin.
    Secdb,
    /// Red Hat's CSAF.
    Csaf,
    /// CISA's KEV.
    Kev,
    /// FIRST's EPSS.
    Epss,
    /// NVD's or CVE's scores.
    Scores,
    /// endoflife.date.
    EndOfLife,
    /// Docker's official images.
    OfficialImages,
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportProblem {
    /// Its path in the feed.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Import {
    /// The shapes that were seen.
    pub formats: Vec<Format>,
    /// Files that were understood.
    pub files: u64,
    /// The newest date that the data bear, if it is not in the future.
    pub data_date: String,
    /// Files that could not be read, the first of them.
    pub problems: Vec<ImportProblem>,
    /// How many they are.
    pub problem_count: u64,
    /// Dates in the future that were disregarded.
    pub future_dates: u64,
}

/// Reads feeds into a [`SegmentBuilder`].
#[derive(Debug)]
pub struct Importer {
    builder: SegmentBuilder,
    formats: BTreeSet<Format>,
    import: Import,
    /// Dates from here on are lies: RFC 3339.
    tomorrow: String,
}

impl Importer {
    /// Begins with nothing. `tomorrow` (RFC 3339) is the first date that no feed can honestly bear.
    pub fn new(tomorrow: &str) -> Self {
        Self::onto(SegmentBuilder::default(), tomorrow)
    }

    /// Begins with what an older segment holds.
    pub fn onto(builder: SegmentBuilder, tomorrow: &str) -> Self {
        Self { builder, formats: BTreeSet::new(), import: Import::default(), tomorrow: tomorrow.to_owned() }
    }

    /// Keeps the shape of an older segment, to which this import adds.
    pub fn with_formats(mut self, formats: &[Format]) -> Self {
        self.formats.extend(formats);
        self
    }

    /// Forgets advisories: new forms of them follow, or they were withdrawn.
    pub fn forget(&mut self, ids: &std::collections::HashSet<String>) {
        self.builder.remove_advisories(ids);
    }

    /// Adds a file, or every file of an archive.
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        let result = archive::each(name, bytes, &mut |path, bytes| self.add_file(path, bytes));
        if let Err(error) = result {
            let reason = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            self.problem(name, &reason);
        }
    }

    /// Adds one file that is no archive.
    pub fn add_file(&mut self, path: &str, bytes: &[u8]) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.problem(path, "it is no UTF-8");
        };
        let text = text.trim_start_matches('\u{feff}');
        match self.read(path, name, text) {
            Ok(Some((format, date))) => {
                self.formats.insert(format);
                self.import.files += 1;
                self.see_date(&date);
            }
            Ok(None) => {}
            Err(reason) => self.problem(path, &reason),
        }
    }

    /// What the file is and which date it bears; none for files that belong to a feed without being data.
    fn read(&mut self, path: &str, name: &str, text: &str) -> Result<Option<(Format, String)>, String> {
        let builder = &mut self.builder;
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension {
            "md" => {
                let Some(matter) = eol::front_matter(text) else { return Ok(None) };
                let matter = yaml::parse(matter)?;
                let stem = name.strip_suffix(".md").unwrap_or(name);
                return Ok(Some((Format::EndOfLife, eol::add_page(stem, &matter, builder))));
            }
            "csv" if epss::is(text) => return Ok(Some((Format::Epss, epss::add(text, builder)))),
            "yaml" | "yml" => {
                let value = yaml::parse(text)?;
                return Ok(Self::document(builder, path, &value));
            }
            "csv" | "go" | "lua" | "py" | "sh" | "toml" | "txt" => return Ok(None),
            _ => {}
        }
        if debian::is_list(text) {
            return Ok(Some((Format::DebianList, debian::add_list(text, builder))));
        }
        if text.trim_start().starts_with(['{', '[']) {
            let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            return Ok(Self::document(builder, path, &value));
        }
        if official::is(text) {
            official::add(name, text, builder);
            return Ok(Some((Format::OfficialImages, String::new())));
        }
        if epss::is(text) {
            return Ok(Some((Format::Epss, epss::add(text, builder))));
        }
        Ok(None)
    }

    fn document(builder: &mut SegmentBuilder, path: &str, value: &Value) -> Option<(Format, String)> {
        // Some feeds are one list of OSV records.
        if let Some(records) = value.as_array().filter(|records| records.first().is_some_and(osv::is)) {
            let dates = records.iter().filter(|record| osv::is(record)).map(|record| osv::add(record, builder));
            return Some((Format::Osv, dates.max().unwrap_or_default()));
        }
        if kev::is(value) {
            return Some((Format::Kev, kev::add(value, builder)));
        }
        if nvd::is(value) {
            return Some((Format::Scores, nvd::add(value, builder)));
        }
        if csaf::is(value) {
            return Some((Format::Csaf, csaf::add(value, builder)));
        }
        if osv::is(value) {
            return Some((Format::Osv, osv::add(value, builder)));
        }
        if secdb::is(value) {
            secdb::add(path, value, builder);
            return Some((Format::Secdb, String::new()));
        }
        if eol::is_api(value) {
            return Some((Format::EndOfLife, eol::add_api(value, builder)));
        }
        if debian::is_tracker(value) {
            debian::add_tracker(value, builder);
            return Some((Format::DebianTracker, String::new()));
        }
        None
    }

    fn see_date(&mut self, date: &str) {
        if date.starts_with("0001") {
            return;
        }
        if date >= self.tomorrow.as_str() {
            self.import.future_dates += 1;
        } else if date > self.import.data_date.as_str() {
            self.import.data_date = limited(date, 40);
        }
    }

    fn problem(&mut self, path: &str, reason: &str) {
        self.import.problem_count += 1;
        if self.import.problems.len() < MAX_PROBLEMS {
            let problem = ImportProblem { path: limited(path, 300), reason: limited(reason, 300) };
            self.import.problems.push(problem);
        }
    }

    /// What was read, and the records to write.
    pub fn finish(mut self) -> (Import, SegmentBuilder) {
        self.import.formats = self.formats.into_iter().collect();
        (self.import, self.builder)
    }
}

/// A field's text; empty when it has none. Numbers are as they are written.
pub(super) fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A field's list of texts.
pub(super) fn list(value: &Value, name: &str) -> Vec<String> {
    let items = value.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).filter(|item| item.len() <= 256).map(str::to_owned).collect()
}

/// Text safe to show, of at most so many bytes.
pub(super) fn limited(text: &str, bytes: usize) -> String {
    clean(text, bytes)
}
