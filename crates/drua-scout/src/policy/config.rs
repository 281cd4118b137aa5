//! `--policy-config`: a JSON object with an object for each policy.
//!
//! ```json
//! { "fixable-vulnerabilities": { "severities": ["CRITICAL"], "grace_period_days": 14, "weight": 30 } }
//! ```

use serde_json::{Map, Value};

const MAX_BYTES: usize = 1 << 20;

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no JSON.
    #[error("cannot read the policy configuration")]
    Json(#[source] serde_json::Error),
    /// It is too long.
    #[error("the policy configuration has more than 1 MiB")]
    TooLarge,
    /// It is no object of objects.
    #[error("the policy configuration has to be an object with an object for each policy; `{0}` is none")]
    Shape(String),
    /// A key of a built-in policy that does not exist.
    #[error("the policy `{policy}` has no setting `{key}`; it has {known}")]
    UnknownKey {
        /// The policy.
        policy: String,
        /// The key.
        key: String,
        /// What there is.
        known: String,
    },
}

/// Settings of policies.
#[derive(Debug, Clone, Default)]
pub struct PolicyConfig(Map<String, Value>);

impl PolicyConfig {
    /// Reads a configuration; keys of built-in policies are checked.
    ///
    /// # Errors
    /// It is too long, no JSON, of the wrong shape, or has a key that a built-in policy does not know.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_BYTES {
            return Err(ConfigError::TooLarge);
        }
        let value: Value = serde_json::from_str(text).map_err(ConfigError::Json)?;
        let Value::Object(policies) = value else { return Err(ConfigError::Shape("the whole".to_owned())) };
        for (policy, settings) in &policies {
            let Some(settings) = settings.as_object() else { return Err(ConfigError::Shape(policy.clone())) };
            let Some(builtin) = super::BUILTIN.iter().find(|builtin| builtin.id == policy) else { continue };
            for key in settings.keys().filter(|key| *key != "weight") {
                if !builtin.settings.contains(&key.as_str()) {
                    let known = builtin.settings.iter().chain(&["weight"]).copied().collect::<Vec<_>>().join(", ");
                    return Err(ConfigError::UnknownKey { policy: policy.clone(), key: key.clone(), known });
                }
            }
        }
        Ok(Self(policies))
    }

    pub(super) fn get(&self, policy: &str, key: &str) -> Option<&Value> {
        self.0.get(policy)?.get(key)
    }

    pub(super) fn list(&self, policy: &str, key: &str, default: &[&str]) -> Vec<String> {
        match self.get(policy, key).and_then(Value::as_array) {
            Some(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => default.iter().map(|item| (*item).to_owned()).collect(),
        }
    }

    pub(super) fn flag(&self, policy: &str, key: &str, default: bool) -> bool {
        self.get(policy, key).and_then(Value::as_bool).unwrap_or(default)
    }

    pub(super) fn weight(&self, policy: &str) -> u32 {
        let weight = self.get(policy, "weight").and_then(Value::as_u64);
        weight.map_or(super::DEFAULT_WEIGHT, |weight| u32::try_from(weight).unwrap_or(u32::MAX))
    }

    /// A policy's settings, for Rego's `data.config`.
    pub(super) fn settings(&self, policy: &str) -> Value {
        self.0.get(policy).cloned().unwrap_or_else(|| Value::Object(Map::new()))
    }
}
