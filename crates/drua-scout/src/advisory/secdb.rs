//! Alpine's secdb, and those that took its form: Wolfi, Chainguard. YAML or JSON.
//!
//! `secfixes` lists, by the version that fixed them, vulnerabilities; those under `0` never affected the package.

use serde_json::Value;

use super::importer::text;
use super::record::{Advisory, Affected, Range, Status};
use super::segment::SegmentBuilder;

pub(super) fn is(value: &Value) -> bool {
    value.pointer("/packages/0/pkg/secfixes").is_some()
}

/// Adds a repository of a release. `path` tells which distribution, where the text does not.
pub(super) fn add(path: &str, value: &Value, builder: &mut SegmentBuilder) -> usize {
    let ecosystem = ecosystem(path, value);
    let mut count = 0;
    for package in value.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let Some(package) = package.get("pkg") else { continue };
        let name = text(package, "name");
        let Some(fixes) = package.get("secfixes").and_then(Value::as_object) else { continue };
        for (version, ids) in fixes {
            // `"0"` says that no version was affected. `- CVE-1 CVE-2 (+ regression fix)` lists several in one.
            let all = ids.as_array().into_iter().flatten().filter_map(Value::as_str);
            for id in all.flat_map(str::split_whitespace).filter(|id| looks_like_id(id)) {
                let mut affected = Affected { id: id.to_owned(), ..Affected::default() };
                if version == "0" {
                    affected.status = Status::NotAffected;
                } else {
                    affected.ranges.push(Range::below(version));
                }
                builder.affected(&ecosystem, &name, affected);
                builder.merge_advisory(Advisory { id: id.to_owned(), ..Advisory::default() });
                count += 1;
            }
        }
    }
    count
}

fn looks_like_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(prefix, rest)| {
        !prefix.is_empty()
            && prefix.bytes().all(|byte| byte.is_ascii_uppercase())
            && rest.starts_with(|c: char| c.is_ascii_alphanumeric())
    })
}

fn ecosystem(path: &str, value: &Value) -> String {
    let release = text(value, "distroversion");
    let prefix = text(value, "urlprefix") + &text(value, "apkurl");
    for (sign, name) in [("wolfi", "Wolfi"), ("cgr.dev", "Chainguard"), ("chainguard", "Chainguard")] {
        if prefix.contains(sign) || (prefix.is_empty() && path.to_ascii_lowercase().contains(sign)) {
            return name.to_owned();
        }
    }
    if release.is_empty() { "Alpine:edge".to_owned() } else { format!("Alpine:{release}") }
}
