//! Scores of CVSS vectors, by the `cvss` crate.

use std::str::FromStr as _;

/// Vectors are at most some hundred bytes.
const MAX_LENGTH: usize = 512;

pub(super) fn score(vector: &str) -> Option<f64> {
    let vector = vector.trim();
    if vector.len() > MAX_LENGTH {
        return None;
    }
    if vector.starts_with("CVSS:4.") {
        return cvss::v4::Vector::from_str(vector).ok().map(|vector| round(vector.score().value()));
    }
    if vector.starts_with("CVSS:3.") {
        // The crate knows base metrics; temporal and environmental ones, which feeds append, do not change the base score.
        let base = vector.split('/').filter(|part| {
            let name = part.split(':').next().unwrap_or_default();
            matches!(name, "CVSS" | "AV" | "AC" | "PR" | "UI" | "S" | "C" | "I" | "A")
        });
        let base = base.collect::<Vec<_>>().join("/");
        return cvss::v3::Vector::from_str(&base).ok().map(|vector| round(vector.score().value()));
    }
    let plain = vector.trim_start_matches('(').trim_end_matches(')');
    plain
        .starts_with("AV:")
        .then(|| cvss::v2::Vector::from_str(plain).ok().map(|vector| round(vector.score().value())))?
}

/// One decimal, as CVSS has it.
fn round(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}
