//! The layers of a pull: each is downloaded, verified and unpacked at once, some side by side.
//!
//! ```text
//!  registry ─► task ──(channel)──► writer thread: hash, partial file ──► unpacking thread: inflate, hash, files
//! ```
//!
//! Nothing is visible before the pull commits. Two pulls of one layer share its download: the second waits for the first,
//! and takes over where that one stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use drua_registry::{Download, Repository};
use drua_store::{Begin, BlobWriter, Layer, Plan, ReceiveError, Receiving};
use drua_types::ImageRef;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use crate::engine::Shared;
use crate::pull::{LayerStep, PullEvent, PullProgress};
use crate::registry::pull_error;
use crate::{Error, Result, blocking};

/// Layers on their way at a time.
const AT_ONCE: usize = 6;
/// Pieces that the wire may be ahead of the disk. Each has up to some hundred KiB.
const AHEAD: usize = 8;
/// How often a download that somebody else does is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a download may take to say why it has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often amounts are told.
const TELL: Duration = Duration::from_millis(100);

/// A pull's session in the store. What it has unpacked in vain takes a while to remove: that is done beside everything else.
#[derive(Debug)]
pub(crate) struct Session(pub(crate) Arc<Receiving>);

impl Drop for Session {
    fn drop(&mut self) {
        let receiving = Arc::clone(&self.0);
        blocking::beside(move || drop(receiving));
    }
}

/// What all layers of a pull share.
#[derive(Clone)]
pub(crate) struct Layers {
    shared: Arc<Shared>,
    session: Arc<Session>,
    source: Repository,
    progress: PullProgress,
}

impl Layers {
    pub(crate) fn new(shared: Arc<Shared>, session: Arc<Session>, source: Repository, progress: PullProgress) -> Self {
        Self { shared, session, source, progress }
    }

    /// Brings the layers that are not here; `false` when all were.
    pub(crate) async fn bring_all(&self, plan: &Plan, image: &ImageRef) -> Result<bool> {
        let mut missing = Vec::new();
        for layer in &plan.layers {
            let (receiving, wanted, unpacks) = (Arc::clone(&self.session.0), layer.clone(), plan.runs_here);
            let here = blocking::run(move || {
                let unpacked = wanted.chain_id.as_ref().is_none_or(|chain| receiving.has_unpacked(chain));
                Ok(receiving.has(&wanted.blob()) && (unpacked || !unpacks))
            });
            match here.await? {
                true => self.step(layer, LayerStep::Exists).await,
                false => {
                    self.step(layer, LayerStep::Planned).await;
                    missing.push(layer.clone());
                }
            }
        }
        let fetched = !missing.is_empty();
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut jobs = JoinSet::new();
        for (number, layer) in missing.into_iter().enumerate() {
            let (this, image, permits, unpacks) = (self.clone(), image.clone(), Arc::clone(&permits), plan.runs_here);
            jobs.spawn(async move {
                if number >= AT_ONCE {
                    this.step(&layer, LayerStep::Waiting).await;
                }
                // First come, first served, so the lowest layers go first.
                let _permit = permits.acquire_owned().await;
                this.bring(&layer, &image, unpacks).await
            });
        }
        // An error drops the set, which ends the other jobs.
        while let Some(ended) = jobs.join_next().await {
            ended.map_err(|panic| Error::Panicked(panic.to_string()))??;
        }
        Ok(fetched)
    }

    async fn bring(&self, layer: &Layer, image: &ImageRef, unpacks: bool) -> Result<()> {
        let (mut waiting, mut told) = (false, None);
        let writer = loop {
            let (receiving, blob) = (Arc::clone(&self.session.0), layer.blob());
            match blocking::run(move || receiving.begin(&blob).map_err(Error::image("begin a layer"))).await? {
                Begin::Present => break None,
                Begin::Write(writer) => break Some(writer),
                Begin::Busy => {
                    if !std::mem::replace(&mut waiting, true) {
                        self.step(layer, LayerStep::Waiting).await;
                    }
                    // Another pull brings it: its bytes are as good as ours.
                    if let Some(current) = self.session.0.received(&layer.digest)
                        && is_due(&mut told)
                    {
                        let step = LayerStep::Downloading { current, total: layer.size };
                        self.progress.amount(PullEvent::Layer { id: layer.digest.short().to_owned(), step });
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        let downloaded = Arc::new(AtomicBool::new(writer.is_none()));
        let mut unpacking = unpacks.then(|| self.unpack(layer, Arc::clone(&downloaded)));
        if let Some(writer) = writer {
            self.download_beside(layer, image, writer, &mut unpacking).await?;
            self.step(layer, LayerStep::Downloaded).await;
            downloaded.store(true, Ordering::Relaxed);
        }
        if let Some(unpacking) = unpacking {
            unpacked(unpacking.await)?;
        }
        self.step(layer, LayerStep::Complete).await;
        Ok(())
    }

    /// Downloads while a layer is unpacked; a layer that is no good ends its download.
    async fn download_beside(
        &self,
        layer: &Layer,
        image: &ImageRef,
        writer: BlobWriter,
        unpacking: &mut Option<Unpacking>,
    ) -> Result<()> {
        let download = self.download(layer, image, writer);
        let Some(thread) = unpacking else { return download.await };
        tokio::pin!(download);
        tokio::select! {
            biased;
            result = &mut download => result,
            ended = thread => {
                *unpacking = None;
                match unpacked(ended) {
                    Ok(()) => download.await,
                    // Perhaps there was nothing to read any more, because the download has failed: then that is to be told.
                    Err(error) => match tokio::time::timeout(LAST_WORDS, download).await {
                        Ok(Err(reason)) => Err(reason),
                        Ok(Ok(())) | Err(_) => Err(error),
                    },
                }
            }
        }
    }

    async fn download(&self, layer: &Layer, image: &ImageRef, writer: BlobWriter) -> Result<()> {
        let what = Download { digest: layer.digest.clone(), size: layer.size, start: writer.written() };
        let (sender, pieces) = mpsc::channel(AHEAD);
        let (progress, id) = (self.progress.clone(), layer.digest.short().to_owned());
        let writing = tokio::task::spawn_blocking(move || write(writer, pieces, &progress, &id));
        let result = self.source.download(&what, &self.shared.pace, &sender).await;
        if result.is_ok() {
            self.step(layer, LayerStep::Verifying).await;
            // No piece is empty: this one says that the download is complete, not broken off.
            let _ = sender.send(Bytes::new()).await;
        }
        drop(sender);
        let written = writing.await.map_err(|panic| Error::Panicked(panic.to_string()))?;
        result.map_err(|error| pull_error(image, error))?;
        written.map_err(Error::image("keep a layer"))
    }

    fn unpack(&self, layer: &Layer, downloaded: Arc<AtomicBool>) -> Unpacking {
        let (receiving, progress, layer) = (Arc::clone(&self.session.0), self.progress.clone(), layer.clone());
        let id = layer.digest.short().to_owned();
        tokio::task::spawn_blocking(move || {
            let mut told = None;
            receiving.unpack(&layer, &mut |current| {
                // While it comes, its download is what is shown.
                if downloaded.load(Ordering::Relaxed) && is_due(&mut told) {
                    let step = LayerStep::Extracting { current, total: layer.size };
                    progress.amount(PullEvent::Layer { id: id.clone(), step });
                }
            })
        })
    }

    async fn step(&self, layer: &Layer, step: LayerStep) {
        self.progress.step(PullEvent::Layer { id: layer.digest.short().to_owned(), step }).await;
    }
}

type Unpacking = JoinHandle<Result<(), drua_store::UnpackError>>;

fn unpacked(result: Result<Result<(), drua_store::UnpackError>, tokio::task::JoinError>) -> Result<()> {
    result.map_err(|panic| Error::Panicked(panic.to_string()))?.map_err(Error::image("unpack a layer"))
}

/// Writes what comes until an empty piece says that it is all. Without that, the partial blob stays for the next time.
fn write(
    mut writer: BlobWriter,
    mut pieces: mpsc::Receiver<Bytes>,
    progress: &PullProgress,
    id: &str,
) -> Result<(), ReceiveError> {
    let mut told = None;
    while let Some(piece) = pieces.blocking_recv() {
        if piece.is_empty() {
            return writer.finish();
        }
        writer.write(&piece)?;
        if is_due(&mut told) {
            let step = LayerStep::Downloading { current: writer.written(), total: writer.size() };
            progress.amount(PullEvent::Layer { id: id.to_owned(), step });
        }
    }
    Ok(())
}

fn is_due(told: &mut Option<Instant>) -> bool {
    let due = told.is_none_or(|told: Instant| told.elapsed() >= TELL);
    if due {
        *told = Some(Instant::now());
    }
    due
}
