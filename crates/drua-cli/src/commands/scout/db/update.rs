use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Context as _;
use drua_registry::{Fetched, Fetcher, Proxies, Settings};
use drua_scout::advisory::{Importer, SOURCES, SegmentBuilder, SegmentInfo, Source};
use drua_types::exit;
use sha2::{Digest as _, Sha256};

use super::import::{done, hex, warn};
use super::store::{self, Store, tomorrow};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The largest feed has some hundred MiB.
const MAX_FEED_BYTES: usize = 2 << 30;
/// One record.
const MAX_RECORD_BYTES: usize = 16 << 20;
/// With more changes than this the whole feed is the shorter way.
const MAX_INCREMENTS: usize = 2000;

/// Load advisories, or what changed in them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout db update                          what is here, and what `sources.txt` names
  drua scout db update debian osv-pypi kev      these
  drua scout db update corp=https://feeds.corp.example/osv.zip
  drua scout db update --all                    every source that drua knows; more than 1 GB

Nothing else of drua ever downloads advisories. `drua scout db status --available` lists the sources; a file `sources.txt` in the
database's directory adds lines of `name URL`. Proxies are taken from the environment.")]
pub(super) struct Update {
    /// Every source that drua knows
    #[arg(long)]
    all: bool,
    /// Load feeds whole, even where only changes could be loaded
    #[arg(long)]
    full: bool,
    /// Sources: names, or NAME=URL
    #[arg(value_name = "SOURCE|NAME=URL")]
    sources: Vec<String>,
}

struct Feed {
    name: String,
    url: String,
    known: Option<&'static Source>,
}

impl Update {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let store = Store::open()?;
        let feeds = self.feeds(&store)?;
        if feeds.is_empty() {
            return Err(Failure::message("there is nothing to update: the database is empty")
                .hint("name sources, for example `drua scout db update debian osv-pypi kev epss endoflife`")
                .hint("`drua scout db status --available` lists them"));
        }
        let fetcher = Fetcher::new(Settings { proxies: Proxies::from_env(), ..Settings::default() });
        let mut failed = 0;
        for feed in &feeds {
            // One feed that is down must not keep the others old.
            if let Err(failure) = self.update(ctx, &store, &fetcher, feed).await {
                failed += 1;
                ctx.ui.failure(&failure);
            }
        }
        if failed > 0 {
            ctx.ui.note(&format!(
                "{failed} of {} sources could not be updated; what was there is still there",
                feeds.len()
            ));
        }
        Ok(if failed > 0 { exit::FAILURE } else { exit::OK })
    }

    fn feeds(&self, store: &Store) -> Result<Vec<Feed>, Failure> {
        let configured = configured(&store.dir().join("sources.txt"))?;
        let find = |name: &str| -> Result<Feed, Failure> {
            if let Some((name, url)) = name.split_once('=') {
                store::check_name(name)?;
                return Ok(Feed { name: name.to_owned(), url: url.to_owned(), known: None });
            }
            if let Some((name, url)) = configured.iter().find(|(known, _)| known == name) {
                return Ok(Feed { name: name.clone(), url: url.clone(), known: None });
            }
            let source = Source::named(name).ok_or_else(|| {
                Failure::message(format!("drua knows no source `{name}`"))
                    .hint("`drua scout db status --available` lists the sources; others are given as NAME=URL")
            })?;
            Ok(Feed { name: name.to_owned(), url: source.url.to_owned(), known: Some(source) })
        };
        if self.all {
            return SOURCES.iter().map(|source| find(source.name)).collect();
        }
        if !self.sources.is_empty() {
            return self.sources.iter().map(|name| find(name)).collect();
        }
        let mut names: Vec<String> = configured.iter().map(|(name, _)| name.clone()).collect();
        for (_, segment) in store.segments()? {
            let name = segment.info().source.clone();
            // What was imported from files has no address.
            if !names.contains(&name) && Source::named(&name).is_some() {
                names.push(name);
            }
        }
        names.iter().map(|name| find(name)).collect()
    }

    async fn update(&self, ctx: &Context, store: &Store, fetcher: &Fetcher, feed: &Feed) -> Result<(), Failure> {
        let started = std::time::Instant::now();
        let old = if self.full { None } else { store.segment(&feed.name)? };
        if let (Some(segment), Some(increments)) = (&old, feed.known.and_then(Source::increments))
            && let Some(ids) = changed(fetcher, &increments.0, &segment.info().data_date).await?
        {
            let info = segment.info().clone();
            let builder = SegmentBuilder::from_segment(segment).map_err(Failure::new)?;
            return increment(ctx, store, fetcher, &increments.1, info, builder, &ids).await;
        }
        let validator = old.as_ref().and_then(|segment| segment.info().validator.clone());
        let what = || format!("cannot load the advisories of `{}` from {}", feed.name, feed.url);
        let fetched = fetcher.get(&feed.url, validator.as_deref(), MAX_FEED_BYTES).await.with_context(what);
        let (bytes, validator) = match fetched.map_err(|error| Failure::new(error).hint(OFFLINE))? {
            Fetched::Unchanged => {
                ctx.ui.note(&format!("{} {}: unchanged", ctx.ui.paint().green("✓"), feed.name));
                return Ok(());
            }
            Fetched::File { bytes, validator } => (bytes, validator),
        };
        let mut importer = store::importer();
        importer.add(feed.url.rsplit('/').next().unwrap_or(&feed.name), &bytes);
        let (imported, builder) = importer.finish();
        warn(ctx, &feed.name, &imported);
        if builder.is_empty() {
            return Err(Failure::message(format!("{} holds no advisories that drua can read", feed.url)));
        }
        let info = SegmentInfo {
            origin: feed.url.clone(),
            validator,
            sha256: Some(hex(&Sha256::digest(&bytes))),
            ..store::info(&feed.name, &imported)
        };
        let info = store.put(builder, info)?;
        done(ctx, &info, started.elapsed());
        Ok(())
    }
}

const OFFLINE: &str = "without a network, `drua scout db import FILE` reads a feed that was brought here";

/// Ids that changed since a date, by OSV's list `2026-11-23T01:02:03Z,PYSEC-2026-1`, the newest first. None when they are
/// so many that the whole feed is shorter, or when the date is unknown.
async fn changed(fetcher: &Fetcher, url: &str, since: &str) -> Result<Option<Vec<String>>, Failure> {
    if since.is_empty() {
        return Ok(None);
    }
    let Ok(Fetched::File { bytes, .. }) = fetcher.get(url, None, MAX_FEED_BYTES).await else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter_map(|line| line.split_once(','));
    let newer: Vec<String> = lines
        .take_while(|(date, _)| *date > since)
        .map(|(_, id)| id.rsplit('/').next().unwrap_or(id).trim().to_owned())
        .take(MAX_INCREMENTS + 1)
        .collect();
    Ok((newer.len() <= MAX_INCREMENTS).then_some(newer))
}

async fn increment(
    ctx: &Context,
    store: &Store,
    fetcher: &Fetcher,
    base: &str,
    info: SegmentInfo,
    builder: SegmentBuilder,
    ids: &[String],
) -> Result<(), Failure> {
    let started = std::time::Instant::now();
    if ids.is_empty() {
        ctx.ui.note(&format!("{} {}: unchanged", ctx.ui.paint().green("✓"), info.source));
        return Ok(());
    }
    let mut importer = Importer::onto(builder, &tomorrow()).with_formats(&info.formats);
    importer.forget(&ids.iter().cloned().collect::<HashSet<_>>());
    for id in ids {
        let url = format!("{base}/{id}.json");
        match fetcher.get(&url, None, MAX_RECORD_BYTES).await.with_context(|| format!("cannot load {url}"))? {
            Fetched::File { bytes, .. } => importer.add_file(&format!("{id}.json"), &bytes),
            Fetched::Unchanged => {}
        }
    }
    let (imported, builder) = importer.finish();
    warn(ctx, &info.source, &imported);
    let newest = imported.data_date.clone().max(info.data_date.clone());
    let new = SegmentInfo { origin: info.origin, data_date: newest, ..store::info(&info.source, &imported) };
    let new = store.put(builder, new)?;
    ctx.ui.note(&format!("{} records of {} changed", ids.len(), new.source));
    done(ctx, &new, started.elapsed());
    Ok(())
}

/// `sources.txt`: a name and an address a line.
fn configured(path: &PathBuf) -> Result<Vec<(String, String)>, Failure> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs_err::read_to_string(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, url) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| Failure::message(format!("`{}`: `{line}` is no name and address", path.display())))?;
            store::check_name(name)?;
            Ok((name.to_owned(), url.trim().to_owned()))
        })
        .collect()
}
