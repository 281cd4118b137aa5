//! Images and containers of the daemon. drua's own route gives single blobs; another engine gives the whole archive.

use std::io::{self, Read};

use anyhow::Context as _;
use drua_api::client::{ByteStream, ListImages};
use drua_scout::{Layer, Request, Target, TargetKind};
use drua_types::{ImageRef, Platform};
use serde_json::Value;
use tokio::sync::mpsc;

use super::archive::{self, Opened};
use super::cache::Cache;
use super::image::{ImageDocuments, LayerBlob};
use super::pool::{Pool, copy_hashed};
use super::{Scan, of_files, of_image};
use crate::commands::load::platform_json;
use crate::commands::transfer::{Steps, show};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::remote_image;

/// An image that the daemon has.
#[derive(Debug)]
pub(super) enum Held {
    /// drua's: blob by blob.
    Blobs(Box<ImageDocuments>),
    /// Another engine's: as an archive.
    Archive { name: String, platform: Option<Platform> },
}

/// The image that was made last.
pub(super) async fn latest_image(ctx: &Context) -> Result<String, Failure> {
    let images = ctx.client().await?.image_list(&ListImages::default()).await?;
    let latest = images.into_iter().filter(|image| !image.repo_tags.is_empty()).max_by_key(|image| image.created);
    let name = latest.and_then(|image| image.repo_tags.into_iter().next());
    name.ok_or_else(|| Failure::message("there is no image here").hint("name one: `drua scout sbom alpine`"))
}

/// A local image.
pub(super) async fn image(ctx: &Context, name: &str, platform: Option<&Platform>) -> Result<Held, Failure> {
    find(ctx, name, platform).await?.ok_or_else(|| {
        Failure::message(format!("no such image: {name}"))
            .hint(format!("`registry://{name}` takes it from its registry, `fs://{name}` is a directory"))
    })
}

/// A local image, pulled where it is not here.
pub(super) async fn image_or_pull(ctx: &Context, name: &str, platform: Option<&Platform>) -> Result<Held, Failure> {
    match find(ctx, name, platform).await? {
        Some(image) => Ok(image),
        None => pulled(ctx, name, platform).await,
    }
}

/// An image as its registry has it now.
pub(super) async fn pulled(ctx: &Context, name: &str, platform: Option<&Platform>) -> Result<Held, Failure> {
    let reference: ImageRef = name.parse()?;
    let (repository, tag) = remote_image(&reference);
    let wanted = platform.map(ToString::to_string);
    let failed = |error: anyhow::Error| {
        Failure::new(error.context(format!("cannot pull image `{}`", reference.familiar())))
            .hint(format!("`fs://{name}` and `archive://{name}` look at files instead"))
    };
    let stream = ctx.client().await?.image_pull(&repository, Some(&tag), wanted.as_deref()).await;
    let stream = stream.map_err(|error| failed(error.into()))?;
    show(ctx, stream, Steps::Silent).await.map_err(|failure| failed(failure.error))?;
    image(ctx, name, platform).await
}

async fn find(ctx: &Context, name: &str, platform: Option<&Platform>) -> Result<Option<Held>, Failure> {
    let client = ctx.client().await?;
    let platform_text = platform.map(platform_json);
    match client.image_contents(name, platform_text.as_deref()).await {
        Ok(contents) => {
            let mut image = documents(name, &contents);
            if let Some(digest) = provenance(&contents)
                && let Ok(stream) = client.image_blob(name, &digest).await
            {
                image.provenance = read_json(stream).await;
            }
            Ok(Some(Held::Blobs(Box::new(image))))
        }
        Err(error) if error.is_not_found() => {
            // No such image, or no such route.
            match client.image_inspect(name).await {
                Ok(_) => Ok(Some(Held::Archive { name: name.to_owned(), platform: platform.cloned() })),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn documents(name: &str, contents: &Value) -> ImageDocuments {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value, field: &str| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| if field.is_empty() { text(item) } else { text(&item[field]) }).collect()
    };
    let layer = |layer: &Value| LayerBlob {
        key: text(&layer["Digest"]).unwrap_or_default(),
        digest: text(&layer["Digest"]),
        // The store verifies what comes in.
        is_verified: true,
        media_type: text(&layer["MediaType"]).unwrap_or_default(),
    };
    ImageDocuments {
        name: name.to_owned(),
        manifest_digest: text(&contents["ManifestDigest"]),
        manifest: contents["Manifest"].clone(),
        config_digest: text(&contents["ConfigDigest"]),
        config: contents["Config"].clone(),
        platform: text(&contents["Platform"]),
        tags: list(&contents["Names"], ""),
        attestations: list(&contents["Attestations"], "PredicateType"),
        layers: contents["Layers"].as_array().into_iter().flatten().map(layer).collect(),
        provenance: None,
    }
}

fn provenance(contents: &Value) -> Option<String> {
    let mut attestations = contents["Attestations"].as_array().into_iter().flatten();
    let is_provenance = |at: &&Value| at["PredicateType"].as_str().is_some_and(|ty| ty.contains("slsa.dev/provenance"));
    attestations.find(is_provenance).and_then(|at| at["Digest"].as_str()).map(str::to_owned)
}

async fn read_json(mut stream: ByteStream) -> Option<Value> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.ok()?);
        if bytes.len() > 64 << 20 {
            return None;
        }
    }
    serde_json::from_slice(&bytes).ok()
}

/// Scans an image of the daemon.
pub(super) async fn scan(ctx: &Context, image: Held, cache: &Cache) -> Result<Scan, Failure> {
    match image {
        Held::Blobs(image) => {
            let client = ctx.client().await?;
            let (client, name) = (&client, image.name.clone());
            let name = &name;
            let open = |blob: LayerBlob| async move {
                let stream = client.image_blob(name, &blob.key).await?;
                Ok(Box::new(pumped(stream)) as Box<dyn Read + Send>)
            };
            of_image(*image, cache, open).await
        }
        Held::Archive { name, platform } => {
            let platform_text = platform.as_ref().map(platform_json);
            let mut stream =
                ctx.client().await?.image_save(std::slice::from_ref(&name), platform_text.as_deref()).await?;
            let mut file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
            while let Some(piece) = stream.next().await {
                io::Write::write_all(&mut file, &piece?).context("cannot write to a temporary file")?;
            }
            match archive::open(file.path())? {
                Opened::Images(files) => of_files(files, &name, platform.as_ref(), cache).await,
                Opened::FileSystem(_) => {
                    Err(Failure::message(format!("what the engine gave for image `{name}` is no image")))
                }
            }
        }
    }
}

/// Scans the file system of a container, running or not.
pub(super) async fn container(ctx: &Context, name: &str) -> Result<Scan, Failure> {
    let client = ctx.client().await?;
    let stream = client.container_export(name).await?;
    let reader = pumped(stream);
    let pool = Pool::default();
    let feed = move |out: &mut dyn io::Write| copy_hashed(reader, out).map(drop);
    let scanned = tokio::task::spawn_blocking(move || pool.scan(Request::FileSystem, feed)).await??;
    let target = Target { kind: TargetKind::Container, name: name.to_owned(), ..Target::default() };
    Ok(Scan::of(target, vec![(Layer::default(), scanned)], 1))
}

/// A stream of the API as something that threads can read. The task ends with the reader.
fn pumped(mut stream: ByteStream) -> impl Read + Send {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| io::Error::other(drua_types::error_chain(&error)));
            let is_end = piece.is_err();
            if sender.send(piece).await.is_err() || is_end {
                return;
            }
        }
    });
    Pumped { receiver, piece: bytes::Bytes::new() }
}

struct Pumped {
    receiver: mpsc::Receiver<io::Result<bytes::Bytes>>,
    piece: bytes::Bytes,
}

impl Read for Pumped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
