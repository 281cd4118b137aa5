//! How bad a vulnerability is: words, and CVSS.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Docker Scout's five words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Severity {
    /// Nobody has said.
    #[default]
    #[serde(rename = "?")]
    Unspecified,
    /// CVSS 0.1 to 3.9; what distributions call low, negligible or unimportant.
    #[serde(rename = "L")]
    Low,
    /// CVSS 4.0 to 6.9; Red Hat's moderate.
    #[serde(rename = "M")]
    Medium,
    /// CVSS 7.0 to 8.9; Red Hat's important.
    #[serde(rename = "H")]
    High,
    /// CVSS 9.0 to 10.0.
    #[serde(rename = "C")]
    Critical,
}

impl Severity {
    /// From the worst down, as tables list them.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Unspecified];

    pub(super) fn is_unspecified(&self) -> bool {
        *self == Self::Unspecified
    }

    /// `CRITICAL`, as Scout prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
            Self::Unspecified => "UNSPECIFIED",
        }
    }

    /// The letter of the counts: `2C 5H 1M 0L 3?`.
    pub fn letter(self) -> char {
        match self {
            Self::Critical => 'C',
            Self::High => 'H',
            Self::Medium => 'M',
            Self::Low => 'L',
            Self::Unspecified => '?',
        }
    }

    /// The word for a CVSS score (CVSS 3.1 §5).
    pub fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            score if score > 0.0 => Self::Low,
            _ => Self::Unspecified,
        }
    }

    /// The word that a feed uses, whichever it is. Unknown ones, and those that say that nobody has looked yet, are
    /// unspecified.
    pub fn of_word(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "critical" | "urgent" => Self::Critical,
            "high" | "important" => Self::High,
            "medium" | "moderate" => Self::Medium,
            "low" | "negligible" | "unimportant" | "minor" => Self::Low,
            _ => Self::Unspecified,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a severity: use critical, high, medium, low or unspecified")]
pub struct UnknownSeverity(String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.trim().to_ascii_uppercase();
        let found = Self::ALL.into_iter().find(|severity| severity.name() == wanted);
        found.ok_or_else(|| UnknownSeverity(text.chars().take(40).collect()))
    }
}

/// A CVSS vector with its base score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cvss {
    /// The base score, 0 to 10.
    #[serde(rename = "s")]
    pub score: f64,
    /// `CVSS:3.1/AV:N/…`.
    #[serde(rename = "v")]
    pub vector: String,
}

impl Cvss {
    /// Reads a vector of CVSS 2, 3.0, 3.1 or 4.0 and computes its score. None for what is none.
    pub fn parse(vector: &str) -> Option<Self> {
        super::cvss::score(vector).map(|score| Self { score, vector: vector.trim().to_owned() })
    }

    /// `2.0`, `3.1`, `4.0`.
    pub fn version(&self) -> &str {
        match self.vector.strip_prefix("CVSS:") {
            Some(rest) => rest.split('/').next().unwrap_or("3.1"),
            None => "2.0",
        }
    }

    /// Which of several counts: the newest version's.
    pub fn preferred(list: &[Self]) -> Option<&Self> {
        list.iter().max_by(|a, b| a.version().cmp(b.version()))
    }

    /// The value of a base metric, `N` of `AV:N`.
    pub fn metric(&self, name: &str) -> Option<&str> {
        self.vector.split('/').find_map(|part| part.strip_prefix(name)?.strip_prefix(':'))
    }
}
