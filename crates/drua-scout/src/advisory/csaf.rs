//! Red Hat's CSAF advisories and VEX files, as a feed: which builds of which packages fixed what.
//!
//! Documents of other vendors are read as VEX only (see [`crate::vex`]).

use std::collections::HashMap;

use serde_json::Value;

use super::importer::{limited, text};
use super::record::{Advisory, Affected, MAX_TEXT, Range, Status};
use super::segment::SegmentBuilder;
use super::severity::{Cvss, Severity};

pub(super) fn is(value: &Value) -> bool {
    value.pointer("/document/csaf_version").is_some() && value.get("vulnerabilities").is_some()
}

/// Adds a document; when it was released.
pub(super) fn add(value: &Value, builder: &mut SegmentBuilder) -> String {
    let released = value.pointer("/document/tracking/current_release_date").and_then(Value::as_str).unwrap_or_default();
    let document = value.pointer("/document/tracking/id").and_then(Value::as_str).unwrap_or_default();
    let word = value.pointer("/document/aggregate_severity/text").and_then(Value::as_str).unwrap_or_default();
    let components = components(value);
    for vulnerability in value.get("vulnerabilities").and_then(Value::as_array).into_iter().flatten() {
        let id = text(vulnerability, "cve");
        if id.is_empty() {
            continue;
        }
        let mut advisory = Advisory {
            summary: limited(&text(vulnerability, "title"), MAX_TEXT),
            cvss: scores(vulnerability),
            severity: impact(vulnerability).max(Severity::of_word(word)),
            modified: released.to_owned(),
            id: id.clone(),
            ..Advisory::default()
        };
        if document != id {
            advisory.aliases.push(document.to_owned());
        }
        for (state, status) in [
            ("fixed", None),
            ("known_not_affected", Some(Status::NotAffected)),
            ("known_affected", Some(Status::Affected)),
        ] {
            let products = vulnerability.pointer(&format!("/product_status/{state}")).and_then(Value::as_array);
            for product in products.into_iter().flatten().filter_map(Value::as_str) {
                add_product(product, status, &id, &components, builder);
            }
        }
        builder.merge_advisory(advisory);
    }
    released.to_owned()
}

/// A product is `BaseOS-9.4.0.Z.MAIN:openssl-1:3.0.7-27.el9.x86_64`; its release is in the platform's CPE.
fn add_product(product: &str, status: Option<Status>, id: &str, components: &Components, builder: &mut SegmentBuilder) {
    let Some((platform, component)) = components.split(product) else { return };
    let Some(release) = components.releases.get(platform) else { return };
    let module = components.modules.get(product).cloned();
    let mut affected = Affected { id: id.to_owned(), module, ..Affected::default() };
    let name = match status {
        None => {
            let Some((name, version, arch)) = nevra(component) else { return };
            if arch == "src" {
                return;
            }
            affected.ranges.push(Range::below(&version));
            name
        }
        Some(status) => {
            affected.status = status;
            if status == Status::Affected {
                affected.ranges.push(Range::all());
            }
            nevra(component).map_or_else(|| component.to_owned(), |(name, _, _)| name)
        }
    };
    builder.affected(&format!("Red Hat:{release}"), &name, affected);
}

struct Components {
    /// Release of each platform: `9`.
    releases: HashMap<String, String>,
    /// Platform and component of each product that a relationship made.
    parts: HashMap<String, (String, String)>,
    modules: HashMap<String, String>,
}

impl Components {
    fn split<'c>(&'c self, product: &'c str) -> Option<(&'c str, &'c str)> {
        match self.parts.get(product) {
            Some((platform, component)) => Some((platform, component)),
            None => product.split_once(':'),
        }
    }
}

fn components(value: &Value) -> Components {
    let mut found = Components { releases: HashMap::new(), parts: HashMap::new(), modules: HashMap::new() };
    let mut branches: Vec<(&Value, usize)> = value
        .pointer("/product_tree/branches")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|b| (b, 0))
        .collect();
    while let Some((branch, depth)) = branches.pop() {
        if let Some(product) = branch.get("product") {
            let cpe = product.pointer("/product_identification_helper/cpe").and_then(Value::as_str).unwrap_or_default();
            if let Some(release) = release(cpe) {
                found.releases.insert(text(product, "product_id"), release);
            }
        }
        if depth < 16 {
            let below = branch.get("branches").and_then(Value::as_array).into_iter().flatten();
            branches.extend(below.map(|branch| (branch, depth + 1)));
        }
    }
    let relationships = value.pointer("/product_tree/relationships").and_then(Value::as_array);
    for relationship in relationships.into_iter().flatten() {
        let whole = relationship.pointer("/full_product_name/product_id").and_then(Value::as_str).unwrap_or_default();
        let platform = text(relationship, "relates_to_product_reference");
        let component = text(relationship, "product_reference");
        // A package of a module: the platform is itself `platform:module:stream:…`.
        let (platform, module) = match found.parts.get(&platform) {
            Some((base, module)) => (base.clone(), Some(module.splitn(3, ':').take(2).collect::<Vec<_>>().join(":"))),
            None => (platform, None),
        };
        if let Some(module) = module {
            found.modules.insert(whole.to_owned(), module);
        }
        found.parts.insert(whole.to_owned(), (platform, component));
    }
    found
}

/// `cpe:/o:redhat:enterprise_linux:9::baseos` is `9`. Extended and other paid streams have other product names.
fn release(cpe: &str) -> Option<String> {
    let rest = cpe.strip_prefix("cpe:/")?.split_once(":redhat:enterprise_linux:")?.1;
    let release = rest.split([':', '.']).next().unwrap_or_default();
    (!release.is_empty()).then(|| release.to_owned())
}

/// `openssl-1:3.0.7-27.el9.x86_64` as name, `1:3.0.7-27.el9`, architecture.
fn nevra(text: &str) -> Option<(String, String, &str)> {
    let (rest, arch) = text.rsplit_once('.')?;
    let (rest, release) = rest.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name.to_owned(), format!("{version}-{release}"), arch))
}

fn scores(vulnerability: &Value) -> Vec<Cvss> {
    let scores = vulnerability.get("scores").and_then(Value::as_array).into_iter().flatten();
    let mut scores: Vec<Cvss> = scores
        .flat_map(|score| ["cvss_v4", "cvss_v3", "cvss_v2"].map(|name| score.get(name)))
        .flatten()
        .filter_map(|score| Cvss::parse(&text(score, "vectorString")))
        .collect();
    scores.sort_by(|a, b| a.vector.cmp(&b.vector));
    scores.dedup();
    scores
}

fn impact(vulnerability: &Value) -> Severity {
    let threats = vulnerability.get("threats").and_then(Value::as_array).into_iter().flatten();
    let impacts = threats.filter(|threat| text(threat, "category") == "impact");
    impacts.map(|threat| Severity::of_word(&text(threat, "details"))).max().unwrap_or_default()
}
