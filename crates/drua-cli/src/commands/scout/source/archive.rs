//! Archives (`docker save`, OCI layouts, root file systems) and OCI directories, read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use drua_types::Platform;
use serde_json::Value;

use super::image::{ImageDocuments, LayerBlob};

/// Manifests, indexes and configurations longer than this are none.
const MAX_DOCUMENT: u64 = 16 << 20;
/// Files of an archive that are remembered.
const MAX_FILES: usize = 1_000_000;

/// Where blobs are.
#[derive(Debug, Clone)]
pub(super) enum Files {
    /// A directory.
    Dir(PathBuf),
    /// A tar that is not compressed: name → offset and size.
    Tar(Arc<(File, HashMap<String, (u64, u64)>)>),
}

/// What a file turned out to be.
#[derive(Debug)]
pub(super) enum Opened {
    /// It holds images.
    Images(Files),
    /// It is the tar of a file system.
    FileSystem(File),
}

/// Opens a tar, plain or compressed by gzip.
pub(super) fn open(path: &Path) -> anyhow::Result<Opened> {
    let what = || format!("cannot read archive `{}`", path.display());
    let (mut file, _) = fs_err::File::open(path)?.into_parts();
    let mut first = [0; 4];
    let length = file.read(&mut first)?;
    file.rewind()?;
    let packed = match &first[..length] {
        [0x1f, 0x8b, ..] => Some(false),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(true),
        _ => None,
    };
    if packed.is_some() && !names_images(&file).with_context(what)? {
        file.rewind()?;
        return Ok(Opened::FileSystem(file));
    }
    if packed.is_some() {
        // Blobs are wanted in an order of their own, so that a compressed archive has to be unpacked once.
        let mut plain = tempfile::tempfile().context("cannot make a temporary file")?;
        file.rewind()?;
        io::copy(&mut flate2::read::MultiGzDecoder::new(io::BufReader::new(&file)), &mut plain).with_context(what)?;
        file = plain;
    }
    let index = index(&mut file).with_context(what)?;
    if index.contains_key("index.json") || index.contains_key("manifest.json") {
        return Ok(Opened::Images(Files::Tar(Arc::new((file, index)))));
    }
    if index.is_empty() {
        bail!("`{}` is no tar archive, or an empty one", path.display());
    }
    file.rewind()?;
    Ok(Opened::FileSystem(file))
}

/// Whether a compressed tar is one of images: what `docker save` writes begins with `blobs/`, or is small and has a
/// manifest soon.
fn names_images(file: &File) -> anyhow::Result<bool> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file)));
    for entry in archive.entries()?.take(64) {
        let name = String::from_utf8_lossy(&entry?.path_bytes()).into_owned();
        let name = name.trim_start_matches("./");
        if name.starts_with("blobs/")
            || matches!(name, "oci-layout" | "index.json" | "manifest.json")
            || name.ends_with("/layer.tar")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn index(file: &mut File) -> io::Result<HashMap<String, (u64, u64)>> {
    let mut index = HashMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(64 << 10, file));
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        if let Some(target) = entry.link_name_bytes() {
            links.push((name, String::from_utf8_lossy(&target).into_owned()));
        } else {
            index.insert(name, (entry.raw_file_position(), entry.size()));
        }
        if index.len() > MAX_FILES {
            return Err(io::Error::other("it has too many files"));
        }
    }
    // Old docker-archives link equal layers: `a/layer.tar → ../b/layer.tar`.
    for (name, target) in links {
        if let Some(place) = index.get(target.trim_start_matches("../")).copied() {
            index.insert(name, place);
        }
    }
    Ok(index)
}

impl Files {
    /// Opens a file. In a directory the name must stay below it.
    pub(super) fn reader(&self, name: &str) -> anyhow::Result<Box<dyn Read + Send>> {
        match self {
            Self::Dir(dir) => {
                let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
                anyhow::ensure!(is_plain, "`{name}` leads out of the directory");
                Ok(Box::new(fs_err::File::open(dir.join(name))?))
            }
            Self::Tar(tar) => {
                let (offset, size) = *tar.1.get(name).with_context(|| format!("`{name}` is not in the archive"))?;
                Ok(Box::new(Part { tar: Arc::clone(tar), offset, left: size }))
            }
        }
    }

    fn document(&self, name: &str) -> anyhow::Result<Value> {
        let mut bytes = Vec::new();
        self.reader(name)?
            .take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read `{name}`"))?;
        anyhow::ensure!(bytes.len() as u64 <= MAX_DOCUMENT, "`{name}` is longer than {} MiB", MAX_DOCUMENT >> 20);
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            let real = drua_types::Digest::of(&bytes);
            anyhow::ensure!(real.hex() == hex, "`{name}` is damaged: its digest is {real}");
        }
        serde_json::from_slice(&bytes).with_context(|| format!("`{name}` is no JSON"))
    }

    fn blob(&self, digest: &str) -> anyhow::Result<Value> {
        self.document(&blob_name(digest)?)
    }

    /// The image for a platform.
    pub(super) fn image(&self, name: &str, platform: Option<&Platform>) -> anyhow::Result<ImageDocuments> {
        match self.document("index.json") {
            Ok(index) => self.oci_image(name, &index, platform),
            Err(_) if matches!(self, Self::Tar(tar) if tar.1.contains_key("manifest.json")) => self.docker_image(name),
            Err(error) => Err(error.context("it is no OCI layout")),
        }
    }

    fn oci_image(&self, name: &str, index: &Value, platform: Option<&Platform>) -> anyhow::Result<ImageDocuments> {
        let mut found = Vec::new();
        self.manifests(index, 0, &mut found)?;
        let is_attestation = |at: &Value| at["annotations"]["vnd.docker.reference.type"] == "attestation-manifest";
        let of = |at: &Value| -> Option<Platform> {
            let platform = &at["platform"];
            Some(Platform::new(
                platform["os"].as_str()?,
                platform["architecture"].as_str()?,
                platform["variant"].as_str(),
            ))
        };
        let images: Vec<&Value> = found.iter().filter(|at| !is_attestation(at)).collect();
        let here = Platform::host();
        let chosen = match platform {
            Some(wanted) => images
                .iter()
                .find(|at| of(at).is_some_and(|platform| platform.satisfies(wanted)))
                .copied()
                .or_else(|| {
                    // An index may not say it; the configuration does.
                    images
                        .iter()
                        .find(|at| of(at).is_none() && self.config_platform(at).is_some_and(|p| p.satisfies(wanted)))
                        .copied()
                }),
            None => images
                .iter()
                .find(|at| of(at).is_some_and(|platform| platform == here))
                .or_else(|| images.first())
                .copied(),
        };
        let Some(chosen) = chosen else {
            let known: Vec<String> =
                images.iter().filter_map(|at| of(at)).map(|platform| platform.to_string()).collect();
            bail!(
                "it has no image for the platform; it has: {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
        };
        let digest = chosen["digest"].as_str().unwrap_or_default().to_owned();
        let manifest = self.blob(&digest)?;
        let config_digest = manifest["config"]["digest"].as_str().unwrap_or_default().to_owned();
        let config = self.blob(&config_digest).unwrap_or(Value::Null);
        let layers = manifest["layers"].as_array().into_iter().flatten().map(LayerBlob::of_descriptor).collect();
        let mut image = ImageDocuments {
            name: name.to_owned(),
            manifest_digest: Some(digest.clone()),
            config_digest: Some(config_digest),
            config,
            platform: of(chosen).map(|platform| platform.to_string()),
            layers,
            manifest,
            ..ImageDocuments::default()
        };
        let tag = |at: &Value| at["annotations"]["io.containerd.image.name"].as_str().map(str::to_owned);
        image.tags = index["manifests"].as_array().into_iter().flatten().filter_map(tag).collect();
        for at in found
            .iter()
            .filter(|at| is_attestation(at) && at["annotations"]["vnd.docker.reference.digest"] == digest.as_str())
        {
            self.attestation(at, &mut image);
        }
        Ok(image)
    }

    fn config_platform(&self, at: &Value) -> Option<Platform> {
        let manifest = self.blob(at["digest"].as_str()?).ok()?;
        let config = self.blob(manifest["config"]["digest"].as_str()?).ok()?;
        Some(Platform::new(config["os"].as_str()?, config["architecture"].as_str()?, config["variant"].as_str()))
    }

    /// Descriptors of all manifests below an index.
    fn manifests(&self, index: &Value, depth: usize, found: &mut Vec<Value>) -> anyhow::Result<()> {
        anyhow::ensure!(depth < 5, "its indexes are nested too deeply");
        for at in index["manifests"].as_array().into_iter().flatten().take(1000) {
            let media_type = at["mediaType"].as_str().unwrap_or_default();
            if media_type.contains("index") || media_type.contains("manifest.list") {
                // Platforms that were not saved are named all the same.
                if let Ok(below) = self.blob(at["digest"].as_str().unwrap_or_default()) {
                    self.manifests(&below, depth + 1, found)?;
                }
            } else {
                found.push(at.clone());
            }
        }
        Ok(())
    }

    fn attestation(&self, at: &Value, image: &mut ImageDocuments) {
        let Ok(manifest) = self.blob(at["digest"].as_str().unwrap_or_default()) else { return };
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            let Some(predicate) = layer["annotations"]["in-toto.io/predicate-type"].as_str() else { continue };
            image.attestations.push(predicate.to_owned());
            if predicate.contains("slsa.dev/provenance") {
                image.provenance = self.blob(layer["digest"].as_str().unwrap_or_default()).ok();
            }
        }
    }

    /// `manifest.json` of `docker save` before version 25, and of podman.
    fn docker_image(&self, name: &str) -> anyhow::Result<ImageDocuments> {
        let manifest = self.document("manifest.json")?;
        let item = &manifest[0];
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let config_name = item["Config"].as_str().context("`manifest.json` names no configuration")?;
        let hex = config_name.rsplit('/').next().unwrap_or(config_name).trim_end_matches(".json");
        let layers = texts(&item["Layers"]).into_iter().map(|key| LayerBlob { key, ..LayerBlob::default() }).collect();
        Ok(ImageDocuments {
            name: name.to_owned(),
            config_digest: Some(format!("sha256:{hex}")),
            config: self.document(config_name)?,
            tags: texts(&item["RepoTags"]),
            layers,
            ..ImageDocuments::default()
        })
    }
}

/// The name of a blob's file in an OCI layout.
pub(super) fn blob_name(digest: &str) -> anyhow::Result<String> {
    let digest: drua_types::Digest = digest.parse()?;
    Ok(format!("blobs/sha256/{}", digest.hex()))
}

/// A part of an archive, which may be read in many places at once.
struct Part {
    tar: Arc<(File, HashMap<String, (u64, u64)>)>,
    offset: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.tar.0.read_at(&mut buffer[..most], self.offset)?;
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// The whole of a plain file, from its begin.
pub(super) fn rewound(mut file: File) -> io::Result<File> {
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
