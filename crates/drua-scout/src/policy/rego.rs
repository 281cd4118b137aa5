//! Policies in Rego, by Scout's contract: package `docker.scout`, rules `pass` and `violation`, a METADATA block.
//!
//! | Rego | what it is |
//! |---|---|
//! | `input.source.image` | name, digest, platform, user, distro, labels, attestations |
//! | `input.artifacts[]` | packages: type, name, version, purl, licenses, locations |
//! | `input.vulnerabilities[]` | findings that count: cve, aliases, severity, purl, fixed_version, exploited, cvss |
//! | `input.base` | name, digest, confidence |
//! | `data.config` | the policy's settings |
//! | `scout.vulnerabilities(x)`, `scout.base_image(x)`, `scout.parse_purl(p)`, `oci.image_digest(x)`, `oci.canonical_name(x)` | the same as functions |
//!
//! What needs a registry or keys (`oci.referrer`, `cosign.verify_image`, …) is not there; a policy that calls it fails with that
//! message.

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::{Engine, Value as Rego};
use serde_json::{Value, json};

use super::{DEFAULT_WEIGHT, PolicyConfig, PolicyInput, PolicyResult, ResultType, Violation};
use crate::advisory::yaml;
use crate::purl::Purl;
use crate::text::clean;

/// How long one policy may think.
const TIME_LIMIT: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 1 << 20;

/// A policy of one's own.
#[derive(Debug, Clone)]
pub struct RegoPolicy {
    path: String,
    text: String,
    /// Its id.
    pub name: String,
    title: String,
    result_type: ResultType,
    weight: u32,
}

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegoError {
    /// It is too long.
    #[error("the policy `{path}` has more than 1 MiB")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// It is not of the package that Scout's policies are of.
    #[error("the policy `{path}` is not of package `docker.scout`")]
    Package {
        /// The file.
        path: String,
    },
    /// Rego's parser or evaluator says no.
    #[error("cannot evaluate the policy `{path}`: {reason}")]
    Rego {
        /// The file.
        path: String,
        /// Its words.
        reason: String,
    },
}

impl RegoPolicy {
    /// Reads a policy, without running it.
    ///
    /// # Errors
    /// It is too long, cannot be parsed, or is of another package.
    pub fn parse(path: &str, text: &str) -> Result<Self, RegoError> {
        if text.len() > MAX_BYTES {
            return Err(RegoError::TooLarge { path: path.to_owned() });
        }
        let package = Engine::new().add_policy(path.to_owned(), text.to_owned());
        if package.map_err(|error| rego_error(path, &error))? != "data.docker.scout" {
            return Err(RegoError::Package { path: path.to_owned() });
        }
        let metadata = metadata(text);
        let custom = metadata.get("custom").cloned().unwrap_or_default();
        let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rego");
        let field = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(|text| clean(text, 200));
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            name: field(&custom, "name").unwrap_or_else(|| stem.to_owned()),
            title: field(&metadata, "title").unwrap_or_else(|| stem.to_owned()),
            result_type: match field(&custom, "result_type").as_deref() {
                Some("vulnerability") => ResultType::Vulnerability,
                Some("license") => ResultType::License,
                Some("boolean") => ResultType::Boolean,
                _ => ResultType::Generic,
            },
            weight: field(&custom, "weight").and_then(|weight| weight.parse().ok()).unwrap_or(DEFAULT_WEIGHT),
        })
    }

    /// Judges by it.
    ///
    /// # Errors
    /// It cannot be evaluated, or takes longer than ten seconds.
    pub fn evaluate(&self, input: &PolicyInput<'_>, config: &PolicyConfig) -> Result<PolicyResult, RegoError> {
        let document = document(input);
        let mut engine = Engine::new();
        if let Some(check_interval) = NonZeroU32::new(1000) {
            let limit = TIME_LIMIT;
            engine.set_execution_timer_config(regorus::utils::limits::ExecutionTimerConfig { limit, check_interval });
        }
        functions(&mut engine, &self.path, &document)?;
        engine.add_policy(self.path.clone(), self.text.clone()).map_err(|error| rego_error(&self.path, &error))?;
        engine.set_input(Rego::from(document));
        let data = Rego::from(json!({ "config": config.settings(&self.name) }));
        engine.add_data(data).map_err(|error| rego_error(&self.path, &error))?;
        let rules = rules(&mut engine, &self.path)?;
        let violations = violations(rules.get("violation").unwrap_or(&Value::Null));
        // `pass` decides; a policy without it passes when nothing is violated.
        let met = match rules.get("pass") {
            Some(pass) => pass.as_bool() == Some(true),
            None => !declares_pass(&self.text) && violations.is_empty(),
        };
        let weight = config.get(&self.name, "weight").map_or(self.weight, |_| config.weight(&self.name));
        Ok(PolicyResult {
            id: self.name.clone(),
            title: self.title.clone(),
            result_type: self.result_type,
            met: Some(met),
            violations,
            weight,
        })
    }
}

/// The values of all rules; those that are undefined are left out.
fn rules(engine: &mut Engine, path: &str) -> Result<Value, RegoError> {
    let results = engine.eval_query("data.docker.scout".to_owned(), false).map_err(|error| rego_error(path, &error))?;
    let value =
        results.result.first().and_then(|result| result.expressions.first()).map(|expression| &expression.value);
    let Some(value) = value else { return Ok(Value::Null) };
    let text = value.to_json_str().map_err(|error| rego_error(path, &error))?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Whether a policy has a rule `pass`, which may then be undefined.
fn declares_pass(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let first = words.next();
        !line.starts_with([' ', '\t', '#'])
            && (first == Some("pass") || (first == Some("default") && words.next() == Some("pass")))
    })
}

fn violations(value: &Value) -> Vec<Violation> {
    let one = |value: &Value| {
        let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let message = value.as_str().unwrap_or_else(|| field("message"));
        let violation = Violation {
            detail: value.get("detail").and_then(Value::as_object).cloned().unwrap_or_default(),
            ..Violation::new(if message.is_empty() { "the policy is violated" } else { message })
        };
        match field("remediation") {
            "" => violation,
            remediation => violation.fix(remediation),
        }
    };
    value.as_array().into_iter().flatten().map(one).collect()
}

/// The METADATA block: comments with YAML.
fn metadata(text: &str) -> Value {
    let mut lines = text.lines().skip_while(|line| line.trim() != "# METADATA").skip(1);
    let comments: Vec<&str> = lines
        .by_ref()
        .map_while(|line| line.strip_prefix('#').map(|rest| rest.strip_prefix(' ').unwrap_or(rest)))
        .collect();
    yaml::parse(&comments.join("\n")).unwrap_or_default()
}

/// What a policy may look at.
fn document(input: &PolicyInput<'_>) -> Value {
    let sbom = input.report.sbom;
    let distro = sbom.distro.as_ref();
    let artifacts: Vec<Value> = sbom.packages.iter().map(|package| json!({
        "type": package.kind.name(),
        "name": package.name,
        "version": package.version,
        "purl": package.purl(distro).to_string(),
        "licenses": package.licenses,
        "locations": package.locations.iter().map(|location| json!({ "path": location.path, "layer": location.layer })).collect::<Vec<_>>(),
    })).collect();
    let vulnerabilities: Vec<Value> = input
        .report
        .findings
        .iter()
        .filter(|finding| finding.counts())
        .map(|finding| {
            json!({
                "cve": finding.id,
                "aliases": finding.aliases,
                "severity": finding.severity.name(),
                "purl": input.report.package(finding).purl(distro).to_string(),
                "fixed_version": finding.fixed,
                "published_at": finding.published,
                "exploited": finding.exploited.is_some(),
                "epss": finding.epss.map(|epss| epss.score),
                "cvss": finding.cvss.as_ref().map(|cvss| json!({ "score": cvss.score, "vector": cvss.vector })),
            })
        })
        .collect();
    json!({
        "source": { "image": {
            "name": sbom.target.name,
            "tags": sbom.target.tags,
            "digest": sbom.target.digest,
            "platform": sbom.target.platform,
            "user": sbom.target.user,
            "labels": sbom.target.labels,
            "attestations": sbom.target.attestations,
            "distro": distro.map(|distro| json!({ "id": distro.id, "version": distro.version_id })),
        } },
        "base": input.base.map(|base| json!({
            "name": base.name(), "digest": base.digest, "confidence": base.rung.confidence_pct(),
        })),
        "artifacts": artifacts,
        "vulnerabilities": vulnerabilities,
    })
}

/// Scout's functions, as far as they can be answered here.
fn functions(engine: &mut Engine, path: &str, document: &Value) -> Result<(), RegoError> {
    let constants = [
        ("scout.vulnerabilities", "/vulnerabilities"),
        ("scout.base_image", "/base"),
        ("oci.image_digest", "/source/image/digest"),
        ("oci.canonical_name", "/source/image/name"),
    ];
    for (name, pointer) in constants {
        let value = Rego::from(document.pointer(pointer).cloned().unwrap_or_default());
        let added = engine.add_extension(name.to_owned(), 1, Box::new(move |_: Vec<Rego>| Ok(value.clone())));
        added.map_err(|error| rego_error(path, &error))?;
    }
    let parse = |arguments: Vec<Rego>| {
        let text = arguments.first().and_then(|value| value.as_string().ok().map(|text| text.to_string()));
        let Some(purl) = text.and_then(|text| text.parse::<Purl>().ok()) else { return Ok(Rego::Undefined) };
        Ok(Rego::from(json!({
            "type": purl.ty, "namespace": purl.namespace, "name": purl.name, "version": purl.version,
            "qualifiers": purl.qualifiers, "subpath": purl.subpath,
        })))
    };
    engine.add_extension("scout.parse_purl".to_owned(), 1, Box::new(parse)).map_err(|error| rego_error(path, &error))
}

fn rego_error(path: &str, error: &dyn std::fmt::Display) -> RegoError {
    RegoError::Rego { path: path.to_owned(), reason: clean(&error.to_string(), 1000) }
}
