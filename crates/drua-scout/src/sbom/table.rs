//! For people: a table. For pipes: package URLs.

use crate::model::Sbom;

pub(super) fn table(sbom: &Sbom) -> String {
    let rows: Vec<[&str; 3]> = sbom
        .packages
        .iter()
        .map(|package| [package.name.as_str(), package.version.as_str(), package.kind.name()])
        .collect();
    let headings = ["NAME", "VERSION", "TYPE"];
    let width = |column: usize| {
        let texts = rows.iter().map(|row| row[column]).chain([headings[column]]);
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let line = |[name, version, kind]: &[&str; 3]| format!("{name:<first$}   {version:<second$}   {kind}\n");
    std::iter::once(&headings).chain(&rows).map(line).collect()
}

pub(super) fn purls(sbom: &Sbom) -> String {
    sbom.packages.iter().map(|package| format!("{}\n", package.purl(sbom.distro.as_ref()))).collect()
}
