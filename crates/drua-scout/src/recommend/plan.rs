//! Everything that could be done, the most helpful first, with the edit that does it.

use std::fmt::Write as _;

use std::collections::BTreeMap;

use serde::Serialize;

use super::base::BaseImage;
use super::candidates::{Candidate, CandidateKind};
use super::upgrade::{Upgrade, upgrades, weight};
use super::{diff, manifest};
use crate::model::PackageKind;
use crate::report::{Counts, Report};

/// What an action changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Another build of the base image, or another one.
    Base(CandidateKind),
    /// Packages of the distribution.
    System,
    /// A package of a language.
    Package,
}

/// A file with other contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEdit {
    /// Its path, relative to the project.
    pub path: String,
    /// What it should hold.
    #[serde(skip)]
    pub after: String,
    /// The change as a unified diff.
    pub diff: String,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// What it changes.
    pub kind: ActionKind,
    /// In a line: `upgrade openssl 3.0.7-r0 to 3.0.8-r0`.
    pub title: String,
    /// How many findings go.
    pub clears: Counts,
    /// Whether that is measured; else it is the most that can go.
    pub measured: bool,
    /// Their ids, for packages.
    pub ids: Vec<String>,
    /// What speaks for it and against it, and what else to know.
    pub remarks: Vec<String>,
    /// Edits that do it.
    pub edits: Vec<FileEdit>,
    /// What to run, after the edits or instead of them.
    pub command: Option<String>,
}

/// A Dockerfile, as far as edits have to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileView {
    /// Its path, relative to the project.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The final stage's `FROM`: bytes of the image's name in the text.
    pub image: std::ops::Range<usize>,
    /// Whether the name is literal: no variable, no other stage.
    pub is_literal: bool,
    /// Where the line after that `FROM` begins.
    pub after_from: usize,
}

/// All that a plan rests on.
#[derive(Debug)]
pub struct PlanInput<'p> {
    /// What was found.
    pub report: &'p Report<'p>,
    /// The base image.
    pub base: Option<&'p BaseImage>,
    /// Other tags.
    pub candidates: &'p [Candidate],
    /// Findings of candidates whose packages are known, by tag.
    pub measured: &'p BTreeMap<String, Counts>,
    /// The Dockerfile at hand.
    pub dockerfile: Option<&'p DockerfileView>,
    /// Manifests at hand, by path.
    pub files: &'p BTreeMap<String, String>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plan {
    /// The most helpful first.
    pub actions: Vec<Action>,
    /// What nobody has fixed yet.
    pub remains: Counts,
}

/// Makes a plan.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let report = input.report;
    let upgrades = upgrades(report.sbom, &report.findings);
    let mut actions: Vec<Action> =
        input.candidates.iter().filter_map(|candidate| base_action(input, candidate)).collect();
    actions.extend(system_action(input, &upgrades));
    actions.extend(package_actions(input, &upgrades));
    actions.retain(|action| action.clears.total() > 0 || matches!(action.kind, ActionKind::Base(_)));
    actions.sort_by(|a, b| {
        weight(&b.clears)
            .cmp(&weight(&a.clears))
            .then_with(|| b.measured.cmp(&a.measured))
            .then_with(|| a.title.cmp(&b.title))
    });
    let unfixed = report.findings.iter().copied().filter(|finding| finding.counts() && finding.fixed.is_none());
    Plan { actions, remains: Counts::of(unfixed) }
}

fn edit(path: &str, before: &str, after: String) -> FileEdit {
    FileEdit { path: path.to_owned(), diff: diff::unified(path, before, &after), after }
}

fn base_action(input: &PlanInput<'_>, candidate: &Candidate) -> Option<Action> {
    let base = input.base?;
    let report = input.report;
    let of_base = |finding: &&&crate::matching::Finding| match (base.layers, report.package(finding).layer()) {
        (Some(count), Some(layer)) => layer < count,
        // Without layers: the distribution's packages are the base's.
        _ => report.package(finding).kind.is_os(),
    };
    let in_base = || report.findings.iter().filter(of_base).copied().filter(|finding| finding.counts());
    let (clears, measured) = match input.measured.get(&candidate.tag) {
        Some(counts) => (Counts::of(in_base()).less(counts), true),
        None if candidate.kind == CandidateKind::Slimmer => (Counts::default(), false),
        None => (Counts::of(in_base().filter(|finding| finding.fixed.is_some())), false),
    };
    let name = format!("{}:{}", base.repository, candidate.tag);
    let mut remarks: Vec<String> = candidate.pros.iter().map(|pro| format!("+ {pro}")).collect();
    remarks.extend(candidate.cons.iter().map(|con| format!("- {con}")));
    if let Some(life) = &candidate.life {
        remarks.push(match (life.is_over, life.end.as_str()) {
            (true, "true") => format!("- {} gets no more fixes", life.product),
            (true, end) => format!("- {} gets no more fixes since {end}", life.product),
            (false, "") => format!("+ {} has no end of life yet", life.product),
            (false, end) => format!("+ {} gets fixes until {end}", life.product),
        });
    }
    let is_refresh = candidate.kind == CandidateKind::Refresh;
    let title = match is_refresh {
        true => format!("refresh the base image {}", base.name()),
        false => format!("change the base image {} to {name} ({})", base.name(), candidate.kind.words()),
    };
    let edits = match input.dockerfile.filter(|view| view.is_literal && !is_refresh && manifest::is_plain(&name)) {
        Some(view) if names_base(view, base) => {
            let mut after = view.text.clone();
            after.replace_range(view.image.clone(), &spelled_like(&view.text[view.image.clone()], &candidate.tag));
            vec![edit(&view.path, &view.text, after)]
        }
        _ => Vec::new(),
    };
    let command = is_refresh.then(|| "drua build --pull --no-cache .".to_owned());
    Some(Action {
        kind: ActionKind::Base(candidate.kind),
        title,
        clears,
        measured,
        ids: Vec::new(),
        remarks,
        edits,
        command,
    })
}

/// Whether the Dockerfile's image is the base that was recognised.
fn names_base(view: &DockerfileView, base: &BaseImage) -> bool {
    let short = |name: &str| {
        let name = name.split('@').next().unwrap_or(name).to_owned();
        let name = name.strip_prefix("docker.io/").map(str::to_owned).unwrap_or(name);
        name.strip_prefix("library/").map(str::to_owned).unwrap_or(name)
    };
    let own = short(&view.text[view.image.clone()]);
    let repository = own.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(own.as_str(), |(name, _)| name);
    repository == short(&base.repository)
}

/// The same name with another tag; a digest goes, since it was the old image's.
fn spelled_like(old: &str, tag: &str) -> String {
    let name = old.split('@').next().unwrap_or(old);
    let repository = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
    format!("{repository}:{tag}")
}

/// One line that upgrades what the distribution has fixed.
fn system_action(input: &PlanInput<'_>, upgrades: &[Upgrade]) -> Option<Action> {
    let packages = &input.report.sbom.packages;
    let chosen: Vec<&Upgrade> = upgrades.iter().filter(|upgrade| packages[upgrade.package].kind.is_os()).collect();
    let kind = packages[chosen.first()?.package].kind;
    let mut names: Vec<&str> = chosen
        .iter()
        .map(|upgrade| packages[upgrade.package].name.as_str())
        .filter(|name| manifest::is_plain(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let list = names.join(" ");
    let run = match kind {
        PackageKind::Apk => format!("apk add --no-cache --upgrade {list}"),
        PackageKind::Deb => {
            format!(
                "apt-get update && apt-get install -y --no-install-recommends --only-upgrade {list} && rm -rf /var/lib/apt/lists/*"
            )
        }
        PackageKind::Rpm => format!("dnf upgrade -y {list} && dnf clean all"),
        PackageKind::Alpm => "pacman -Syu --noconfirm".to_owned(),
        _ => return None,
    };
    let mut edits = Vec::new();
    if let Some(view) = input.dockerfile {
        let mut after = view.text.clone();
        let newline = if after[..view.after_from].ends_with('\n') || view.after_from == 0 { "" } else { "\n" };
        after.insert_str(view.after_from, &format!("{newline}RUN {run}\n"));
        edits.push(edit(&view.path, &view.text, after));
    }
    let mut remarks = Vec::new();
    let user = input.report.sbom.target.user.as_str();
    if !matches!(user, "" | "0" | "root" | "0:0") {
        remarks.push(format!(
            "- the image runs as `{}`: if its base does too, `USER root` is needed before the line",
            crate::text::clean(user, 60)
        ));
    }
    Some(Action {
        kind: ActionKind::System,
        title: format!("upgrade {} of the distribution's packages", names.len()),
        clears: sum(chosen.iter().map(|upgrade| upgrade.clears)),
        measured: true,
        ids: chosen.iter().flat_map(|upgrade| upgrade.ids.clone()).collect(),
        remarks,
        edits,
        command: Some(run),
    })
}

fn package_actions(input: &PlanInput<'_>, upgrades: &[Upgrade]) -> Vec<Action> {
    let packages = &input.report.sbom.packages;
    // The same package in the same version at several places is one thing to do.
    let mut groups: BTreeMap<(PackageKind, &str, &str, &str), Vec<&Upgrade>> = BTreeMap::new();
    for upgrade in upgrades {
        let package = &packages[upgrade.package];
        if !package.kind.is_os() {
            groups.entry((package.kind, &package.name, &package.version, &upgrade.to)).or_default().push(upgrade);
        }
    }
    let action = |((kind, name, from, to), group): ((PackageKind, &str, &str, &str), Vec<&Upgrade>)| {
        let clean = |text: &str| crate::text::clean(text, 200);
        let mut remarks = Vec::new();
        if let Some((version, counts)) = group.iter().find_map(|upgrade| upgrade.within_major.clone()) {
            remarks.push(format!("+ {} clears {} without a new major version", clean(&version), counts.total()));
        }
        let remains: usize = group.iter().map(|upgrade| upgrade.remains).sum();
        if remains > 0 {
            remarks.push(format!("- {remains} more have no fix yet"));
        }
        let paths = group.iter().flat_map(|upgrade| &packages[upgrade.package].locations);
        if let Some(location) = paths.into_iter().next() {
            remarks.push(format!("in {}", clean(&location.path)));
        }
        let edits = match manifest::is_plain(to) {
            true => input
                .files
                .iter()
                .filter_map(|(path, text)| Some(edit(path, text, manifest::edit(path, text, kind, name, to)?)))
                .collect(),
            false => Vec::new(),
        };
        Action {
            kind: ActionKind::Package,
            title: format!("upgrade {} {} to {}", clean(name), clean(from), clean(to)),
            clears: sum(group.iter().map(|upgrade| upgrade.clears)),
            measured: true,
            ids: group.iter().flat_map(|upgrade| upgrade.ids.clone()).collect(),
            remarks,
            edits,
            command: manifest::command(kind, name, to),
        }
    };
    groups.into_iter().map(action).collect()
}

fn sum(counts: impl Iterator<Item = Counts>) -> Counts {
    counts.fold(Counts::default(), |all, one| all.plus(&one))
}

impl Plan {
    /// The plan as text; at most `limit` actions.
    pub fn text(&self, limit: usize) -> String {
        let mut text = String::new();
        for (index, action) in self.actions.iter().take(limit).enumerate() {
            let about = if action.measured { "" } else { "up to " };
            let total = action.clears.total();
            let gone = match (total, action.measured) {
                (0, false) => "unknown until its packages are known".to_owned(),
                (1, _) => format!("{about}1 finding goes:{}", action.clears),
                _ => format!("{about}{total} findings go:{}", action.clears),
            };
            let _ = write!(text, "{:>2}. {}\n    {gone}\n", index + 1, action.title);
            for remark in &action.remarks {
                let _ = writeln!(text, "    {remark}");
            }
            if let Some(command) = &action.command {
                let _ = writeln!(text, "    $ {command}");
            }
            for edit in &action.edits {
                for line in edit.diff.lines() {
                    let _ = writeln!(text, "    {}", shown(line));
                }
            }
            text.push('\n');
        }
        if self.actions.len() > limit {
            let _ = writeln!(text, "… and {} more; --all shows them", self.actions.len() - limit);
        }
        if self.actions.is_empty() {
            text.push_str("There is nothing to do.\n");
        }
        if self.remains.total() > 0 {
            let _ = writeln!(
                text,
                "{} have no fix yet:{}",
                crate::report::count_of(self.remains.total(), "finding", "findings"),
                self.remains
            );
        }
        text
    }
}

/// A line of a diff with its indentation, without what fools terminals.
fn shown(line: &str) -> String {
    line.chars().take(1000).map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
