//! The search itself.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{self, Candidate, Verdict};
use super::finding::{Finding, FixState, MatchEvidence, Suppression, SuppressionKind};
use super::ranges::{self, RangeHit};
use super::worst::{self, Stated};
use super::rules;
use crate::advisory::{
    Coverage, Database, DatabaseError, Format, Hit, SourceDate, Status, normalized_name, of_distro, of_kind,
};
use crate::model::{Note, NoteKind, Package, PackageKind, Sbom};
use crate::version::Scheme;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MatchOptions {
    /// Judge language packages that an OS package owns by upstream's advisories too. By default the distribution answers
    /// for them.
    pub comprehensive: bool,
    /// Report what is no vulnerability: that a package is unmaintained, for example.
    pub informational: bool,
    /// Report what nobody has judged yet.
    pub undetermined: bool,
}

/// What was found, and what could not be judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matches {
    /// The worst first.
    pub findings: Vec<Finding>,
    /// What the reader has to know. Those of kind [`NoteKind::Incomplete`] mean that findings may be missing.
    pub notes: Vec<Note>,
    /// The sources with their dates.
    pub sources: Vec<SourceDate>,
    /// Packages that were judged.
    pub judged: usize,
    /// Packages for which there were no advisories to look into, by ecosystem.
    pub uncovered: BTreeMap<String, usize>,
}

/// Searches a database for everything that is said about a document's packages.
///
/// # Errors
/// The database is damaged.
pub fn find(sbom: &Sbom, database: &Database, options: MatchOptions) -> Result<Matches, DatabaseError> {
    let mut search = Search {
        sbom,
        database,
        options,
        distro: sbom.distro.as_ref().map(of_distro),
        found: Matches { sources: database.dates(), ..Matches::default() },
        owned: 0,
        unversioned: BTreeSet::new(),
        unknown_programs: BTreeSet::new(),
    };
    for index in 0..sbom.packages.len() {
        search.package(index)?;
    }
    search.finish()
}

struct Search<'s> {
    sbom: &'s Sbom,
    database: &'s Database,
    options: MatchOptions,
    distro: Option<Coverage>,
    found: Matches,
    owned: usize,
    unversioned: BTreeSet<String>,
    unknown_programs: BTreeSet<String>,
}

impl Search<'_> {
    fn package(&mut self, index: usize) -> Result<(), DatabaseError> {
        let package = &self.sbom.packages[index];
        if rules::is_no_software(package) {
            return Ok(());
        }
        let Some(ecosystem) = self.ecosystem(package) else { return Ok(()) };
        if !self.database.covers(&ecosystem) {
            *self.found.uncovered.entry(ecosystem).or_default() += 1;
            return Ok(());
        }
        if !package.kind.is_os() && package.owner.is_some() && !self.options.comprehensive && self.distro_is_covered() {
            self.owned += 1;
            return Ok(());
        }
        if rules::has_no_real_version(package) {
            self.unversioned.insert(package.name.clone());
            return Ok(());
        }
        self.found.judged += 1;
        let candidates = self.candidates(package, &ecosystem)?;
        for (id, group) in evidence::resolve(candidates, package.kind.is_os()) {
            let finding = self.finding(index, &id, &group, &ecosystem)?;
            self.found.findings.push(finding);
        }
        Ok(())
    }

    /// Under which ecosystem a package is looked up; none for what no advisory can be about.
    fn ecosystem(&mut self, package: &Package) -> Option<String> {
        if !package.kind.is_os() {
            return of_kind(package.kind).map(str::to_owned);
        }
        match &self.distro {
            Some(Coverage::Ecosystem(ecosystem)) => Some(ecosystem.clone()),
            Some(Coverage::Unsupported(_)) => {
                let id = self.sbom.distro.as_ref().map_or("", |distro| distro.id.as_str());
                *self.found.uncovered.entry(format!("distribution `{id}`")).or_default() += 1;
                None
            }
            None => {
                *self.found.uncovered.entry("unknown distribution".to_owned()).or_default() += 1;
                None
            }
        }
    }

    fn distro_is_covered(&self) -> bool {
        matches!(&self.distro, Some(Coverage::Ecosystem(ecosystem)) if self.database.covers(ecosystem))
    }

    fn candidates(&mut self, package: &Package, ecosystem: &str) -> Result<Vec<Candidate>, DatabaseError> {
        let scheme = Scheme::of_ecosystem(ecosystem).unwrap_or(Scheme::Semver);
        let mut candidates = Vec::new();
        for (name, version) in names(package, ecosystem) {
            let hits = self.database.affected(ecosystem, &normalized_name(ecosystem, &name))?;
            if hits.is_empty() && package.kind == PackageKind::Generic {
                self.unknown_programs.insert(package.name.clone());
            }
            for hit in hits {
                let formats = &self.database.segments()[hit.segment].info().formats;
                let Some(verdict) = self.verdict(package, scheme, &hit, &version) else { continue };
                let rank = evidence::rank(formats);
                candidates.push(Candidate { hit, verdict, name: name.clone(), version: version.clone(), rank });
            }
        }
        Ok(candidates)
    }

    /// What a record says about this version; none for records that are about something else.
    fn verdict(&self, package: &Package, scheme: Scheme, hit: &Hit, version: &str) -> Option<Verdict> {
        if hit.advisory.informational.is_some() && !self.options.informational {
            return None;
        }
        match hit.affected.status {
            Status::NotAffected => return Some(Verdict::Clear),
            Status::Undetermined if !self.options.undetermined => return None,
            Status::Undetermined | Status::Affected | Status::WontFix => {}
        }
        if !rules::same_arch(package, &hit.affected) {
            return None;
        }
        let Some(range) = ranges::hit(scheme, &hit.affected, version) else { return Some(Verdict::Clear) };
        let same = rules::same_stream(package, &hit.affected, &hit.advisory, range.fixed.as_deref());
        same.then_some(Verdict::Affected(range))
    }

    fn finding(
        &self,
        index: usize,
        id: &str,
        group: &[Candidate],
        ecosystem: &str,
    ) -> Result<Finding, DatabaseError> {
        let package = &self.sbom.packages[index];
        let scheme = Scheme::of_ecosystem(ecosystem).unwrap_or(Scheme::Semver);
        let source = |candidate: &Candidate| self.database.segments()[candidate.hit.segment].info();
        let stated: Vec<Stated<'_>> = group
            .iter()
            .flat_map(|candidate| {
                let (affected, advisory) = (&candidate.hit.affected, &candidate.hit.advisory);
                let source = source(candidate).source.as_str();
                // The word of a notice about several flaws is that of the worst of them, and still the distribution's.
                let own = Stated { source, word: affected.severity, cvss: &affected.cvss };
                [own, Stated { source, word: advisory.severity, cvss: &advisory.cvss }]
            })
            .collect();
        let judged = worst::judge(id, &stated, self.database)?;
        let mut aliases: BTreeSet<&str> = BTreeSet::new();
        for candidate in group {
            let advisory = &candidate.hit.advisory;
            aliases.insert(&advisory.id);
            aliases.extend(advisory.aliases.iter().map(String::as_str));
        }
        aliases.remove(id);
        let (range, fixed, paid) = best_fix(scheme, group);
        let wont = group.iter().any(|candidate| candidate.hit.affected.status == Status::WontFix);
        let first = group.iter().map(|candidate| &candidate.hit.advisory).find(|advisory| !advisory.summary.is_empty());
        let details = first.or_else(|| group.first().map(|candidate| &candidate.hit.advisory));
        let mut finding = Finding {
            id: id.to_owned(),
            aliases: aliases.into_iter().map(str::to_owned).collect(),
            package: index,
            severity: judged.severity,
            severity_source: judged.source,
            cvss: judged.cvss,
            summary: details.map(|advisory| advisory.summary.clone()).unwrap_or_default(),
            published: details.map(|advisory| advisory.published.clone()).unwrap_or_default(),
            weaknesses: group.iter().flat_map(|candidate| candidate.hit.advisory.weaknesses.clone()).collect(),
            references: details.map(|advisory| advisory.references.clone()).unwrap_or_default(),
            range,
            fix_state: match (&fixed, wont) {
                (Some(_), _) => FixState::Fixed,
                (None, true) => FixState::WontFix,
                (None, false) => FixState::NotFixed,
            },
            fixed,
            paid_fix: paid,
            exploited: self.database.exploited(id)?,
            epss: self.database.epss(id)?,
            evidence: group.iter().map(|candidate| self.evidence(candidate, ecosystem, scheme)).collect(),
            suppressed: None,
        };
        finding.weaknesses.sort();
        finding.weaknesses.dedup();
        finding.suppressed = self.suppression(package, &finding);
        Ok(finding)
    }

    fn evidence(&self, candidate: &Candidate, ecosystem: &str, scheme: Scheme) -> MatchEvidence {
        let info = self.database.segments()[candidate.hit.segment].info();
        let affected = &candidate.hit.affected;
        let range = match &candidate.verdict {
            Verdict::Affected(hit) => hit.range.clone(),
            Verdict::Clear => String::new(),
        };
        let mut why = format!("{} {} is in `{range}` by {}'s order", candidate.name, candidate.version, scheme.name());
        if !scheme.is_valid(&candidate.version) {
            why.push_str("; the version is not one that this order defines, so this is a guess");
        }
        if let Some(remark) = &affected.remark {
            why.push_str("; ");
            why.push_str(remark);
        }
        if affected.paid_fix {
            why.push_str("; the fix is in a paid channel");
        }
        if !affected.imports.is_empty() {
            why.push_str("; only its packages ");
            why.push_str(&affected.imports.join(", "));
        }
        MatchEvidence {
            record: affected.id.clone(),
            source: info.source.clone(),
            source_date: info.data_date.clone(),
            ecosystem: ecosystem.to_owned(),
            name: candidate.name.clone(),
            version: candidate.version.clone(),
            comparator: scheme.name(),
            range,
            why,
        }
    }

    /// drua's own reasons why a finding does not count.
    fn suppression(&self, package: &Package, finding: &Finding) -> Option<Suppression> {
        if rules::is_kernel_headers(package) {
            return Some(Suppression {
                kind: SuppressionKind::Rule,
                reason: "these are headers; the kernel is the host's".to_owned(),
                by: "drua".to_owned(),
            });
        }
        // The feed knows no fix, but the build says that it has one. Where the feed names a later version, it knows better.
        if finding.fix_state == FixState::Fixed {
            return None;
        }
        let source = package.source_or_self().0;
        [package.name.as_str(), source].into_iter().find_map(|name| {
            let ids = self.sbom.evidence.get(&format!("changelog:{name}"))?;
            let named = ids.iter().any(|id| finding.is(id));
            named.then(|| Suppression {
                kind: SuppressionKind::Changelog,
                reason: "the changelog of the installed build says that it is dealt with".to_owned(),
                by: format!("changelog of {name}"),
            })
        })
    }

    fn finish(mut self) -> Result<Matches, DatabaseError> {
        self.coverage_notes();
        let mut info = |text: String| self.found.notes.push(Note { kind: NoteKind::Info, path: None, text });
        if self.owned > 0 {
            info(format!("{} language packages belong to OS packages; the distribution's advisories answer for them", self.owned));
        }
        if !self.unversioned.is_empty() {
            info(format!("not judged for want of a version: {}", shortened(&self.unversioned)));
        }
        if !self.unknown_programs.is_empty() {
            info(format!("no advisory mentions these programs: {}", shortened(&self.unknown_programs)));
        }
        if !self.database.has(Format::Epss) && !self.database.has(Format::Kev) && !self.database.is_empty() {
            info("the database holds neither EPSS nor KEV: how likely exploitation is, is not known".to_owned());
        }
        let packages = &self.sbom.packages;
        self.found.findings.sort_by(|a, b| {
            let key = |finding: &Finding| (packages[finding.package].name.clone(), finding.package, finding.id.clone());
            b.severity.cmp(&a.severity).then_with(|| key(a).cmp(&key(b)))
        });
        self.found.notes.sort();
        Ok(self.found)
    }

    fn coverage_notes(&mut self) {
        for (ecosystem, count) in &self.found.uncovered {
            let packages = if *count == 1 { "1 package was".to_owned() } else { format!("{count} packages were") };
            let why = match &self.distro {
                Some(Coverage::Unsupported(why)) if ecosystem.starts_with("distribution") => why.clone(),
                _ => {
                    let name = ecosystem.split(':').next().unwrap_or_default();
                    let others = self.database.releases(name);
                    match others.is_empty() {
                        true => "the database has no advisories for it".to_owned(),
                        false => format!("the database has only {}", shortened(&others)),
                    }
                }
            };
            let text = format!("{packages} not judged: {ecosystem}: {why}");
            self.found.notes.push(Note { kind: NoteKind::Incomplete, path: None, text });
        }
    }
}

/// A few of them, and how many more.
fn shortened(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len() {
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

/// Names under which advisories are looked up, each with the version that they are about.
fn names(package: &Package, ecosystem: &str) -> Vec<(String, String)> {
    let own = (package.name.clone(), package.version.clone());
    let (name, version) = package.source_or_self();
    let source = (name.to_owned(), version.to_owned());
    let distro = ecosystem.split(':').next().unwrap_or_default();
    let mut names = match (package.kind, distro) {
        (PackageKind::Generic, _) => {
            rules::program_names(&package.name).into_iter().map(|name| (name, package.version.clone())).collect()
        }
        (PackageKind::Deb, _) => vec![source],
        // Wolfi's and Chainguard's database has subpackages under their own names too.
        (PackageKind::Apk, _) | (PackageKind::Rpm, "Mageia" | "openEuler" | "Azure Linux" | "Photon OS") => {
            vec![source, own]
        }
        _ => vec![own],
    };
    names.dedup_by(|a, b| a.0 == b.0);
    names
}

/// The range that decided, and the smallest version that no record calls affected: all records have to be satisfied, so it
/// is the greatest of their fixes.
fn best_fix(scheme: Scheme, group: &[Candidate]) -> (String, Option<String>, bool) {
    let hits: Vec<(&RangeHit, bool)> = group
        .iter()
        .filter_map(|candidate| match &candidate.verdict {
            Verdict::Affected(hit) => Some((hit, candidate.hit.affected.paid_fix)),
            Verdict::Clear => None,
        })
        .collect();
    // A fix that everybody can get comes before one that has to be paid for.
    let free: Vec<&RangeHit> = hits.iter().filter(|(hit, paid)| !paid && hit.fixed.is_some()).map(|(hit, _)| *hit).collect();
    let paid: Vec<&RangeHit> = hits.iter().filter(|(hit, paid)| *paid && hit.fixed.is_some()).map(|(hit, _)| *hit).collect();
    let (chosen, is_paid) = if free.is_empty() { (paid, true) } else { (free, false) };
    let greatest = chosen.into_iter().max_by(|a, b| {
        scheme.compare(a.fixed.as_deref().unwrap_or_default(), b.fixed.as_deref().unwrap_or_default())
    });
    match greatest {
        Some(hit) => (hit.range.clone(), hit.fixed.clone(), is_paid),
        None => (hits.first().map(|(hit, _)| hit.range.clone()).unwrap_or_default(), None, false),
    }
}
