//! The health score: weights of met policies over weights of all. What is unknown is not met.

use std::fmt;

use serde::Serialize;

use super::PolicyResult;

/// A grade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Grade {
    /// More than 90 %.
    A,
    /// More than 70 %.
    B,
    /// More than 50 %.
    C,
    /// More than 30 %.
    D,
    /// More than 10 %.
    E,
    /// The rest.
    F,
}

/// A grade with its percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HealthScore {
    /// The grade.
    pub grade: Grade,
    /// 0 to 100, rounded down.
    pub percent: u32,
}

impl fmt::Display for HealthScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}%)", self.grade, self.percent)
    }
}

/// The score of results; none when no policy has a weight.
pub fn health_score(results: &[PolicyResult]) -> Option<HealthScore> {
    let all: u64 = results.iter().map(|result| u64::from(result.weight)).sum();
    let met: u64 =
        results.iter().filter(|result| result.met == Some(true)).map(|result| u64::from(result.weight)).sum();
    if all == 0 {
        return None;
    }
    // Strictly greater, and in whole numbers: 90 % is a B.
    let above = |percent: u64| met * 100 > all * percent;
    let grade = match () {
        () if above(90) => Grade::A,
        () if above(70) => Grade::B,
        () if above(50) => Grade::C,
        () if above(30) => Grade::D,
        () if above(10) => Grade::E,
        () => Grade::F,
    };
    Some(HealthScore { grade, percent: u32::try_from(met * 100 / all).unwrap_or(100) })
}
