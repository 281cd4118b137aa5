//! Debian's security tracker: its JSON (every CVE, every package, every release), and its lists of DSA and DLA.

use std::collections::HashMap;

use serde_json::Value;

use super::ecosystem::debian_release;
use super::importer::{limited, text};
use super::record::{Advisory, Affected, MAX_TEXT, Range, Status};
use super::segment::SegmentBuilder;
use super::severity::Severity;

/// `{package: {CVE: {releases: {bookworm: {status, fixed_version, urgency, nodsa}}}}}`.
pub(super) fn is_tracker(value: &Value) -> bool {
    let first = value.as_object().and_then(|packages| packages.values().next()).and_then(Value::as_object);
    first.and_then(|entries| entries.values().next()).is_some_and(|entry| entry.get("releases").is_some())
}

/// Adds the tracker's JSON, which bears no date.
pub(super) fn add_tracker(value: &Value, builder: &mut SegmentBuilder) {
    for (package, entries) in value.as_object().into_iter().flatten() {
        for (id, entry) in entries.as_object().into_iter().flatten() {
            let releases = entry.get("releases").and_then(Value::as_object);
            for (codename, release) in releases.into_iter().flatten() {
                let Some(number) = debian_release(codename) else { continue };
                if let Some(affected) = tracked(id, release) {
                    builder.affected(&format!("Debian:{number}"), package, affected);
                }
            }
            let summary = limited(&text(entry, "description"), MAX_TEXT);
            builder.merge_advisory(Advisory { id: id.clone(), summary, ..Advisory::default() });
        }
    }
}

fn tracked(id: &str, release: &Value) -> Option<Affected> {
    let fixed = text(release, "fixed_version");
    let urgency = text(release, "urgency");
    let severity = if urgency.starts_with("not yet") || urgency == "end-of-life" {
        Severity::Unspecified
    } else {
        Severity::of_word(urgency.trim_end_matches('*'))
    };
    let mut affected = Affected { id: id.to_owned(), severity, ..Affected::default() };
    match (text(release, "status").as_str(), fixed.as_str()) {
        ("resolved", "0") => affected.status = Status::NotAffected,
        ("resolved", "") => return None,
        ("resolved", fixed) => affected.ranges.push(Range::below(fixed)),
        ("open", _) => {
            affected.ranges.push(Range::all());
            let reason = text(release, "nodsa");
            if !reason.is_empty() {
                affected.status = Status::WontFix;
                affected.remark = Some(limited(&format!("no-dsa: {reason}"), 200));
            }
            if urgency == "end-of-life" {
                affected.status = Status::WontFix;
                affected.remark = Some("end-of-life: no more security support for this package".to_owned());
            }
        }
        ("undetermined", _) => {
            affected.status = Status::Undetermined;
            affected.ranges.push(Range::all());
        }
        _ => return None,
    }
    Some(affected)
}

/// `data/DSA/list` and `data/DLA/list`.
pub(super) fn is_list(text: &str) -> bool {
    text.lines().find(|line| !line.is_empty()).is_some_and(|line| header(line).is_some())
}

/// Adds a list; the date of its newest notice. A package's later notice about the same vulnerability replaces the earlier
/// one, since the earlier fix was not enough.
pub(super) fn add_list(list: &str, builder: &mut SegmentBuilder) -> String {
    let mut notices: Vec<Notice> = Vec::new();
    for line in list.lines() {
        if let Some((date, id, title)) = header(line) {
            notices.push(Notice { id: id.to_owned(), date, title: title.to_owned(), ..Notice::default() });
        } else if let Some(notice) = notices.last_mut() {
            notice.read(line.trim());
        }
    }
    // The lists begin with the newest.
    let newest = notices.iter().map(|notice| notice.date.clone()).max().unwrap_or_default();
    let mut said: HashMap<(String, String), Vec<String>> = HashMap::new();
    for notice in notices {
        notice.add(&mut said, builder);
    }
    newest
}

#[derive(Default)]
struct Notice {
    id: String,
    date: String,
    title: String,
    cves: Vec<String>,
    /// Release number, source package, fixed version; an empty one for `<not-affected>`.
    fixes: Vec<(&'static str, String, String)>,
}

impl Notice {
    fn read(&mut self, line: &str) {
        if let Some(ids) = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')) {
            self.cves.extend(ids.split_whitespace().map(str::to_owned));
        } else if let Some((codename, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            let mut words = rest.trim().trim_start_matches('-').split_whitespace();
            let (Some(package), Some(version)) = (words.next(), words.next()) else { return };
            let Some(release) = debian_release(codename) else { return };
            let version = if version.starts_with('<') { "" } else { version };
            self.fixes.push((release, package.to_owned(), version.to_owned()));
        }
    }

    fn add(self, said: &mut HashMap<(String, String), Vec<String>>, builder: &mut SegmentBuilder) {
        let mut about = Vec::new();
        for (release, package, version) in &self.fixes {
            let known = said.entry(((*release).to_owned(), package.clone())).or_default();
            // Newer notices came first: what they were about is theirs.
            let cves: Vec<&String> = self.cves.iter().filter(|cve| !known.contains(cve)).collect();
            if version.is_empty() || (cves.is_empty() && !self.cves.is_empty()) {
                continue;
            }
            about.extend(cves.iter().map(|cve| (*cve).clone()));
            known.extend(cves.into_iter().cloned());
            let affected = Affected { id: self.id.clone(), ranges: vec![Range::below(version)], ..Affected::default() };
            builder.affected(&format!("Debian:{release}"), package, affected);
        }
        about.sort();
        about.dedup();
        builder.advisory(Advisory {
            summary: limited(&self.title, MAX_TEXT),
            published: self.date.clone(),
            modified: self.date,
            upstream: about,
            id: self.id,
            ..Advisory::default()
        });
    }
}

/// `[29 Mar 2023] DSA-5380-1 xorg-server - security update`.
fn header(line: &str) -> Option<(String, &str, &str)> {
    let (date, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (id, title) = rest.split_once(' ')?;
    if !id.starts_with("DSA-") && !id.starts_with("DLA-") && !id.starts_with("DTSA-") {
        return None;
    }
    let mut words = date.split_whitespace();
    let (day, month, year) = (words.next()?.parse::<u8>().ok()?, words.next()?, words.next()?.parse::<u16>().ok()?);
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Some((format!("{year:04}-{month:02}-{day:02}"), id, title))
}
