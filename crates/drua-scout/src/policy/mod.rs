//! Policies: Docker Scout's seven, and others in Rego. Judged here, on this machine, nothing is sent anywhere.

mod builtin;
mod config;
mod license;
mod rego;
mod score;
#[cfg(test)]
mod tests;

pub use builtin::{BUILTIN, Builtin, evaluate};
pub use config::{ConfigError, PolicyConfig};
pub use rego::{RegoError, RegoPolicy};
pub use score::{Grade, HealthScore, health_score};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::advisory::Database;
use crate::recommend::BaseImage;
use crate::report::Report;

/// The weight of a policy that says nothing else.
pub const DEFAULT_WEIGHT: u32 = 10;

/// All that policies may look at.
#[derive(Debug)]
pub struct PolicyInput<'p> {
    /// The document and its findings, unfiltered.
    pub report: &'p Report<'p>,
    /// The base image.
    pub base: Option<&'p BaseImage>,
    /// Whether the base image's tag still points at what was used; none when nobody has asked the registry.
    pub base_is_current: Option<bool>,
    /// For ends of life.
    pub database: &'p Database,
    /// `2026-11-23`.
    pub today: &'p str,
}

/// What a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultType {
    /// Vulnerabilities.
    Vulnerability,
    /// Licences.
    License,
    /// Yes or no.
    Boolean,
    /// Something else.
    Generic,
}

/// A reason why a policy is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// In a sentence.
    pub message: String,
    /// The parts of it, by name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub detail: Map<String, Value>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
}

impl Violation {
    fn new(message: impl Into<String>) -> Self {
        Self { message: crate::text::clean(&message.into(), 600), detail: Map::new(), remediation: None }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    fn fix(mut self, remediation: impl Into<String>) -> Self {
        self.remediation = Some(crate::text::clean(&remediation.into(), 600));
        self
    }
}

/// How a policy came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyResult {
    /// Its stable id: `fixable-vulnerabilities`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub result_type: ResultType,
    /// Whether it is met; none when data are missing.
    pub met: Option<bool>,
    /// Why not, or what is missing.
    pub violations: Vec<Violation>,
    /// How much it counts in the health score; nothing when 0.
    pub weight: u32,
}
