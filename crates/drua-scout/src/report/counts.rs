use std::fmt;

use serde::Serialize;

use crate::advisory::Severity;
use crate::matching::Finding;

/// How many of each severity. Ordered by the worst first: one critical is more than any number of high ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Counts {
    /// CRITICAL.
    pub critical: usize,
    /// HIGH.
    pub high: usize,
    /// MEDIUM.
    pub medium: usize,
    /// LOW.
    pub low: usize,
    /// UNSPECIFIED.
    pub unspecified: usize,
}

impl Counts {
    /// Counts findings.
    pub fn of<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            *counts.of_mut(finding.severity) += 1;
        }
        counts
    }

    /// The count of one severity.
    pub fn get(&self, severity: Severity) -> usize {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Unspecified => self.unspecified,
        }
    }

    fn of_mut(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Unspecified => &mut self.unspecified,
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        Severity::ALL.iter().map(|severity| self.get(*severity)).sum()
    }

    /// The change from another image, `-5C +1H` by severity; unchanged ones are `0`.
    pub fn change_from(&self, other: &Self) -> String {
        let change = |severity: &Severity| {
            let (now, before) = (self.get(*severity), other.get(*severity));
            let sign = match now.cmp(&before) {
                std::cmp::Ordering::Greater => "+",
                std::cmp::Ordering::Less => "-",
                std::cmp::Ordering::Equal => "",
            };
            (now.abs_diff(before), format!("{sign}{}{}", now.abs_diff(before), severity.letter()))
        };
        let all: Vec<(usize, String)> = Severity::ALL.iter().map(change).collect();
        let unspecified = all.last().is_some_and(|(difference, _)| *difference > 0);
        let shown = if unspecified { all.len() } else { all.len() - 1 };
        all.into_iter().take(shown).map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    }
}

/// `   2C     5H     1M     0L`, with `3?` where some have no severity: Scout's columns.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = Severity::ALL
            .iter()
            .filter(|severity| **severity != Severity::Unspecified || self.unspecified > 0)
            .map(|severity| format!("{:>4}{}", self.get(*severity), severity.letter()))
            .collect();
        f.write_str(&columns.join("  "))
    }
}
