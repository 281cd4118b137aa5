//! Base images: what the daemon knows about layers, and what else the project at hand says.

use std::collections::BTreeMap;
use std::path::Path;

use drua_api::client::ListImages;
use drua_dockerfile::{Dockerfile, Kind};
use drua_scout::advisory::Database;
use drua_scout::recommend::{BaseImage, Candidate, DockerfileView, KnownImage};
use drua_scout::report::{Counts, Filter};

use super::judge::{self, JudgeArgs};
use super::source::TargetArgs;
use crate::context::Context;
use crate::failure::Failure;

/// Images of the daemon that are asked for their layers.
const MAX_IMAGES: usize = 500;
/// Manifests that edits are looked for in.
const MANIFESTS: [&str; 7] =
    ["requirements.txt", "package.json", "go.mod", "Cargo.toml", "Gemfile", "composer.json", "requirements-dev.txt"];

/// Whether a target comes from the daemon, which then knows other images too.
pub(super) fn is_of_daemon(target: Option<&str>) -> bool {
    let Some(text) = target else { return true };
    match text.split_once("://") {
        Some((prefix, _)) => matches!(prefix, "image" | "local" | "registry"),
        None => !text.starts_with(['.', '/', '~']) && text != "-",
    }
}

/// The daemon's images with their layers. A daemon that cannot be asked knows none: the base is then recognised otherwise.
pub(super) async fn known_images(ctx: &Context) -> Vec<KnownImage> {
    let Ok(client) = ctx.client().await else { return Vec::new() };
    let Ok(images) = client.image_list(&ListImages::default()).await else { return Vec::new() };
    let mut known = Vec::new();
    for image in images.into_iter().filter(|image| !image.repo_tags.is_empty()).take(MAX_IMAGES) {
        let Ok(details) = client.image_inspect(&image.id).await else { continue };
        let diff_ids = details.root_fs.and_then(|root| root.layers).unwrap_or_default();
        known.push(KnownImage { names: image.repo_tags, diff_ids });
    }
    known
}

/// Findings of the base image and of candidates, as far as they are here: nothing is pulled.
pub(super) async fn measured(
    ctx: &Context,
    base: &BaseImage,
    candidates: &[Candidate],
    args: &JudgeArgs,
    database: &Database,
) -> Result<BTreeMap<String, Counts>, Failure> {
    let mut counts = BTreeMap::new();
    let Ok(client) = ctx.client().await else { return Ok(counts) };
    for tag in candidates.iter().filter(|candidate| candidate.tag != base.tag).map(|candidate| &candidate.tag) {
        let name = format!("{}:{tag}", base.repository);
        if client.image_inspect(&name).await.is_err() {
            continue;
        }
        let target = TargetArgs { target: Some(format!("local://{name}")), platform: None, no_cache: false };
        let judged = judge::judge(ctx, &target, args, database).await?;
        counts.insert(tag.clone(), judged.report(&Filter::default()).counts());
    }
    Ok(counts)
}

/// A Dockerfile as edits need it; the final stage's image.
pub(super) fn dockerfile(path: &Path) -> Result<Option<DockerfileView>, Failure> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(path)?;
    let file = Dockerfile::parse(&text)?;
    let stages = file.stages();
    // The stage on which the last one stands, if that is another one of this file.
    let mut stage = stages.last();
    for _ in 0..stages.len() {
        let Some(current) = stage else { break };
        let base = current.from.base.text.to_lowercase();
        match stages.iter().take(current.index).find(|other| other.name().as_deref() == Some(base.as_str())) {
            Some(other) => stage = Some(other),
            None => break,
        }
    }
    let Some(stage) = stage else { return Ok(None) };
    let Kind::From(from) = &stage.instruction.kind else { return Ok(None) };
    let image = from.base.span.start..from.base.span.end;
    let end = stage.instruction.span.end;
    let after_from = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    // A variable's name is not its value, and a span of continued lines holds more than the name.
    let is_literal = text.get(image.clone()).is_some_and(|written| written == from.base.text && !written.contains('$'));
    Ok(Some(DockerfileView { path: path.display().to_string(), text, image, is_literal, after_from }))
}

/// Manifests of the directory at hand.
pub(super) fn manifests() -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    for name in MANIFESTS.iter().filter(|name| Path::new(name).is_file()) {
        found.insert((*name).to_owned(), fs_err::read_to_string(name)?);
    }
    Ok(found)
}
