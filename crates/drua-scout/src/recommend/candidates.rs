//! Other tags of the base image's repository, and how long their lives last.

use std::cmp::Ordering;

use serde::Serialize;

use super::base::BaseImage;
use crate::advisory::{Cycle, Database, DatabaseError, TagGroup};
use crate::version::Scheme;

/// What changes when a candidate is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateKind {
    /// The same tag, built anew.
    Refresh,
    /// A newer patch version.
    Patch,
    /// A newer minor version.
    Minor,
    /// The same version with fewer packages.
    Slimmer,
    /// The same version on a newer release of the distribution.
    NewerSystem,
    /// A newer major version.
    Major,
}

impl CandidateKind {
    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Refresh => "refresh: the same tag, built anew",
            Self::Patch => "newer patch version",
            Self::Minor => "newer minor version",
            Self::Slimmer => "slimmer variant",
            Self::NewerSystem => "newer operating system",
            Self::Major => "newer major version",
        }
    }
}

/// Until when there are fixes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Life {
    /// `python 3.12`.
    pub product: String,
    /// The last day; empty when none is set.
    pub end: String,
    /// Whether it is past.
    pub is_over: bool,
}

/// A tag to go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// What changes.
    pub kind: CandidateKind,
    /// The tag.
    pub tag: String,
    /// Other tags of the same image.
    pub aliases: Vec<String>,
    /// What speaks for it, and what against.
    pub pros: Vec<String>,
    /// What speaks against it.
    pub cons: Vec<String>,
    /// Until when there are fixes.
    pub life: Option<Life>,
}

/// Tags of the base's own repository that are worth a change, for an architecture (`amd64`). `today` is `2026-11-23`.
///
/// # Errors
/// The database is damaged.
pub fn candidates(
    base: &BaseImage,
    architecture: &str,
    database: &Database,
    today: &str,
) -> Result<Vec<Candidate>, DatabaseError> {
    let Some(repository) = base.official() else { return Ok(vec![refresh(base, None)]) };
    let groups = database.images(repository)?;
    let cycles = database.cycles(product_of(repository))?;
    let own = Tag::parse(&base.tag);
    let mut found = vec![refresh(base, life_of(repository, &own, &cycles, today))];
    let usable = groups.iter().filter(|group| {
        let runs = group.architectures.is_empty()
            || group.architectures.iter().any(|name| name == official_arch(architecture));
        runs && !group.directory.contains("windows")
    });
    for group in usable {
        let Some((tag, parsed)) = preferred(group, &own) else { continue };
        let Some(kind) = own.change_to(&parsed) else { continue };
        let life = life_of(repository, &parsed, &cycles, today);
        if parsed.is_preview() && !own.is_preview() || life.as_ref().is_some_and(|life| life.is_over) {
            continue;
        }
        let mut aliases: Vec<String> = group.tags.iter().filter(|alias| **alias != tag).cloned().collect();
        aliases.truncate(8);
        let (pros, cons) = own.words(&parsed, kind, &cycles);
        found.push(Candidate { kind, tag, aliases, pros, cons, life });
    }
    found.sort_by(|a, b| {
        let version = |candidate: &Candidate| Tag::parse(&candidate.tag).version;
        a.kind
            .cmp(&b.kind)
            .then_with(|| Scheme::Semver.compare(&version(b), &version(a)))
            .then_with(|| a.tag.cmp(&b.tag))
    });
    // One of each kind is a choice, ten are a list.
    let mut counts = std::collections::HashMap::new();
    found.retain(|candidate| {
        let count = counts.entry(candidate.kind).or_insert(0);
        *count += 1;
        *count <= 2
    });
    Ok(found)
}

fn refresh(base: &BaseImage, life: Option<Life>) -> Candidate {
    Candidate {
        kind: CandidateKind::Refresh,
        tag: base.tag.clone(),
        aliases: Vec::new(),
        pros: vec!["nothing changes but fixes".to_owned()],
        cons: Vec::new(),
        life,
    }
}

/// Until when a product's version gets fixes.
///
/// # Errors
/// The database is damaged.
pub fn life(product: &str, version: &str, database: &Database, today: &str) -> Result<Option<Life>, DatabaseError> {
    let cycles = database.cycles(product)?;
    Ok(life_in(product, version, &cycles, today))
}

fn life_of(repository: &str, tag: &Tag, cycles: &[Cycle], today: &str) -> Option<Life> {
    let name = if tag.version.is_empty() { &tag.system } else { &tag.version };
    life_in(repository, name, cycles, today)
}

fn life_in(product: &str, version: &str, cycles: &[Cycle], today: &str) -> Option<Life> {
    if version.is_empty() {
        return None;
    }
    let of = |cycle: &&Cycle| {
        cycle.name == version
            || version.strip_prefix(cycle.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
            || (!cycle.codename.is_empty() && cycle.codename.split(' ').next() == Some(version))
    };
    // `3.12` before `3`.
    let cycle = cycles.iter().filter(of).max_by_key(|cycle| cycle.name.len())?;
    Some(Life { product: format!("{product} {}", cycle.name), end: cycle.end.clone(), is_over: cycle.is_over(today) })
}

/// endoflife.date's name of what an official image holds.
pub(crate) fn product_of(repository: &str) -> &str {
    match repository {
        "node" => "nodejs",
        "golang" => "go",
        "postgres" => "postgresql",
        "alpine" => "alpine-linux",
        "mongo" => "mongodb",
        "httpd" => "apache-http-server",
        "rockylinux" => "rocky-linux",
        "amazonlinux" => "amazon-linux",
        other => other,
    }
}

/// Docker's name of an architecture in the list of official images.
fn official_arch(architecture: &str) -> &str {
    match architecture {
        "arm64" => "arm64v8",
        "arm" => "arm32v7",
        "386" => "i386",
        other => other,
    }
}

/// A tag's parts: `3.12.1-slim-bookworm`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Tag {
    /// `3.12.1`; empty for `latest`, `bookworm`.
    version: String,
    /// Debian's codename, or `alpine3.20`; empty when the tag leaves it open.
    system: String,
    /// `slim`, and the rest.
    variants: Vec<String>,
}

const CODENAMES: [&str; 12] = [
    "buster", "bullseye", "bookworm", "trixie", "forky", "focal", "jammy", "noble", "resolute", "sid", "bionic",
    "xenial",
];

impl Tag {
    fn parse(tag: &str) -> Self {
        let mut parsed = Self::default();
        for (index, part) in tag.split('-').enumerate() {
            if index == 0 && part.starts_with(|c: char| c.is_ascii_digit()) {
                parsed.version = part.to_owned();
            } else if CODENAMES.contains(&part) || part.starts_with("alpine") {
                parsed.system = part.to_owned();
            } else if part != "latest" && !part.is_empty() {
                parsed.variants.push(part.to_owned());
            }
        }
        parsed
    }

    fn is_preview(&self) -> bool {
        let preview = |text: &str| ["rc", "beta", "alpha", "preview", "nightly"].iter().any(|word| text.contains(word));
        // `alpine` is no alpha.
        preview(&self.version) || self.variants.iter().any(|variant| preview(variant))
    }

    /// How many numbers the version has.
    fn precision(&self) -> usize {
        if self.version.is_empty() { 0 } else { self.version.split('.').count() }
    }

    fn number(&self, index: usize) -> &str {
        self.version.split('.').nth(index).unwrap_or_default()
    }

    fn family(&self) -> &str {
        if self.system.starts_with("alpine") {
            "alpine"
        } else if self.system.is_empty() {
            ""
        } else {
            "debian"
        }
    }

    /// What kind of change another tag is; none for one that is none or a step back.
    fn change_to(&self, other: &Self) -> Option<CandidateKind> {
        let newer = Scheme::Semver.compare(&other.version, &self.version);
        let same_variants = self.variants == other.variants;
        let slimmer = || {
            let slim = |tag: &Self| tag.variants.iter().any(|variant| variant == "slim");
            slim(other) && !slim(self) && other.variants.len() == self.variants.len() + 1
        };
        if self.version.is_empty() {
            // `bookworm`, `latest`: only the system can change.
            let moved = !other.system.is_empty() && other.system != self.system && other.version.is_empty();
            return (moved && same_variants && codename_order(&self.system, &other.system).is_lt())
                .then_some(CandidateKind::NewerSystem);
        }
        if other.precision() != self.precision() || (!self.system.is_empty() && self.family() != other.family()) {
            return None;
        }
        match newer {
            Ordering::Less => None,
            Ordering::Equal if slimmer() && self.system == other.system => Some(CandidateKind::Slimmer),
            Ordering::Equal => (same_variants && codename_order(&self.system, &other.system).is_lt())
                .then_some(CandidateKind::NewerSystem),
            Ordering::Greater if !same_variants => None,
            Ordering::Greater if !self.system.is_empty() && self.system != other.system => {
                codename_order(&self.system, &other.system).is_lt().then(|| self.step(other))
            }
            Ordering::Greater => Some(self.step(other)),
        }
    }

    fn step(&self, other: &Self) -> CandidateKind {
        match (self.number(0) == other.number(0), self.number(1) == other.number(1)) {
            (true, true) => CandidateKind::Patch,
            (true, false) => CandidateKind::Minor,
            (false, _) => CandidateKind::Major,
        }
    }

    fn words(&self, other: &Self, kind: CandidateKind, cycles: &[Cycle]) -> (Vec<String>, Vec<String>) {
        let (mut pros, mut cons) = (Vec::new(), Vec::new());
        match kind {
            CandidateKind::Slimmer => {
                pros.push("fewer packages, and what they bring".to_owned());
                cons.push("no compilers: what is built in this stage may miss them".to_owned());
            }
            CandidateKind::Major => cons.push("a new major version may break what is built on it".to_owned()),
            CandidateKind::NewerSystem => {
                pros.push(format!("{} instead of {}", other.system, self.system));
                cons.push("packages of the system have other versions".to_owned());
            }
            CandidateKind::Refresh | CandidateKind::Patch | CandidateKind::Minor => {}
        }
        let lts = cycles.iter().any(|cycle| cycle.lts);
        let own = cycles
            .iter()
            .find(|cycle| other.version == cycle.name || other.version.starts_with(&format!("{}.", cycle.name)));
        if lts && own.is_some_and(|cycle| !cycle.lts) {
            cons.push("no long-term support".to_owned());
        }
        if lts && own.is_some_and(|cycle| cycle.lts) {
            pros.push("long-term support".to_owned());
        }
        (pros, cons)
    }
}

/// Systems of one family, the older less.
fn codename_order(a: &str, b: &str) -> Ordering {
    let place = |name: &str| CODENAMES.iter().position(|known| *known == name);
    match (a.strip_prefix("alpine"), b.strip_prefix("alpine")) {
        (Some(a), Some(b)) => Scheme::Semver.compare(a, b),
        _ => match (place(a), place(b)) {
            // Debian's first five stand in order.
            (Some(a), Some(b)) if a < 5 && b < 5 => a.cmp(&b),
            _ => Ordering::Equal,
        },
    }
}

/// Of an image's tags the one that says as much as ours does: `3.12-slim` for `3.11-slim`, not `3.12.4-slim-trixie`.
fn preferred(group: &TagGroup, own: &Tag) -> Option<(String, Tag)> {
    let parsed = group.tags.iter().chain(&group.shared).map(|tag| (tag.clone(), Tag::parse(tag)));
    parsed
        .filter(|(_, tag)| tag.precision() == own.precision() && tag.system.is_empty() == own.system.is_empty())
        .min_by_key(|(tag, parsed)| (parsed.variants.len(), tag.len(), tag.clone()))
}
