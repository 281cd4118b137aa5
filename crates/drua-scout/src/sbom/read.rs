//! Documents of other tools: CycloneDX and SPDX (JSON), Syft's JSON, drua's own, and in-toto statements around them.
//!
//! Foreign documents may be cyclic, contradictory or hostile: relations are kept as edges and never walked, names are
//! cleaned, and what has neither purl nor type is a generic package.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::native::DRUA_VERSION;
use crate::model::{
    Distro, Evidence, Location, Note, NoteKind, Package, PackageKind, Relation, RelationKind, Sbom, SourcePackage,
    Target, TargetKind,
};
use crate::purl::Purl;
use crate::text::{clean, is_name};

/// Packages of one document.
const MAX_PACKAGES: usize = 500_000;
/// Components in components.
const MAX_DEPTH: usize = 32;

/// The text is no document that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON.
    #[error("`{name}` is no JSON")]
    Json {
        /// What was read.
        name: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON of something else.
    #[error("`{name}` is no SBOM of a kind that is known")]
    Unknown {
        /// What was read.
        name: String,
    },
    /// drua's own form, of another version.
    #[error("`{name}` was written by another version of drua: its form is {found}, this one reads {DRUA_VERSION}")]
    Version {
        /// What was read.
        name: String,
        /// The form's version.
        found: u64,
    },
}

/// Reads a document. `name` is what the target is called where the document does not say it, and in errors.
///
/// # Errors
/// When it is no JSON, or JSON of something else.
pub fn read_document(bytes: &[u8], name: &str) -> Result<Sbom, ReadError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let document: Value =
        serde_json::from_slice(bytes).map_err(|source| ReadError::Json { name: name.to_owned(), source })?;
    // in-toto wraps once; twice is a joke.
    let inner = if document["predicate"].is_object() { &document["predicate"] } else { &document };
    let mut sbom = if let Some(found) = inner["drua-scout"].as_u64() {
        if found != u64::from(DRUA_VERSION) {
            return Err(ReadError::Version { name: name.to_owned(), found });
        }
        serde_json::from_value(inner["sbom"].clone())
            .map_err(|source| ReadError::Json { name: name.to_owned(), source })?
    } else if inner["bomFormat"] == "CycloneDX" {
        Reader::new(name).cyclonedx(inner)
    } else if inner["spdxVersion"].as_str().is_some_and(|version| version.starts_with("SPDX-2")) {
        Reader::new(name).spdx2(inner)
    } else if inner["@graph"].is_array() && inner["@context"].to_string().contains("spdx.org") {
        Reader::new(name).spdx3(inner)
    } else if inner["artifacts"].is_array() {
        Reader::new(name).syft(inner)
    } else {
        return Err(ReadError::Unknown { name: name.to_owned() });
    };
    if let Some(subject) = document["subject"][0]["digest"]["sha256"].as_str().filter(|_| sbom.target.digest.is_none())
    {
        sbom.target.digest = Some(format!("sha256:{}", clean(subject, 64)));
    }
    sanitize(&mut sbom);
    Ok(sbom)
}

/// Edges may point anywhere in what was read; and every index is used without a check later on.
fn sanitize(sbom: &mut Sbom) {
    let count = sbom.packages.len();
    sbom.relations.retain(|relation| relation.from < count && relation.to < count && relation.from != relation.to);
    sbom.relations.sort();
    sbom.relations.dedup();
    let layers = sbom.layers.len();
    for package in &mut sbom.packages {
        package.owner = package.owner.filter(|owner| *owner < count);
        for location in &mut package.locations {
            location.layer = location.layer.filter(|layer| *layer < layers);
        }
    }
}

/// What is read, before packages are sorted.
struct Reader {
    sbom: Sbom,
    packages: Vec<Package>,
    /// The document's own names of packages.
    ids: HashMap<String, usize>,
    edges: Vec<(String, String, RelationKind)>,
    left_out: usize,
}

impl Reader {
    fn new(name: &str) -> Self {
        let target = Target { kind: TargetKind::Sbom, name: name.to_owned(), ..Target::default() };
        let sbom = Sbom { target, ..Sbom::default() };
        Self { sbom, packages: Vec::new(), ids: HashMap::new(), edges: Vec::new(), left_out: 0 }
    }

    fn push(&mut self, id: &str, package: Package) {
        if !is_name(&package.name) || self.packages.len() >= MAX_PACKAGES {
            self.left_out += 1;
            return;
        }
        self.ids.insert(id.to_owned(), self.packages.len());
        self.packages.push(package);
    }

    fn finish(mut self) -> Sbom {
        let mut order: Vec<usize> = (0..self.packages.len()).collect();
        order.sort_by(|a, b| self.packages[*a].cmp_key(&self.packages[*b]));
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, old)| rank[*old] = new);
        let place = |id: &String| self.ids.get(id).map(|old| rank[*old]);
        let edges = self
            .edges
            .iter()
            .filter_map(|(from, to, kind)| Some(Relation { from: place(from)?, to: place(to)?, kind: *kind }));
        self.sbom.relations = edges.collect();
        let mut packages: Vec<Option<Package>> = self.packages.into_iter().map(Some).collect();
        self.sbom.packages = order.iter().filter_map(|old| packages[*old].take()).collect();
        if self.sbom.distro.is_none() {
            self.sbom.distro = distro_of_purls(&self.sbom.packages);
        }
        if self.left_out > 0 {
            let text = format!("{} entries of the document are no packages, or too many", self.left_out);
            self.sbom.notes.push(Note { kind: NoteKind::Incomplete, path: None, text });
        }
        self.sbom
    }

    fn cyclonedx(mut self, document: &Value) -> Sbom {
        let target = &document["metadata"]["component"];
        if let Some(name) = target["name"].as_str() {
            self.sbom.target.name = clean(name, 300);
        }
        self.sbom.target.digest = target["version"].as_str().filter(|v| v.starts_with("sha256:")).map(|v| clean(v, 80));
        self.sbom.target.created = document["metadata"]["timestamp"].as_str().map(|time| clean(time, 40));
        self.components(&document["components"], None, 0);
        for entry in document["dependencies"].as_array().into_iter().flatten() {
            let from = entry["ref"].as_str().unwrap_or_default();
            for to in entry["dependsOn"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                self.edges.push((from.to_owned(), to.to_owned(), RelationKind::DependsOn));
            }
        }
        self.finish()
    }

    fn components(&mut self, list: &Value, parent: Option<&str>, depth: usize) {
        for component in list.as_array().into_iter().flatten() {
            let name = component["name"].as_str().unwrap_or_default();
            if component["type"] == "operating-system" {
                self.sbom.distro = Some(Distro {
                    id: clean(name, 60).to_ascii_lowercase(),
                    version_id: clean(component["version"].as_str().unwrap_or_default(), 60),
                    pretty_name: clean(component["description"].as_str().unwrap_or_default(), 120),
                    ..Distro::default()
                });
                continue;
            }
            // Files of a scan are no packages.
            if component["type"] == "file" && component["purl"].is_null() {
                continue;
            }
            let purl = component["purl"].as_str().and_then(|purl| purl.parse::<Purl>().ok());
            let version = component["version"].as_str().unwrap_or_default();
            let full = match component["group"].as_str().filter(|group| !group.is_empty()) {
                Some(group) => format!("{group}/{name}"),
                None => name.to_owned(),
            };
            let mut package = stated(purl.as_ref(), &full, version, "cyclonedx");
            for license in component["licenses"].as_array().into_iter().flatten() {
                let texts = [&license["expression"], &license["license"]["id"], &license["license"]["name"]];
                package.licenses.extend(texts.iter().find_map(|text| text.as_str()).map(|text| clean(text, 300)));
            }
            package.cpes.extend(component["cpe"].as_str().map(|cpe| clean(cpe, 300)));
            package.vendor = component["publisher"].as_str().map(|publisher| clean(publisher, 200));
            let occurrences = component["evidence"]["occurrences"].as_array().into_iter().flatten();
            package.locations.extend(occurrences.filter_map(|at| at["location"].as_str()).map(location));
            for property in component["properties"].as_array().into_iter().flatten() {
                let (name, value) =
                    (property["name"].as_str().unwrap_or_default(), property["value"].as_str().unwrap_or_default());
                self.property(&mut package, name, value);
            }
            let id = component["bom-ref"].as_str().or_else(|| component["purl"].as_str()).unwrap_or(name).to_owned();
            self.push(&id, package);
            if let Some(parent) = parent {
                self.edges.push((parent.to_owned(), id.clone(), RelationKind::Contains));
            }
            if depth < MAX_DEPTH {
                self.components(&component["components"], Some(&id), depth + 1);
            }
        }
    }

    /// What our own documents and those of Syft and Trivy say in properties.
    fn property(&mut self, package: &mut Package, name: &str, value: &str) {
        match name {
            "drua:type" if value == "wasm" => package.kind = PackageKind::Wasm,
            "drua:source" => {
                if let Some((name, version)) = value.rsplit_once('@') {
                    package.source = Some(SourcePackage { name: clean(name, 200), version: clean(version, 200) });
                }
            }
            "drua:layer" | "drua:found-by" | "drua:type" => {}
            "aquasecurity:trivy:SrcName" => {
                let version = package.version.clone();
                package.source.get_or_insert_with(|| SourcePackage { name: String::new(), version }).name =
                    clean(value, 200);
            }
            _ if name.starts_with("syft:location:") && name.ends_with(":path") => {
                package.locations.push(location(value))
            }
            _ => {
                if let Some(name) = name.strip_prefix("drua:") {
                    package.details.insert(clean(name, 60), clean(value, 500));
                }
            }
        }
    }

    fn spdx2(mut self, document: &Value) -> Sbom {
        if let Some(name) = document["name"].as_str() {
            self.sbom.target.name = clean(name, 300);
        }
        self.sbom.target.created = document["creationInfo"]["created"].as_str().map(|time| clean(time, 40));
        let relationships = document["relationships"].as_array().map_or(&[][..], Vec::as_slice);
        let described: Vec<&str> = relationships
            .iter()
            .filter(|edge| edge["relationshipType"] == "DESCRIBES")
            .chain(&[])
            .filter_map(|edge| edge["relatedSpdxElement"].as_str())
            .chain(document["documentDescribes"].as_array().into_iter().flatten().filter_map(Value::as_str))
            .collect();
        for entry in document["packages"].as_array().into_iter().flatten() {
            let id = entry["SPDXID"].as_str().unwrap_or_default();
            let references = entry["externalRefs"].as_array().map_or(&[][..], Vec::as_slice);
            let locator = |kind: &str| {
                let found = references.iter().find(|reference| reference["referenceType"] == kind);
                found.and_then(|reference| reference["referenceLocator"].as_str())
            };
            let purl = locator("purl").and_then(|purl| purl.parse::<Purl>().ok());
            let version = entry["versionInfo"].as_str().unwrap_or_default();
            // What the document describes is the target, not a part of it.
            if described.contains(&id) && (purl.is_none() || entry["primaryPackagePurpose"] == "CONTAINER") {
                self.sbom.target.digest =
                    Some(version).filter(|version| version.starts_with("sha256:")).map(|v| clean(v, 80));
                continue;
            }
            let mut package = stated(purl.as_ref(), entry["name"].as_str().unwrap_or_default(), version, "spdx");
            let licenses = [&entry["licenseDeclared"], &entry["licenseConcluded"]];
            let stated =
                licenses.iter().filter_map(|text| text.as_str()).find(|text| !matches!(*text, "NOASSERTION" | "NONE"));
            package.licenses.extend(stated.map(|text| clean(text, 500)));
            package.cpes.extend(locator("cpe23Type").map(|cpe| clean(cpe, 300)));
            package.vendor =
                entry["supplier"].as_str().and_then(|text| text.split_once(": ")).map(|(_, name)| clean(name, 200));
            let places = entry["sourceInfo"].as_str().and_then(|text| text.rsplit_once(": "));
            package.locations.extend(
                places
                    .into_iter()
                    .flat_map(|(_, list)| list.split(", "))
                    .filter(|path| path.starts_with('/'))
                    .map(location),
            );
            self.push(id, package);
        }
        for edge in relationships {
            let (from, to) = (edge["spdxElementId"].as_str(), edge["relatedSpdxElement"].as_str());
            let (Some(from), Some(to)) = (from, to) else { continue };
            match edge["relationshipType"].as_str().unwrap_or_default() {
                "DEPENDS_ON" => self.edges.push((from.to_owned(), to.to_owned(), RelationKind::DependsOn)),
                "DEPENDENCY_OF" => self.edges.push((to.to_owned(), from.to_owned(), RelationKind::DependsOn)),
                "CONTAINS" => self.edges.push((from.to_owned(), to.to_owned(), RelationKind::Contains)),
                _ => {}
            }
        }
        self.finish()
    }

    fn spdx3(mut self, document: &Value) -> Sbom {
        let graph = document["@graph"].as_array().map_or(&[][..], Vec::as_slice);
        for element in graph {
            let id = element["spdxId"].as_str().unwrap_or_default();
            match element["type"].as_str().unwrap_or_default() {
                "software_Package" if element["software_primaryPurpose"] == "container" => {
                    self.sbom.target.name = clean(element["name"].as_str().unwrap_or_default(), 300);
                    let version = element["software_packageVersion"].as_str();
                    self.sbom.target.digest = version.filter(|v| v.starts_with("sha256:")).map(|v| clean(v, 80));
                }
                "software_Package" => {
                    let purl = element["software_packageUrl"].as_str().and_then(|purl| purl.parse::<Purl>().ok());
                    let version = element["software_packageVersion"].as_str().unwrap_or_default();
                    self.push(
                        id,
                        stated(purl.as_ref(), element["name"].as_str().unwrap_or_default(), version, "spdx3"),
                    );
                }
                "Relationship" => {
                    let kind = match element["relationshipType"].as_str() {
                        Some("dependsOn") => RelationKind::DependsOn,
                        Some("contains") => RelationKind::Contains,
                        _ => continue,
                    };
                    let from = element["from"].as_str().unwrap_or_default();
                    for to in element["to"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                        self.edges.push((from.to_owned(), to.to_owned(), kind));
                    }
                }
                _ => {}
            }
        }
        self.finish()
    }

    fn syft(mut self, document: &Value) -> Sbom {
        let source = &document["source"];
        let text = |value: &Value| value.as_str().map(|text| clean(text, 300));
        if let Some(name) = text(&source["name"]).or_else(|| text(&source["metadata"]["userInput"])) {
            self.sbom.target.name = name;
        }
        self.sbom.target.digest = text(&source["metadata"]["manifestDigest"]).filter(|digest| !digest.is_empty());
        self.sbom.target.image_id = text(&source["metadata"]["imageID"]).filter(|id| !id.is_empty());
        let distro = &document["distro"];
        if let Some(id) = distro["id"].as_str().filter(|id| !id.is_empty()) {
            self.sbom.distro = Some(Distro {
                id: clean(id, 60),
                version_id: text(&distro["versionID"]).unwrap_or_default(),
                codename: text(&distro["versionCodename"]).unwrap_or_default(),
                pretty_name: text(&distro["prettyName"]).unwrap_or_default(),
                ..Distro::default()
            });
        }
        for artifact in document["artifacts"].as_array().into_iter().flatten() {
            let purl = artifact["purl"].as_str().and_then(|purl| purl.parse::<Purl>().ok());
            let (name, version) =
                (artifact["name"].as_str().unwrap_or_default(), artifact["version"].as_str().unwrap_or_default());
            let mut package = stated(purl.as_ref(), name, version, "syft");
            if artifact["type"] == "wasm" {
                package.kind = PackageKind::Wasm;
            }
            for license in artifact["licenses"].as_array().into_iter().flatten() {
                package
                    .licenses
                    .extend(license.as_str().or_else(|| license["value"].as_str()).map(|text| clean(text, 300)));
            }
            let places = artifact["locations"].as_array().into_iter().flatten();
            package.locations.extend(places.filter_map(|at| at["path"].as_str()).map(location));
            for cpe in artifact["cpes"].as_array().into_iter().flatten() {
                package.cpes.extend(cpe.as_str().or_else(|| cpe["cpe"].as_str()).map(|cpe| clean(cpe, 300)));
            }
            self.push(artifact["id"].as_str().unwrap_or(name), package);
        }
        for edge in document["artifactRelationships"].as_array().into_iter().flatten() {
            let (Some(parent), Some(child)) = (edge["parent"].as_str(), edge["child"].as_str()) else { continue };
            match edge["type"].as_str().unwrap_or_default() {
                "dependency-of" => self.edges.push((child.to_owned(), parent.to_owned(), RelationKind::DependsOn)),
                "contains" => self.edges.push((parent.to_owned(), child.to_owned(), RelationKind::Contains)),
                _ => {}
            }
        }
        self.finish()
    }
}

fn location(path: &str) -> Location {
    Location { path: clean(path, 1000), layer: None, line: None }
}

/// A package as a purl has it, else by name and version alone.
fn stated(purl: Option<&Purl>, name: &str, version: &str, found_by: &str) -> Package {
    let Some(purl) = purl else {
        return Package::new(PackageKind::Generic, &clean(name, 300), &clean(version, 200), Evidence::Stated, found_by);
    };
    let kind = purl.kind();
    let mut qualifiers: BTreeMap<String, String> =
        purl.qualifiers.iter().map(|(key, value)| (clean(key, 60), clean(value, 300))).collect();
    // Names of Python packages are spelled freely; the document's spelling is the author's.
    let is_same = |a: &str| a.to_ascii_lowercase().replace(['_', '.'], "-") == purl.name;
    let full = if kind == PackageKind::Pypi && is_same(name) { name.to_owned() } else { purl.full_name() };
    // rpm's purls have the epoch as a qualifier, and documents have it in the version.
    let version = match qualifiers.remove("epoch").filter(|epoch| kind == PackageKind::Rpm && epoch != "0") {
        Some(epoch) => format!("{epoch}:{}", purl.version),
        None if purl.version.is_empty() => version.to_owned(),
        None => purl.version.clone(),
    };
    let mut package = Package::new(kind, &clean(&full, 300), &clean(&version, 200), Evidence::Stated, found_by);
    package.arch = qualifiers.remove("arch");
    if kind.is_os() {
        package.namespace =
            Some(purl.namespace.clone()).filter(|namespace| !namespace.is_empty()).map(|n| clean(&n, 60));
        let upstream = qualifiers.remove("upstream").map(|upstream| {
            let (name, version) = upstream.split_once('@').unwrap_or((&upstream, &package.version));
            // Syft puts the file name of the source rpm there.
            match (kind, name.strip_suffix(".src.rpm")) {
                (PackageKind::Rpm, Some(stem)) => {
                    let mut parts = stem.rsplitn(3, '-');
                    let (release, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                    SourcePackage {
                        name: parts.next().unwrap_or(stem).to_owned(),
                        version: format!("{version}-{release}"),
                    }
                }
                _ => SourcePackage { name: name.to_owned(), version: version.to_owned() },
            }
        });
        package.source = upstream;
    }
    package.qualifiers = qualifiers;
    package
}

/// `distro=debian-12`, where the document names no operating system.
fn distro_of_purls(packages: &[Package]) -> Option<Distro> {
    let distro =
        packages.iter().filter(|package| package.kind.is_os()).find_map(|package| package.qualifiers.get("distro"))?;
    let (id, version) = distro.rsplit_once('-').unwrap_or((distro, ""));
    Some(Distro { id: id.to_owned(), version_id: version.to_owned(), ..Distro::default() })
}

impl Package {
    /// The order of a document.
    fn cmp_key(&self, other: &Self) -> std::cmp::Ordering {
        let key = |package: &Self| {
            (
                package.kind,
                package.name.clone(),
                package.version.clone(),
                package.arch.clone(),
                package.locations.clone(),
            )
        };
        key(self).cmp(&key(other))
    }
}
