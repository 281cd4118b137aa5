//! Scout's seven policies, with its ids, its settings and their defaults.

use serde_json::Value;

use super::license;
use super::{PolicyConfig, PolicyInput, PolicyResult, ResultType, Violation};
use crate::advisory::DatabaseError;
use crate::matching::Finding;
use crate::model::TargetKind;
use crate::recommend::{Life, life};
use crate::vex::glob;

/// A policy that is always there.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// Its stable id.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is about.
    pub result_type: ResultType,
    /// Its settings, `weight` excepted.
    pub settings: &'static [&'static str],
}

const fn policy(
    id: &'static str,
    title: &'static str,
    result_type: ResultType,
    settings: &'static [&'static str],
) -> Builtin {
    Builtin { id, title, result_type, settings }
}

const FIXABLE: &str = "fixable-vulnerabilities";
const HIGH_PROFILE: &str = "high-profile-vulnerabilities";
const COPYLEFT: &str = "copyleft-license";
const STALE: &str = "no-stale-base-images";
const APPROVED: &str = "approved-base-images";
const ATTESTATIONS: &str = "supply-chain-attestations";
const NON_ROOT: &str = "default-non-root-user";

/// The policies, in the order in which they are listed.
pub const BUILTIN: [Builtin; 7] = [
    policy(
        FIXABLE,
        "No fixable critical or high vulnerabilities",
        ResultType::Vulnerability,
        &["severities", "fixable_only", "package_types", "grace_period_days"],
    ),
    policy(
        HIGH_PROFILE,
        "No high-profile vulnerabilities",
        ResultType::Vulnerability,
        &["cves", "ignored_cves", "include_cisa_kev"],
    ),
    policy(COPYLEFT, "No copyleft licenses", ResultType::License, &["licenses", "ignored_packages"]),
    policy(STALE, "Up-to-date base images", ResultType::Generic, &[]),
    policy(
        APPROVED,
        "Approved base images",
        ResultType::Generic,
        &["allowed_base_images", "allowed_distros_only", "allowed_distros"],
    ),
    policy(ATTESTATIONS, "Supply chain attestations", ResultType::Boolean, &["required_attestations"]),
    policy(NON_ROOT, "Default non-root user", ResultType::Boolean, &[]),
];

const HIGH_PROFILE_CVES: [&str; 8] = [
    "CVE-2014-0160",
    "CVE-2014-6271",
    "CVE-2021-44228",
    "CVE-2021-45046",
    "CVE-2022-22965",
    "CVE-2023-38545",
    "CVE-2023-44487",
    "CVE-2024-3094",
];

const COPYLEFT_LICENSES: [&str; 12] =
    ["AGPL", "GPL", "LGPL", "MPL", "EPL", "CDDL", "CPL", "EUPL", "OSL", "SSPL", "CECILL", "RPL"];

/// Violations that are listed of one policy; the message tells how many there are.
const MAX_VIOLATIONS: usize = 200;

/// Judges by the seven, or by those named in `only`.
///
/// # Errors
/// The database is damaged.
pub fn evaluate(
    input: &PolicyInput<'_>,
    config: &PolicyConfig,
    only: &[String],
) -> Result<Vec<PolicyResult>, DatabaseError> {
    let mut results = Vec::new();
    for policy in BUILTIN.iter().filter(|policy| only.is_empty() || only.iter().any(|id| id == policy.id)) {
        let (met, mut violations) = match policy.id {
            FIXABLE => fixable(input, config),
            HIGH_PROFILE => high_profile(input, config),
            COPYLEFT => copyleft(input, config),
            STALE => stale(input)?,
            APPROVED => approved(input, config)?,
            ATTESTATIONS => attestations(input, config),
            _ => non_root(input),
        };
        violations.truncate(MAX_VIOLATIONS);
        results.push(PolicyResult {
            id: policy.id.to_owned(),
            title: policy.title.to_owned(),
            result_type: policy.result_type,
            met,
            violations,
            weight: config.weight(policy.id),
        });
    }
    Ok(results)
}

type Outcome = (Option<bool>, Vec<Violation>);

fn unknown(why: &str) -> Outcome {
    (None, vec![Violation::new(why)])
}

fn judged(violations: Vec<Violation>) -> Outcome {
    (Some(violations.is_empty()), violations)
}

/// Of findings: what could not be judged cannot be called met.
fn judged_findings(input: &PolicyInput<'_>, violations: Vec<Violation>) -> Outcome {
    if violations.is_empty() && input.report.is_incomplete() {
        return unknown("not all packages could be judged");
    }
    judged(violations)
}

fn of_finding(input: &PolicyInput<'_>, finding: &Finding) -> Violation {
    let package = input.report.package(finding);
    let purl = package.purl(input.report.sbom.distro.as_ref()).to_string();
    let violation = Violation::new(format!("{} {} has {}", package.name, package.version, finding.id))
        .with("cve", finding.id.clone())
        .with("severity", finding.severity.name())
        .with("purl", purl);
    match &finding.fixed {
        Some(fixed) => {
            violation.with("fixed_version", fixed.clone()).fix(format!("upgrade {} to {fixed}", package.name))
        }
        None => violation,
    }
}

fn fixable(input: &PolicyInput<'_>, config: &PolicyConfig) -> Outcome {
    let severities = config.list(FIXABLE, "severities", &["CRITICAL", "HIGH"]);
    let fixable_only = config.flag(FIXABLE, "fixable_only", true);
    let types = config.list(FIXABLE, "package_types", &[]);
    let grace = config.get(FIXABLE, "grace_period_days").and_then(Value::as_i64).unwrap_or_default();
    let counted = |finding: &&&Finding| {
        finding.counts()
            && severities.iter().any(|severity| severity.eq_ignore_ascii_case(finding.severity.name()))
            && (!fixable_only || finding.fixed.is_some())
            && (types.is_empty() || types.iter().any(|kind| kind == input.report.package(finding).kind.name()))
            && (grace <= 0 || age_days(&finding.published, input.today).is_none_or(|age| age > grace))
    };
    judged_findings(
        input,
        input.report.findings.iter().filter(counted).map(|finding| of_finding(input, finding)).collect(),
    )
}

/// Days between the day of a time and today.
fn age_days(published: &str, today: &str) -> Option<i64> {
    let day = |text: &str| text.get(..10)?.parse::<jiff::civil::Date>().ok();
    let span = day(published)?.until((jiff::Unit::Day, day(today)?)).ok()?;
    Some(i64::from(span.get_days()))
}

fn high_profile(input: &PolicyInput<'_>, config: &PolicyConfig) -> Outcome {
    let listed = config.list(HIGH_PROFILE, "cves", &HIGH_PROFILE_CVES);
    let ignored = config.list(HIGH_PROFILE, "ignored_cves", &[]);
    let exploited = config.flag(HIGH_PROFILE, "include_cisa_kev", true);
    let counted = |finding: &&&Finding| {
        finding.counts()
            && !ignored.iter().any(|id| finding.is(id))
            && (listed.iter().any(|id| finding.is(id)) || (exploited && finding.exploited.is_some()))
    };
    let violations: Vec<Violation> =
        input.report.findings.iter().filter(counted).map(|finding| of_finding(input, finding)).collect();
    if violations.is_empty() && exploited && !input.database.has(crate::advisory::Format::Kev) {
        return unknown("the database has no catalog of exploited vulnerabilities: `drua scout db update kev`");
    }
    judged_findings(input, violations)
}

fn copyleft(input: &PolicyInput<'_>, config: &PolicyConfig) -> Outcome {
    let licenses = config.list(COPYLEFT, "licenses", &COPYLEFT_LICENSES);
    let ignored = config.list(COPYLEFT, "ignored_packages", &[]);
    let sbom = input.report.sbom;
    let mut violations = Vec::new();
    for package in &sbom.packages {
        let purl = package.purl(sbom.distro.as_ref()).to_string();
        if ignored.iter().any(|pattern| glob(pattern, &package.name) || glob(pattern, &purl)) {
            continue;
        }
        if let Some(license) = package.licenses.iter().find_map(|license| license::needs(license, &licenses)) {
            violations.push(
                Violation::new(format!("{} {} is under {license}", package.name, package.version))
                    .with("license", license)
                    .with("purl", purl),
            );
        }
    }
    judged(violations)
}

fn is_image(input: &PolicyInput<'_>) -> bool {
    matches!(input.report.sbom.target.kind, TargetKind::Image)
}

fn stale(input: &PolicyInput<'_>) -> Result<Outcome, DatabaseError> {
    let Some(base) = input.base else { return Ok(unknown("the base image is not known")) };
    let refresh = "`drua scout recommendations` shows what to do";
    if let Some(life) = life_of_base(input)?.filter(|life| life.is_over) {
        let end = if life.end == "true" { String::new() } else { format!(" since {}", life.end) };
        let violation = Violation::new(format!("{} gets no more fixes{end}", life.product)).with("base", base.name());
        return Ok(judged(vec![violation.fix(refresh)]));
    }
    Ok(match input.base_is_current {
        Some(true) => judged(Vec::new()),
        Some(false) => judged(vec![
            Violation::new(format!("{} has been built anew since", base.name())).with("base", base.name()).fix(refresh),
        ]),
        None => unknown("whether the base image's tag has moved, only its registry can tell"),
    })
}

/// The end of life of the base's product, or of the distribution.
fn life_of_base(input: &PolicyInput<'_>) -> Result<Option<Life>, DatabaseError> {
    let Some(official) = input.base.and_then(BaseImageExt::product) else { return Ok(None) };
    life(official.0, &official.1, input.database, input.today)
}

trait BaseImageExt {
    fn product(&self) -> Option<(&str, String)>;
}

impl BaseImageExt for crate::recommend::BaseImage {
    fn product(&self) -> Option<(&str, String)> {
        let version = self.tag.split('-').next().unwrap_or_default().to_owned();
        Some((crate::recommend::product_of(self.official()?), version))
    }
}

fn approved(input: &PolicyInput<'_>, config: &PolicyConfig) -> Result<Outcome, DatabaseError> {
    let Some(base) = input.base else { return Ok(unknown("the base image is not known")) };
    let allowed = config.list(APPROVED, "allowed_base_images", &["*"]);
    let name = base.name();
    let full = format!("docker.io/library/{name}");
    let mut violations = Vec::new();
    if !allowed.iter().any(|pattern| glob(pattern, &name) || glob(pattern, &full)) {
        violations.push(Violation::new(format!("the base image {name} is not approved")).with("base", name.clone()));
    }
    let distros = config.list(APPROVED, "allowed_distros", &[]);
    if let Some(distro) =
        input.report.sbom.distro.as_ref().filter(|_| config.flag(APPROVED, "allowed_distros_only", true))
    {
        let own = format!("{}:{}", distro.id, distro.version_id);
        if !distros.is_empty() && !distros.iter().any(|pattern| glob(pattern, &own) || pattern == &distro.id) {
            violations.push(Violation::new(format!("the distribution {own} is not approved")).with("distro", own));
        } else {
            let product = match distro.id.as_str() {
                "alpine" => "alpine-linux",
                "rocky" => "rocky-linux",
                "amzn" => "amazon-linux",
                "ol" => "oracle-linux",
                id => id,
            };
            if let Some(life) =
                life(product, &distro.version_id, input.database, input.today)?.filter(|life| life.is_over)
            {
                violations.push(Violation::new(format!("{} gets no more fixes", life.product)).with("end", life.end));
            }
        }
    }
    Ok(judged(violations))
}

fn attestations(input: &PolicyInput<'_>, config: &PolicyConfig) -> Outcome {
    if !is_image(input) {
        return unknown("only images have attestations");
    }
    let has = |prefix: &str| input.report.sbom.target.attestations.iter().any(|found| found.starts_with(prefix));
    let required = config.list(ATTESTATIONS, "required_attestations", &[]);
    let missing =
        |name: &str, how: &str| Violation::new(format!("there is no {name}")).with("attestation", name).fix(how);
    let mut violations: Vec<Violation> =
        required.iter().filter(|name| !has(name)).map(|name| missing(name, "attach it to the image")).collect();
    if required.is_empty() {
        if !has("https://slsa.dev/provenance/") {
            violations.push(missing("provenance", "build with `--provenance=mode=max`"));
        }
        if !has("https://spdx.dev/Document") && !has("https://cyclonedx.org/bom") {
            violations.push(missing("SBOM", "build with `--sbom`"));
        }
    }
    judged(violations)
}

fn non_root(input: &PolicyInput<'_>) -> Outcome {
    if !is_image(input) {
        return unknown("only images have a user");
    }
    let user = input.report.sbom.target.user.as_str();
    let name = user.split(':').next().unwrap_or_default();
    if matches!(name, "" | "root") || name.bytes().all(|byte| byte == b'0') {
        let shown = if user.is_empty() { "root, since no USER is set".to_owned() } else { format!("`{user}`") };
        return judged(vec![Violation::new(format!("the image runs as {shown}")).fix("set USER in the Dockerfile")]);
    }
    judged(Vec::new())
}
