//! From what the user names to a document: images (local, of a registry, in archives), directories, containers, SBOMs.
//!
//! Layers that the cache knows are not read again. The others go through scanners: processes of this binary that can do
//! nothing but answer (see [`crate::scan_main`]).

mod archive;
mod cache;
mod daemon;
mod directory;
mod image;
mod pool;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use drua_scout::{
    Layer, Note, NoteKind, Request, Sbom, Scanned, ScannedLayer, Target, TargetKind, assemble, read_document,
};
use drua_types::Platform;
use futures_util::{StreamExt as _, stream};

use crate::context::Context;
use crate::failure::Failure;
use archive::{Files, Opened};
use cache::Cache;
use image::{ImageDocuments, LayerBlob};
use pool::{Pool, copy_hashed};

/// SBOMs longer than this are not read: 256 MiB.
const MAX_DOCUMENT: u64 = 256 << 20;

/// What to look into.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TargetArgs {
    /// Image, or `local://`, `registry://`, `archive://`, `oci-dir://`, `fs://`, `container://`, `sbom://` and a name;
    /// without it the image that was built last
    #[arg(value_name = "IMAGE|DIRECTORY|ARCHIVE")]
    pub(super) target: Option<String>,
    /// Platform of the image, for example linux/amd64
    #[arg(long, value_name = "OS/ARCH")]
    pub(super) platform: Option<Platform>,
    /// Scan every layer, whether it is known or not
    #[arg(long)]
    pub(super) no_cache: bool,
}

/// A document with what only layers can say.
#[derive(Debug)]
pub(super) struct Scan {
    /// The document.
    pub(super) sbom: Sbom,
    /// Its layers; one for directories, none for other SBOMs.
    pub(super) layers: Vec<ScannedLayer>,
    /// Every entry of each layer, compressed.
    pub(super) listings: Vec<Vec<u8>>,
    /// Layers that were not known before.
    pub(super) scanned: usize,
}

/// Where a name points.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Local, else pulled.
    Image(String),
    Local(String),
    Registry(String),
    Archive(PathBuf),
    OciDir(PathBuf),
    Directory(PathBuf),
    Container(String),
    Sbom(PathBuf),
}

impl Place {
    fn parse(text: &str) -> Self {
        let path = |text: &str| PathBuf::from(text);
        match text.split_once("://") {
            Some(("image", name)) => Self::Image(name.to_owned()),
            Some(("local", name)) => Self::Local(name.to_owned()),
            Some(("registry", name)) => Self::Registry(name.to_owned()),
            Some(("archive", name)) => Self::Archive(path(name)),
            Some(("oci-dir", name)) => Self::OciDir(path(name)),
            Some(("fs", name)) => Self::Directory(path(name)),
            Some(("container", name)) => Self::Container(name.to_owned()),
            Some(("sbom", name)) => Self::Sbom(path(name)),
            _ => Self::guess(text),
        }
    }

    /// Image names never begin with a dot or a slash; paths that are said without a prefix do.
    fn guess(text: &str) -> Self {
        let path = PathBuf::from(text);
        let is_path = text.starts_with(['.', '/', '~']) || text == "-";
        match () {
            () if !is_path => Self::Image(text.to_owned()),
            () if text == "-" => Self::Sbom(path),
            () if path.join("oci-layout").is_file() => Self::OciDir(path),
            () if path.is_dir() => Self::Directory(path),
            () => match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => Self::Sbom(path),
                Some("tar" | "tgz" | "gz") => Self::Archive(path),
                _ => Self::Directory(path),
            },
        }
    }
}

/// Makes the document of what the user named.
pub(super) async fn sbom(ctx: &Context, args: &TargetArgs) -> Result<Sbom, Failure> {
    Ok(scan(ctx, args).await?.sbom)
}

/// Makes the document, and keeps what the layer view wants to know.
pub(super) async fn scan(ctx: &Context, args: &TargetArgs) -> Result<Scan, Failure> {
    let place = match &args.target {
        Some(text) => Place::parse(text),
        None => Place::Local(daemon::latest_image(ctx).await?),
    };
    let cache = if args.no_cache { Cache::none() } else { Cache::open() };
    let platform = args.platform.as_ref();
    match place {
        Place::Image(name) | Place::Local(name) | Place::Registry(name) if name.is_empty() => {
            Err(Failure::message("no image is named").hint("`drua images` lists what is here"))
        }
        Place::Image(name) => {
            let image = daemon::image_or_pull(ctx, &name, platform).await?;
            daemon::scan(ctx, image, &cache).await
        }
        Place::Local(name) => {
            let image = daemon::image(ctx, &name, platform).await?;
            daemon::scan(ctx, image, &cache).await
        }
        Place::Registry(name) => {
            let image = daemon::pulled(ctx, &name, platform).await?;
            daemon::scan(ctx, image, &cache).await
        }
        Place::Archive(path) => of_archive(&path, platform, &cache).await,
        Place::OciDir(path) => of_files(Files::Dir(path.clone()), &path.display().to_string(), platform, &cache).await,
        Place::Directory(path) => of_directory(&path).await,
        Place::Container(name) => daemon::container(ctx, &name).await,
        Place::Sbom(path) => of_sbom(&path),
    }
}

async fn of_archive(path: &Path, platform: Option<&Platform>, cache: &Cache) -> Result<Scan, Failure> {
    let name = path.display().to_string();
    match archive::open(path)? {
        Opened::Images(files) => of_files(files, &name, platform, cache).await,
        Opened::FileSystem(file) => {
            let pool = Pool::default();
            let file = archive::rewound(file)?;
            let feed = move |out: &mut dyn std::io::Write| copy_hashed(file, out).map(drop);
            let scanned = tokio::task::spawn_blocking(move || pool.scan(Request::FileSystem, feed)).await??;
            let target = Target { kind: TargetKind::Container, name, ..Target::default() };
            Ok(Scan::of(target, vec![(Layer::default(), scanned)], 1))
        }
    }
}

async fn of_files(files: Files, name: &str, platform: Option<&Platform>, cache: &Cache) -> Result<Scan, Failure> {
    let image = files.image(name, platform).with_context(|| format!("cannot read `{name}`"))?;
    let open = move |blob: LayerBlob| {
        let files = files.clone();
        async move {
            let name = if blob.digest.is_some() { archive::blob_name(&blob.key)? } else { blob.key.clone() };
            files.reader(&name)
        }
    };
    of_image(image, cache, open).await
}

async fn of_directory(path: &Path) -> Result<Scan, Failure> {
    let root = path.to_owned();
    let metadata = fs_err::metadata(path)?;
    let pool = Pool::default();
    let walked = Arc::new(std::sync::Mutex::new(directory::Walked::default()));
    let unreadable = Arc::clone(&walked);
    let is_dir = metadata.is_dir();
    let scan = move || {
        pool.scan(Request::Entries, |out| {
            let mut out = std::io::BufWriter::with_capacity(256 << 10, out);
            if is_dir {
                let walked = directory::walk(&root, &mut out)?;
                *unreadable.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = walked;
            } else {
                directory::single(&root, &mut out)?;
            }
            Ok(std::io::Write::flush(&mut out)?)
        })
    };
    let mut scanned = tokio::task::spawn_blocking(scan).await??;
    let walked = std::mem::take(&mut *walked.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let note = |(path, reason): (String, String)| Note {
        kind: NoteKind::Incomplete,
        path: Some(path),
        text: format!("cannot be read: {reason}"),
    };
    scanned.facts.notes.extend(walked.unreadable.into_iter().map(note));
    let kind = if metadata.is_dir() { TargetKind::Directory } else { TargetKind::File };
    let target = Target { kind, name: path.display().to_string(), ..Target::default() };
    Ok(Scan::of(target, vec![(Layer::default(), scanned)], 1))
}

fn of_sbom(path: &Path) -> Result<Scan, Failure> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let reader: Box<dyn Read> = match name.as_str() {
        "" | "-" => Box::new(std::io::stdin().lock()),
        _ => Box::new(fs_err::File::open(path)?),
    };
    reader.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(Failure::message(format!("`{name}` is longer than {} MiB", MAX_DOCUMENT >> 20)));
    }
    let sbom = read_document(&bytes, &name)
        .map_err(|error| Failure::new(error).hint("CycloneDX, SPDX, Syft's and drua's own JSON can be read"))?;
    Ok(Scan { sbom, layers: Vec::new(), listings: Vec::new(), scanned: 0 })
}

/// Scans the layers of an image that the cache does not know, a few at a time.
async fn of_image<F>(image: ImageDocuments, cache: &Cache, open: impl Fn(LayerBlob) -> F) -> Result<Scan, Failure>
where
    F: Future<Output = anyhow::Result<Box<dyn Read + Send>>>,
{
    let pool = Arc::new(Pool::default());
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().min(8));
    let open = &open;
    let jobs = image.layers.iter().filter(|blob| blob.is_scannable()).map(|blob| {
        let (pool, cache, blob) = (Arc::clone(&pool), cache.clone(), blob.clone());
        async move {
            if let Some(known) = known(&cache, &blob) {
                return Ok((known, 0));
            }
            let reader = open(blob.clone()).await?;
            let scanned = tokio::task::spawn_blocking(move || layer(&pool, &cache, &blob, reader)).await??;
            anyhow::Ok((scanned, 1))
        }
    });
    let mut results = stream::iter(jobs).buffered(workers);
    let mut layers = Vec::new();
    let mut count = 0;
    let descriptions = image.layers();
    let scannable = descriptions.into_iter().zip(&image.layers).filter(|(_, blob)| blob.is_scannable());
    for (description, _) in scannable {
        let (scanned, new) = results.next().await.context("a layer was left out")?.with_context(|| {
            format!("cannot scan layer `{}`", description.digest.as_deref().unwrap_or(&description.diff_id))
        })?;
        count += new;
        layers.push((description, scanned));
    }
    if count > 0 {
        cache.sweep();
    }
    Ok(Scan::of(image.target(), layers, count))
}

/// What the cache knows of a layer whose digest can be relied on.
fn known(cache: &Cache, blob: &LayerBlob) -> Option<Scanned> {
    blob.digest.as_deref().filter(|_| blob.is_verified).and_then(|digest| cache.get(digest))
}

/// Blocks.
fn layer(pool: &Pool, cache: &Cache, blob: &LayerBlob, reader: impl Read) -> anyhow::Result<Scanned> {
    let mut real = String::new();
    let scanned = pool.scan(Request::Layer, |out| {
        real = copy_hashed(reader, out)?;
        Ok(())
    })?;
    // Whatever is cached under a digest is the truth about it for every image.
    if let Some(digest) = blob.digest.as_ref().filter(|digest| **digest != real) {
        anyhow::bail!("its content is not what the manifest says: expected {digest}, found {real}");
    }
    cache.put(&real, &scanned);
    Ok(scanned)
}

impl Scan {
    fn of(target: Target, layers: Vec<(Layer, Scanned)>, scanned: usize) -> Self {
        let (layers, listings): (Vec<ScannedLayer>, Vec<Vec<u8>>) = layers
            .into_iter()
            .map(|(layer, scanned)| (ScannedLayer { layer, facts: scanned.facts }, scanned.listing))
            .unzip();
        Self { sbom: assemble(target, &layers), layers, listings, scanned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_prefixes() {
        assert_eq!(Place::parse("alpine:3.20"), Place::Image("alpine:3.20".into()));
        assert_eq!(Place::parse("localhost:5000/a/b"), Place::Image("localhost:5000/a/b".into()));
        assert_eq!(Place::parse("registry://a/b"), Place::Registry("a/b".into()));
        assert_eq!(Place::parse("fs://."), Place::Directory(".".into()));
        assert_eq!(Place::parse("./image.tar"), Place::Archive("./image.tar".into()));
        assert_eq!(Place::parse("/x/sbom.cdx.json"), Place::Sbom("/x/sbom.cdx.json".into()));
        assert_eq!(Place::parse("-"), Place::Sbom("-".into()));
        assert_eq!(Place::parse("container://web"), Place::Container("web".into()));
    }
}
