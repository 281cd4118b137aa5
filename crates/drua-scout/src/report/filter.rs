//! Scout's `--only-…` and `--ignore-…`.

use regex::Regex;

use crate::advisory::Severity;
use crate::matching::Finding;
use crate::model::{PackageKind, Sbom};

/// By whether there is a fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FixFilter {
    /// All.
    #[default]
    Any,
    /// Those with a fix.
    Fixed,
    /// Those without.
    Unfixed,
}

/// By which layers a package lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerFilter {
    /// All.
    #[default]
    Any,
    /// Those of the base image, which has this many layers.
    OnlyBase(usize),
    /// Those above the base image, which has this many layers.
    IgnoreBase(usize),
}

/// Which findings to show. An empty list lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// These severities.
    pub severities: Vec<Severity>,
    /// By fix.
    pub fix: FixFilter,
    /// These kinds of packages.
    pub kinds: Vec<PackageKind>,
    /// Packages whose name matches one of these.
    pub packages: Vec<Regex>,
    /// These vulnerabilities, by id or alias.
    pub ids: Vec<String>,
    /// Only those known to be exploited.
    pub exploited: bool,
    /// Base metrics of the CVSS vector: `AV:N`.
    pub metrics: Vec<String>,
    /// At least this EPSS score, 0 to 1.
    pub epss_score: Option<f64>,
    /// At least this EPSS percentile, 0 to 1.
    pub epss_percentile: Option<f64>,
    /// By layer.
    pub layers: LayerFilter,
    /// Show what a VEX statement, an ignore file or a rule suppresses, too.
    pub suppressed: bool,
}

impl Filter {
    /// Whether a finding is shown.
    pub fn passes(&self, finding: &Finding, sbom: &Sbom) -> bool {
        let package = &sbom.packages[finding.package];
        let listed = |passes: bool, is_empty: bool| is_empty || passes;
        (self.suppressed || finding.counts())
            && listed(self.severities.contains(&finding.severity), self.severities.is_empty())
            && match self.fix {
                FixFilter::Any => true,
                FixFilter::Fixed => finding.fixed.is_some(),
                FixFilter::Unfixed => finding.fixed.is_none(),
            }
            && listed(self.kinds.contains(&package.kind), self.kinds.is_empty())
            && listed(self.packages.iter().any(|regex| regex.is_match(&package.name)), self.packages.is_empty())
            && listed(self.ids.iter().any(|id| finding.is(id)), self.ids.is_empty())
            && (!self.exploited || finding.exploited.is_some())
            && self.metrics.iter().all(|metric| has_metric(finding, metric))
            && self.epss_score.is_none_or(|least| finding.epss.is_some_and(|epss| epss.score >= least))
            && self.epss_percentile.is_none_or(|least| finding.epss.is_some_and(|epss| epss.percentile >= least))
            && match (self.layers, package.layer()) {
                (LayerFilter::Any, _) => true,
                (LayerFilter::OnlyBase(count), layer) => layer.is_some_and(|layer| layer < count),
                (LayerFilter::IgnoreBase(count), layer) => layer.is_none_or(|layer| layer >= count),
            }
    }
}

fn has_metric(finding: &Finding, metric: &str) -> bool {
    let Some((name, value)) = metric.split_once(':') else { return false };
    finding.cvss.as_ref().and_then(|cvss| cvss.metric(name)).is_some_and(|found| found.eq_ignore_ascii_case(value))
}
