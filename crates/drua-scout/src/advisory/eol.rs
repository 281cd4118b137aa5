//! endoflife.date: products' release cycles, as YAML front matter of its repository and as JSON of its API.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::importer::text;
use super::segment::SegmentBuilder;

/// A release cycle of a product.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cycle {
    /// `3.20`, `12`, `22`.
    #[serde(rename = "n")]
    pub name: String,
    /// `bookworm`; empty where there is none.
    #[serde(rename = "c", default, skip_serializing_if = "String::is_empty")]
    pub codename: String,
    /// Date of the first release.
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    pub released: String,
    /// Date after which there are no more security fixes; `true` for a cycle that ended at no known date. Empty when it
    /// has no end.
    #[serde(rename = "e", default, skip_serializing_if = "String::is_empty")]
    pub end: String,
    /// Whether it has long-term support.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    pub lts: bool,
    /// The newest release of the cycle.
    #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
    pub latest: String,
    /// Date of the newest release of the cycle.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub latest_date: String,
}

impl Cycle {
    /// Whether its life is over on a day (`2026-11-23`).
    pub fn is_over(&self, today: &str) -> bool {
        match self.end.as_str() {
            "" => false,
            "true" => true,
            date => date < today,
        }
    }
}

/// The front matter of a product's page, if this is one.
pub(super) fn front_matter(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("---\n")?;
    let end = rest.find("\n---")?;
    let matter = &rest[..=end];
    (matter.contains("\nreleases:") && matter.contains("releaseCycle")).then_some(matter)
}

/// Adds a product of the repository; `name` is the file's without extension.
pub(super) fn add_page(name: &str, matter: &Value, builder: &mut SegmentBuilder) -> String {
    let cycles: Vec<Cycle> =
        matter.get("releases").and_then(Value::as_array).into_iter().flatten().map(page_cycle).collect();
    let newest = cycles.iter().map(|cycle| cycle.latest_date.clone()).max().unwrap_or_default();
    builder.cycles(name, cycles);
    newest
}

fn page_cycle(release: &Value) -> Cycle {
    // `eol` is a date, or `true` and `false`; where `eoes` (extended support) exists, it does not help those who do not pay.
    let end = match release.get("eol") {
        Some(Value::Bool(true)) => "true".to_owned(),
        Some(Value::String(date)) => date.clone(),
        _ => String::new(),
    };
    Cycle {
        name: text(release, "releaseCycle"),
        codename: text(release, "codename").to_lowercase(),
        released: text(release, "releaseDate"),
        end,
        lts: !matches!(release.get("lts"), None | Some(Value::Bool(false) | Value::Null)),
        latest: text(release, "latest"),
        latest_date: text(release, "latestReleaseDate"),
    }
}

/// `api/v1/products/full`.
pub(super) fn is_api(value: &Value) -> bool {
    value.get("schema_version").is_some() && value.pointer("/result/0/releases").is_some()
}

/// Adds all products of the API.
pub(super) fn add_api(value: &Value, builder: &mut SegmentBuilder) -> String {
    for product in value.get("result").and_then(Value::as_array).into_iter().flatten() {
        let releases = product.get("releases").and_then(Value::as_array).into_iter().flatten();
        builder.cycles(&text(product, "name"), releases.map(api_cycle).collect());
    }
    text(value, "generated_at")
}

fn api_cycle(release: &Value) -> Cycle {
    let over = release.get("isEol").and_then(Value::as_bool).unwrap_or_default();
    let end = match text(release, "eolFrom") {
        date if date.is_empty() && over => "true".to_owned(),
        date => date,
    };
    let latest = release.get("latest").cloned().unwrap_or_default();
    Cycle {
        name: text(release, "name"),
        codename: text(release, "codename").to_lowercase(),
        released: text(release, "releaseDate"),
        end,
        lts: release.get("isLts").and_then(Value::as_bool).unwrap_or_default(),
        latest: text(&latest, "name"),
        latest_date: text(&latest, "date"),
    }
}
