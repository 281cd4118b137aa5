//! `container prune`, `image prune`, `network prune`, `volume prune` and `system prune`.

use drua_api::{Client, Filters};
use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::options::api_filters;
use crate::ui::decimal_size;

/// Remove all stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct PruneContainers {
    #[command(flatten)]
    options: PruneOptions,
}

/// Remove unused images
#[derive(Debug, clap::Args)]
pub(crate) struct PruneImages {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    options: PruneOptions,
}

/// Remove all unused networks
#[derive(Debug, clap::Args)]
pub(crate) struct PruneNetworks {
    #[command(flatten)]
    options: PruneOptions,
}

/// Remove unused local volumes
#[derive(Debug, clap::Args)]
pub(crate) struct PruneVolumes {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    options: PruneOptions,
}

/// Remove unused data
#[derive(Debug, clap::Args)]
pub(crate) struct PruneSystem {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    options: PruneOptions,
}

#[derive(Debug, clap::Args)]
struct PruneOptions {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl PruneOptions {
    /// Whether the user wants it.
    fn confirm(&self, ctx: &Context, warning: &str) -> Result<bool, Failure> {
        if self.force {
            return Ok(true);
        }
        Ok(ctx.ui.confirm(&format!("WARNING! {warning}\nAre you sure you want to continue?"))?)
    }

    fn filters(&self) -> Result<Filters, Failure> {
        Ok(api_filters(&self.filter)?)
    }
}

impl PruneContainers {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        if self.options.confirm(ctx, "This will remove all stopped containers.")? {
            let reclaimed = prune_containers(ctx, &ctx.client().await?, &self.options.filters()?).await?;
            ctx.ui.line(&total(reclaimed))?;
        }
        Ok(exit::OK)
    }
}

impl PruneImages {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let warning = if self.all {
            "This will remove all images without at least one container associated to them."
        } else {
            "This will remove all dangling images."
        };
        if self.options.confirm(ctx, warning)? {
            let reclaimed = prune_images(ctx, &ctx.client().await?, self.options.filters()?, self.all).await?;
            ctx.ui.line(&total(reclaimed))?;
        }
        Ok(exit::OK)
    }
}

impl PruneNetworks {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        if self.options.confirm(ctx, "This will remove all custom networks not used by at least one container.")? {
            prune_networks(ctx, &ctx.client().await?, &self.options.filters()?).await?;
        }
        Ok(exit::OK)
    }
}

impl PruneVolumes {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let kind = if self.all { "all" } else { "anonymous" };
        let warning = format!("This will remove {kind} local volumes not used by at least one container.");
        if self.options.confirm(ctx, &warning)? {
            let mut filters = self.options.filters()?;
            if self.all {
                filters.insert("all", "true");
            }
            let reclaimed = prune_volumes(ctx, &ctx.client().await?, &filters).await?;
            ctx.ui.line(&total(reclaimed))?;
        }
        Ok(exit::OK)
    }
}

impl PruneSystem {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        if !self.options.confirm(ctx, &self.warning())? {
            return Ok(exit::OK);
        }
        let client = ctx.client().await?;
        let filters = self.options.filters()?;
        let mut reclaimed = prune_containers(ctx, &client, &filters).await?;
        prune_networks(ctx, &client, &filters).await?;
        if self.volumes {
            reclaimed += prune_volumes(ctx, &client, &filters).await?;
        }
        reclaimed += prune_images(ctx, &client, filters, self.all).await?;
        ctx.ui.line(&total(reclaimed))?;
        Ok(exit::OK)
    }

    fn warning(&self) -> String {
        let mut items = vec!["all stopped containers", "all networks not used by at least one container"];
        if self.volumes {
            items.push("all anonymous volumes not used by at least one container");
        }
        items.push(if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        });
        let lines: String = items.iter().map(|item| format!("  - {item}\n")).collect();
        format!("This will remove:\n{lines}")
    }
}

fn total(bytes: i64) -> String {
    format!("Total reclaimed space: {}", decimal_size(bytes, 4))
}

/// A heading, the names, and an empty line; nothing when there are no names.
fn list(ctx: &Context, heading: &str, names: &[String]) -> Result<(), Failure> {
    if !names.is_empty() {
        ctx.ui.line(&format!("{heading}:\n{}\n", names.join("\n")))?;
    }
    Ok(())
}

async fn prune_containers(ctx: &Context, client: &Client, filters: &Filters) -> Result<i64, Failure> {
    let pruned = client.container_prune(filters).await?;
    list(ctx, "Deleted Containers", &pruned.containers_deleted.unwrap_or_default())?;
    Ok(pruned.space_reclaimed.unwrap_or_default())
}

async fn prune_images(ctx: &Context, client: &Client, mut filters: Filters, all: bool) -> Result<i64, Failure> {
    filters.insert("dangling", if all { "false" } else { "true" });
    let pruned = client.image_prune(&filters).await?;
    let deleted = pruned.images_deleted.unwrap_or_default().into_iter();
    let lines = deleted.flat_map(|item| {
        let untagged = item.untagged.filter(|name| !name.is_empty()).map(|name| format!("untagged: {name}"));
        let deleted = item.deleted.filter(|id| !id.is_empty()).map(|id| format!("deleted: {id}"));
        untagged.into_iter().chain(deleted)
    });
    list(ctx, "Deleted Images", &lines.collect::<Vec<_>>())?;
    Ok(pruned.space_reclaimed.unwrap_or_default())
}

async fn prune_networks(ctx: &Context, client: &Client, filters: &Filters) -> Result<(), Failure> {
    let pruned = client.network_prune(filters).await?;
    list(ctx, "Deleted Networks", &pruned.networks_deleted.unwrap_or_default())
}

async fn prune_volumes(ctx: &Context, client: &Client, filters: &Filters) -> Result<i64, Failure> {
    let pruned = client.volume_prune(filters).await?;
    list(ctx, "Deleted Volumes", &pruned.volumes_deleted.unwrap_or_default())?;
    Ok(pruned.space_reclaimed.unwrap_or_default())
}
