//! `image import-wasm`: an image made of one WebAssembly file, in one of the two shapes that are in use.
//!
//! *Artifact* (CNCF TAG Runtime, "Wasm OCI artifact layout"): a configuration of its own kind and the module as its one
//! layer; what `wkg oci push` makes, and what runs under containerd's shims without unpacking. *Image*: a root filesystem
//! with the module as its only file, platform `wasi/wasm`; what every registry and engine takes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use drua_types::{Digest, ImageRef, exit};
use serde_json::{Value, json};
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

use super::load::load_archive;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// What a module may have; the daemon's compiler takes no more.
pub(super) const MAX_BYTES: u64 = 512 << 20;
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Make an image of a WebAssembly module or component
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua image import-wasm hello.wasm hello:1
  drua image import-wasm --as image --label team=web server.wasm shop/server:2")]
pub(crate) struct ImportWasm {
    /// Shape of the image
    #[arg(long = "as", value_enum, default_value_t = Shape::Artifact, value_name = "SHAPE")]
    shape: Shape,
    /// Set a label (an annotation of an artifact)
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// The module or component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: ImageRef,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// The module is the image's one layer (as `wkg oci push` makes it)
    Artifact,
    /// The module is the only file of a root filesystem
    Image,
}

/// What can be read off a binary without compiling it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// A component rather than a core module.
    pub(crate) component: bool,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

impl ImportWasm {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let size = fs_err::metadata(&self.file)?.len();
        if size > MAX_BYTES {
            return Err(Failure::message(format!(
                "{} has {size} bytes; the limit is {MAX_BYTES}",
                self.file.display()
            )));
        }
        let module = fs_err::read(&self.file)?;
        let facts = facts(&module).map_err(|reason| {
            let message = format!("{} is not a WebAssembly binary: {reason}", self.file.display());
            Failure::message(message).hint("compile it for the target `wasm32-wasip1` or `wasm32-wasip2`")
        })?;
        let labels = self.labels()?;
        let source = Source { module, facts, title: file_name(&self.file), labels, created: now() };
        let archive = source.archive(self.shape, &self.reference).context("cannot make the image")?;
        let total = Some(archive.len() as u64);
        load_archive(ctx, io::Cursor::new(archive), total, false, None).await?;
        Ok(exit::OK)
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, Failure> {
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Failure::message(format!("`--label {text}` is not KEY=VALUE"))),
        };
        self.label.iter().map(pair).collect()
    }
}

/// Reads the names that a binary imports and exports on its outermost level.
pub(crate) fn facts(binary: &[u8]) -> Result<Facts, String> {
    let mut facts = Facts::default();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(binary) {
        match payload.map_err(|error| error.to_string())? {
            Payload::Version { encoding, .. } if depth == 0 => facts.component = encoding == Encoding::Component,
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    facts.imports.push(import.map_err(|error| error.to_string())?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| error.to_string())?;
                    // Types are exported for others to refer to; they are nothing that can be called.
                    if export.kind != ComponentExternalKind::Type {
                        facts.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    facts.imports.dedup();
    Ok(facts)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "module.wasm".to_owned(), |name| name.to_string_lossy().into_owned())
}

pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// What an image is made of.
pub(super) struct Source {
    pub(super) module: Vec<u8>,
    pub(super) facts: Facts,
    /// The file's name, for an artifact.
    pub(super) title: String,
    /// Labels of an image, annotations of an artifact.
    pub(super) labels: BTreeMap<String, String>,
    /// RFC 3339.
    pub(super) created: String,
}

impl Source {
    /// An OCI layout with the image in this shape.
    pub(super) fn archive(&self, shape: Shape, name: &ImageRef) -> io::Result<Vec<u8>> {
        match shape {
            Shape::Artifact => self.artifact(name),
            Shape::Image => self.image(name),
        }
    }

    /// A CNCF Wasm artifact.
    fn artifact(&self, name: &ImageRef) -> io::Result<Vec<u8>> {
        let Self { module, facts, title, labels, created } = self;
        let digest = Digest::of(module);
        let mut config = json!({
            "created": created,
            "architecture": "wasm",
            "os": if facts.component { "wasip2" } else { "wasip1" },
            "layerDigests": [digest],
        });
        if facts.component {
            config["component"] = json!({ "imports": facts.imports, "exports": facts.exports, "target": Value::Null });
        }
        let layer = json!({
            "mediaType": "application/wasm", "digest": digest, "size": module.len(),
            "annotations": { "org.opencontainers.image.title": title },
        });
        layout("application/vnd.wasm.config.v0+json", &config, &layer, module, labels, name)
    }

    /// A root filesystem that is nothing but `/app.wasm`.
    fn image(&self, name: &ImageRef) -> io::Result<Vec<u8>> {
        let Self { module, labels, created, .. } = self;
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "app.wasm", 0o755, module)?;
        let layer = tar.into_inner()?;
        let config = json!({
            "created": created, "architecture": "wasm", "os": "wasi",
            "config": { "Entrypoint": ["/app.wasm"], "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
            "history": [{ "created": created, "created_by": "drua image import-wasm" }],
        });
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of(&layer), "size": layer.len(),
        });
        layout("application/vnd.oci.image.config.v1+json", &config, &descriptor, &layer, &BTreeMap::new(), name)
    }
}

fn layout(
    config_type: &str,
    config: &Value,
    layer_descriptor: &Value,
    layer: &[u8],
    annotations: &BTreeMap<String, String>,
    name: &ImageRef,
) -> io::Result<Vec<u8>> {
    let config = config.to_string();
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": config_type, "digest": Digest::of(config.as_bytes()), "size": config.len() },
        "layers": [layer_descriptor],
    });
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    let manifest = manifest.to_string();
    let index = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{
            "mediaType": OCI_MANIFEST, "digest": Digest::of(manifest.as_bytes()), "size": manifest.len(),
            "annotations": { "io.containerd.image.name": name.to_string() },
        }],
    });
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "oci-layout", 0o644, b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
    for blob in [layer, config.as_bytes(), manifest.as_bytes()] {
        append(&mut tar, &format!("blobs/sha256/{}", Digest::of(blob).hex()), 0o644, blob)?;
    }
    append(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
    tar.into_inner()
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, data: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, path, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_components_are_told_apart() {
        let module = b"\0asm\x01\0\0\0";
        assert_eq!(facts(module), Ok(Facts::default()));
        let component = b"\0asm\x0d\0\x01\0";
        assert_eq!(facts(component), Ok(Facts { component: true, ..Facts::default() }));
        assert!(facts(b"#!/bin/sh").is_err());
        assert!(facts(&module[..6]).is_err());
    }

    #[test]
    fn an_artifact_has_the_shape_of_wkg() {
        let name = "hello:1".parse().expect("a name");
        let source = Source {
            module: b"\0asm\x01\0\0\0".to_vec(),
            facts: Facts::default(),
            title: "hello.wasm".to_owned(),
            labels: BTreeMap::new(),
            created: now(),
        };
        let bytes = source.archive(Shape::Artifact, &name).expect("in memory");
        let mut archive = tar::Archive::new(&bytes[..]);
        let paths: Vec<String> = archive
            .entries()
            .expect("a tar")
            .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
            .collect();
        assert_eq!(paths.len(), 5);
        assert_eq!(paths[4], "index.json");
        let text = String::from_utf8_lossy(&bytes);
        for expected in
            ["application/vnd.wasm.config.v0+json", "\"layerDigests\"", "\"os\":\"wasip1\"", "application/wasm"]
        {
            assert!(text.contains(expected), "{expected}");
        }
    }
}
