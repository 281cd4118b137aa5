use std::collections::BTreeMap;

use drua_api::client::ListImages;
use drua_api::models::ImageSummary;
use drua_types::exit;

use super::ps::id;
use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row};
use crate::options::api_filters;
use crate::ui::{decimal_size, go_timestamp, local_time, since_unix};

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct Images {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// List multi-platform images as a tree: platforms, attestations, what is here, what is compiled
    #[arg(long, conflicts_with_all = ["format", "quiet", "digests"])]
    tree: bool,
    /// Only images of this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];
const DEFAULT: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const WITH_DIGESTS: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

impl Images {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        if self.tree {
            return super::image_tree::run(ctx, &self.filter, self.reference.as_deref()).await;
        }
        let listing = Listing { headings: HEADINGS, default: if self.digests { WITH_DIGESTS } else { DEFAULT } };
        let format = if self.quiet && self.format.is_none() { Some("{{.ID}}") } else { self.format.as_deref() };
        let with_digests = self.digests || format.is_some_and(|format| format.contains(".Digest"));
        let format = Format::parse(format, listing.default)?;
        let mut filters = api_filters(&self.filter)?;
        if let Some(reference) = &self.reference {
            filters.insert("reference", reference);
        }
        let images =
            ctx.client().await?.image_list(&ListImages { all: self.all, digests: with_digests, filters }).await?;
        let rows: Vec<Row> = images
            .iter()
            .flat_map(|image| names(image, with_digests).into_iter().map(|name| row(image, &name, self.no_trunc)))
            .collect();
        ctx.ui.data(listing.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

const NONE: &str = "<none>";

/// One of an image's names.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    repository: String,
    tag: String,
    digest: String,
}

/// An image has a line for each of its tags, and where digests are shown for each digest of the tag's repository; a
/// repository with digests only has a line without a tag, and an image without any name has one too.
fn names(image: &ImageSummary, with_digests: bool) -> Vec<Name> {
    let name = |repository: &str, tag: &str, digest: &str| Name {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    let mut digests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (repository, digest) in image.repo_digests.iter().filter_map(|text| text.split_once('@')) {
        digests.entry(repository).or_default().push(digest);
    }
    let mut names = Vec::new();
    let mut tagged = Vec::new();
    for (repository, tag) in image.repo_tags.iter().filter_map(|text| text.rsplit_once(':')) {
        if (repository, tag) == (NONE, NONE) {
            continue;
        }
        tagged.push(repository);
        match digests.get(repository) {
            Some(digests) if with_digests => names.extend(digests.iter().map(|digest| name(repository, tag, digest))),
            _ => names.push(name(repository, tag, NONE)),
        }
    }
    for (repository, digests) in digests.iter().filter(|(repository, _)| !tagged.contains(*repository)) {
        let shown: &[&str] = if with_digests { digests } else { &[NONE] };
        names.extend(shown.iter().map(|digest| name(repository, NONE, digest)));
    }
    if names.is_empty() {
        names.push(name(NONE, NONE, NONE));
    }
    names
}

fn row(image: &ImageSummary, name: &Name, no_trunc: bool) -> Row {
    let known = |count: i64| if count == -1 { "N/A".to_owned() } else { count.to_string() };
    let (shared, unique) = match image.shared_size {
        -1 => ("N/A".to_owned(), "N/A".to_owned()),
        shared => (decimal_size(shared, 3), decimal_size(image.size - shared, 3)),
    };
    Row::new()
        .with("ID", id(&image.id, no_trunc))
        .with("Repository", name.repository.as_str())
        .with("Tag", name.tag.as_str())
        .with("Digest", name.digest.as_str())
        .with("CreatedSince", since_unix(image.created))
        .with("CreatedAt", go_timestamp(&local_time(image.created)))
        .with("Size", decimal_size(image.size, 3))
        .with("VirtualSize", decimal_size(image.size, 4))
        .with("Containers", known(image.containers))
        .with("SharedSize", shared)
        .with("UniqueSize", unique)
}
