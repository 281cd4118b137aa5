//! `images --tree`: each image with its platforms.

use anyhow::Context as _;
use drua_types::exit;
use serde_json::Value;

use crate::context::Context;
use crate::failure::Outcome;
use crate::options::api_filters;
use crate::ui::decimal_size;

const HEADINGS: [&str; 5] = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];

pub(super) async fn run(ctx: &Context, filter: &[String], reference: Option<&str>) -> Outcome {
    let mut filters = api_filters(filter)?;
    if let Some(reference) = reference {
        filters.insert("reference", reference);
    }
    let bytes = ctx.client().await?.image_tree_raw(&filters).await?;
    let images: Vec<Value> = serde_json::from_slice(&bytes).context("the daemon's answer is not JSON")?;
    ctx.ui.data(render(&images).as_bytes())?;
    Ok(exit::OK)
}

/// The whole table.
pub(crate) fn render(images: &[Value]) -> String {
    let mut rows: Vec<[String; 5]> = vec![HEADINGS.map(str::to_owned)];
    for image in images {
        let tags: Vec<&str> = image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let name = if tags.is_empty() { "<untagged>".to_owned() } else { tags.join(", ") };
        let manifests: Vec<&Value> = image["Manifests"].as_array().into_iter().flatten().collect();
        let content: i64 = manifests.iter().filter_map(|manifest| manifest["Size"]["Content"].as_i64()).sum();
        let used = image["Containers"].as_i64().is_some_and(|count| count > 0);
        let extra = if used { "in use" } else { "" };
        rows.push([name, short(&image["Id"]), size(&image["Size"]), decimal_size(content, 3), extra.to_owned()]);
        for (index, manifest) in manifests.iter().enumerate() {
            let branch = if index + 1 == manifests.len() { "└─" } else { "├─" };
            rows.push(row(branch, manifest));
        }
    }
    table(&rows)
}

fn row(branch: &str, manifest: &Value) -> [String; 5] {
    let name = match manifest["Kind"].as_str() {
        Some("attestation") => {
            format!("attestation of {}", short(&manifest["AttestationData"]["For"]))
        }
        _ => platform(&manifest["Descriptor"]["platform"]),
    };
    let available = manifest["Available"].as_bool() == Some(true);
    let mut extra = Vec::new();
    if !available {
        extra.push("not here");
    }
    if manifest["ImageData"]["Containers"].as_array().is_some_and(|users| !users.is_empty()) {
        extra.push("in use");
    }
    match manifest["ImageData"]["Wasm"]["Compiled"].as_bool() {
        Some(true) => extra.push("compiled"),
        Some(false) => extra.push("not compiled"),
        None => {}
    }
    let sizes = if available {
        [size(&manifest["Size"]["Total"]), size(&manifest["Size"]["Content"])]
    } else {
        [String::new(), String::new()]
    };
    let [total, content] = sizes;
    [format!("{branch} {name}"), short(&manifest["ID"]), total, content, extra.join(", ")]
}

fn platform(platform: &Value) -> String {
    let field = |name: &str| platform[name].as_str().filter(|text| !text.is_empty());
    match (field("os"), field("architecture"), field("variant")) {
        (Some(os), Some(architecture), Some(variant)) => format!("{os}/{architecture}/{variant}"),
        (Some(os), Some(architecture), None) => format!("{os}/{architecture}"),
        _ => "unknown".to_owned(),
    }
}

fn short(digest: &Value) -> String {
    digest.as_str().unwrap_or_default().trim_start_matches("sha256:").chars().take(12).collect()
}

fn size(bytes: &Value) -> String {
    decimal_size(bytes.as_i64().unwrap_or_default(), 3)
}

/// Columns as wide as their widest cell, three blanks apart.
fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells: String = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell}{:pad$}", "", pad = width - cell.chars().count() + 3))
            .collect();
        format!("{}\n", cells.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_platforms() {
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        let images = serde_json::json!([{
            "Id": digest("a"), "RepoTags": ["app:1"], "Size": 3000, "Containers": 0,
            "Manifests": [
                {"ID": digest("b"), "Kind": "image", "Available": true, "Size": {"Total": 2000, "Content": 1000},
                 "Descriptor": {"platform": {"os": "wasi", "architecture": "wasm"}},
                 "ImageData": {"Containers": ["x"], "Wasm": {"Compiled": true}}},
                {"ID": digest("c"), "Kind": "image", "Available": false, "Size": {"Total": 0, "Content": 0},
                 "Descriptor": {"platform": {"os": "linux", "architecture": "arm64"}}, "ImageData": {"Containers": []}},
                {"ID": digest("d"), "Kind": "attestation", "Available": true, "Size": {"Total": 9, "Content": 9},
                 "Descriptor": {"platform": {"os": "unknown", "architecture": "unknown"}},
                 "AttestationData": {"For": digest("b")}},
            ],
        }]);
        let expected = "\
IMAGE                            ID             DISK USAGE   CONTENT SIZE   EXTRA
app:1                            aaaaaaaaaaaa   3kB          1.01kB
├─ wasi/wasm                     bbbbbbbbbbbb   2kB          1kB            in use, compiled
├─ linux/arm64                   cccccccccccc                               not here
└─ attestation of bbbbbbbbbbbb   dddddddddddd   9B           9B
";
        assert_eq!(render(&images.as_array().expect("a list").clone()), expected);
    }
}
