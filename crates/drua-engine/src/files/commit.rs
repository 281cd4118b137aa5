//! `docker commit`: an image of what a container has made of its own.
//!
//! The changes become one more layer. The image goes into the store as an archive that has the new documents only: the layers
//! below are there already.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use drua_store::Image;
use drua_store::live::Packer;
use drua_types::{Digest, ImageRef};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{FilesError, changes};
use crate::container::{Config, Container, Status};
use crate::engine::Engine;
use crate::events::Scope;
use crate::{Error, Result, blocking};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How a container becomes an image.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The image's name; without one it is dangling.
    pub name: Option<ImageRef>,
    /// Message.
    pub comment: String,
    /// Who made it.
    pub author: String,
    /// Dockerfile instructions that change the configuration.
    pub changes: Vec<String>,
    /// Whether a running container is frozen meanwhile.
    pub pause: bool,
    /// Configuration over the container's own; empty fields leave it alone.
    pub config: Config,
}

impl Engine {
    /// Makes an image of a container's changes and configuration.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::Files`], [`Error::Image`] for bad instructions or a full disk.
    pub async fn commit(&self, name: &str, commit: Commit) -> Result<Digest> {
        let container = self.container(name)?;
        let thaw = commit.pause && container.state.status == Status::Running;
        if thaw {
            self.pause(container.id.as_str()).await?;
        }
        let engine = self.clone();
        let frozen = container.clone();
        let layer = blocking::run(move || engine.changes_as_layer(&frozen)).await;
        if thaw && let Err(error) = self.unpause(container.id.as_str()).await {
            tracing::warn!(container.id = %container.id, %error, "is not thawed after a commit");
        }
        let layer = layer?;
        let (engine, committed) = (self.clone(), container.clone());
        let comment = commit.comment.clone();
        let id = blocking::run(move || engine.commit_layer(&committed, layer, commit)).await?;
        let mut attributes = container.event_attributes();
        attributes.insert("comment".to_owned(), comment);
        attributes.insert("imageID".to_owned(), id.to_string());
        self.shared.events.publish(Scope::Container, "commit", container.id.as_str(), attributes);
        Ok(id)
    }

    fn changes_as_layer(&self, container: &Container) -> Result<NewBlob> {
        let dir = self.shared.config.container_dir(&container.id);
        let upper = dir.join("upper");
        let failed = |action, path: &PathBuf| {
            let path = path.clone();
            move |source: io::Error| Error::Files(FilesError::Io { action, path, source })
        };
        let file = tempfile::tempfile_in(&dir).map_err(failed("create a temporary file in", &dir))?;
        let open = fs_err::File::open(&upper).map_err(failed("open", &upper))?;
        let skip = |path: &[u8], is_empty: bool| changes::is_mount_point(path, is_empty);
        let mut packer = Packer::layer(Hashing::new(file), &skip);
        let packed = packer.add_content(std::os::fd::AsFd::as_fd(open.file()), b"");
        let hashed = packed.and_then(|()| packer.finish()).map_err(|error| Error::Files(error.into()))?;
        Ok(hashed.done())
    }

    fn commit_layer(&self, container: &Arc<Container>, layer: NewBlob, commit: Commit) -> Result<Digest> {
        let store = &self.shared.store;
        let base = store.get(container.image.as_str(), Some(&container.platform))?;
        let diff_id = layer.digest.clone();
        let config = self.new_config(container, &base, &diff_id, &commit)?;
        let config = NewBlob::of(config.to_string().into_bytes())?;
        let mut layers: Vec<Value> = base
            .layers
            .iter()
            .map(|layer| {
                let mut value = json!({ "mediaType": layer.media_type, "digest": layer.digest, "size": layer.size });
                if !layer.annotations.is_empty() {
                    value["annotations"] = json!(layer.annotations);
                }
                value
            })
            .collect();
        layers.push(json!({ "mediaType": LAYER, "digest": diff_id, "size": layer.size }));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config.digest, "size": config.size },
            "layers": layers,
        });
        let manifest = NewBlob::of(manifest.to_string().into_bytes())?;
        let id: Digest = manifest.digest.parse().map_err(|_| Error::Invalid("a digest is malformed".to_owned()))?;
        let mut descriptor = json!({ "mediaType": MANIFEST, "digest": manifest.digest, "size": manifest.size });
        if let Some(name) = &commit.name {
            descriptor["annotations"] = json!({ "io.containerd.image.name": name.to_string() });
        }
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        let mut archive = archive(vec![config, manifest, layer], index.to_string().into_bytes())?;
        store.load(&mut archive, None, &mut |_| {}).map_err(Error::image("store the new image"))?;
        Ok(id)
    }

    /// The base's configuration document with the container's configuration, one more layer and one more line of history.
    fn new_config(&self, container: &Container, base: &Image, diff_id: &str, commit: &Commit) -> Result<Value> {
        let mut text = Vec::new();
        let blob =
            self.shared.store.blob(&base.config_digest).map_err(Error::image("read the image's configuration"))?;
        let read = blob.take(16 << 20).read_to_end(&mut text);
        read.map_err(Error::io("read the configuration of", base.config_digest.as_str()))?;
        let record = |source| Error::Record { what: "image configuration", source };
        let mut document: Map<String, Value> = serde_json::from_slice(&text).map_err(record)?;
        let own = config_json(&merged(container.config.clone(), commit.config.clone()));
        let own = drua_store::apply_changes(own, &commit.changes).map_err(Error::image("apply the changes"))?;
        let now = Timestamp::now().to_string();
        document.insert("created".to_owned(), json!(now));
        document.insert("author".to_owned(), json!(commit.author));
        document.insert("config".to_owned(), own);
        document.insert("os".to_owned(), json!(container.platform.os()));
        document.insert("architecture".to_owned(), json!(container.platform.architecture()));
        document.remove("container_config");
        let rootfs = document.entry("rootfs").or_insert_with(|| json!({ "type": "layers" }));
        match rootfs["diff_ids"].as_array_mut() {
            Some(diff_ids) => diff_ids.push(json!(diff_id)),
            None => rootfs["diff_ids"] = json!([diff_id]),
        }
        let line = json!({
            "created": now,
            "created_by": container.args().join(" "),
            "author": commit.author,
            "comment": commit.comment,
        });
        document.insert("comment".to_owned(), json!(commit.comment));
        match document.entry("history").or_insert_with(|| json!([])).as_array_mut() {
            Some(history) => history.push(line),
            None => drop(document.insert("history".to_owned(), json!([line]))),
        }
        Ok(Value::Object(document))
    }
}

/// The client's configuration over the container's.
fn merged(mut own: Config, over: Config) -> Config {
    fn text(own: &mut String, over: String) {
        if !over.is_empty() {
            *own = over;
        }
    }
    fn list(own: &mut Vec<String>, over: Vec<String>) {
        if !over.is_empty() {
            *own = over;
        }
    }
    text(&mut own.user, over.user);
    text(&mut own.working_dir, over.working_dir);
    list(&mut own.cmd, over.cmd);
    list(&mut own.entrypoint, over.entrypoint);
    list(&mut own.shell, over.shell);
    list(&mut own.on_build, over.on_build);
    own.env = crate::create::merge_env(own.env, over.env);
    own.labels.extend(over.labels);
    own.exposed_ports.extend(over.exposed_ports);
    own.volumes.extend(over.volumes);
    own.stop_signal = over.stop_signal.or(own.stop_signal);
    own.healthcheck = over.healthcheck.or(own.healthcheck);
    own
}

/// A configuration as images carry it.
fn config_json(config: &Config) -> Value {
    let set = |names: Vec<String>| names.into_iter().map(|name| (name, json!({}))).collect::<Map<_, _>>();
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if !empty {
            fields.insert(key.to_owned(), value);
        }
    };
    put("User", json!(config.user));
    put("ExposedPorts", Value::Object(set(config.exposed_ports.iter().map(ToString::to_string).collect())));
    put("Env", json!(config.env));
    put("Entrypoint", json!(config.entrypoint));
    put("Cmd", json!(config.cmd));
    put("Volumes", Value::Object(set(config.volumes.iter().cloned().collect())));
    put("WorkingDir", json!(config.working_dir));
    put("Labels", json!(config.labels.iter().collect::<BTreeMap<_, _>>()));
    put("StopSignal", config.stop_signal.map_or(Value::Null, |signal| json!(signal)));
    put("Shell", json!(config.shell));
    put("OnBuild", json!(config.on_build));
    if let Some(check) = &config.healthcheck {
        let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let check = json!({
            "Test": check.test,
            "Interval": nanos(check.interval),
            "Timeout": nanos(check.timeout),
            "StartPeriod": nanos(check.start_period),
            "StartInterval": nanos(check.start_interval),
            "Retries": check.retries,
        });
        put("Healthcheck", check);
    }
    Value::Object(fields)
}

/// Content on its way into the store.
struct NewBlob {
    digest: String,
    size: u64,
    content: Box<dyn Read + Send>,
}

impl NewBlob {
    fn of(bytes: Vec<u8>) -> Result<Self> {
        let digest = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
        Ok(Self { digest, size: bytes.len() as u64, content: Box::new(io::Cursor::new(bytes)) })
    }
}

/// An OCI image layout as a tar stream (image-spec, image-layout.md).
fn archive(blobs: Vec<NewBlob>, index: Vec<u8>) -> Result<impl Read> {
    let mut stream: Box<dyn Read + Send> = Box::new(io::empty());
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
    let documents = [("oci-layout".to_owned(), NewBlob::of(layout)?), ("index.json".to_owned(), NewBlob::of(index)?)];
    let named = blobs.into_iter().map(|blob| (blob.digest.replacen("sha256:", "blobs/sha256/", 1), blob));
    for (name, blob) in documents.into_iter().chain(named) {
        let mut header = tar::Header::new_ustar();
        header.set_path(&name).map_err(Error::io("name a blob", &name))?;
        header.set_size(blob.size);
        header.set_mode(0o644);
        header.set_cksum();
        let padding = usize::try_from((512 - blob.size % 512) % 512).unwrap_or(0);
        let start = io::Cursor::new(header.as_bytes().to_vec());
        stream = Box::new(stream.chain(start).chain(blob.content).chain(io::Cursor::new(vec![0; padding])));
    }
    Ok(stream.chain(io::Cursor::new(vec![0; 1024])))
}

/// A file that knows the digest of what is written to it.
struct Hashing {
    file: io::BufWriter<File>,
    hash: Sha256,
    size: u64,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self { file: io::BufWriter::with_capacity(256 << 10, file), hash: Sha256::new(), size: 0 }
    }

    fn done(self) -> NewBlob {
        let mut content = self.file.into_inner().map_err(|error| error.into_error());
        if let Ok(file) = &mut content
            && let Err(error) = file.rewind()
        {
            content = Err(error);
        }
        let digest = format!("sha256:{}", hex(&self.hash.finalize()));
        let content: Box<dyn Read + Send> = match content {
            Ok(file) => Box::new(file),
            // Whoever reads it finds out.
            Err(error) => Box::new(Broken(Some(error))),
        };
        NewBlob { digest, size: self.size, content }
    }
}

impl Write for Hashing {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| io::Error::other("the temporary file cannot be read")))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
