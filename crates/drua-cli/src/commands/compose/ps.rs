use drua_compose::{ProjectContainer, ps};
use drua_types::exit;

use super::project::ProjectArgs;
use crate::commands::ps::row as container_row;
use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row};

/// List containers
#[derive(Debug, clap::Args)]
pub(super) struct Ps {
    /// Show all containers, also stopped ones
    #[arg(short, long)]
    all: bool,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display services
    #[arg(long)]
    services: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
}

const LISTING: Listing = Listing {
    headings: &[
        ("Name", "NAME"),
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("Service", "SERVICE"),
        ("Project", "PROJECT"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Ports", "PORTS"),
        ("Names", "NAMES"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Size", "SIZE"),
    ],
    default: "{{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}",
};

impl Ps {
    pub(super) async fn run(self, ctx: &Context, project: &ProjectArgs) -> Outcome {
        let (name, _) = project.load_if_there(ctx, &self.names)?;
        let format = match (&self.format, self.quiet, self.services) {
            (Some(format), _, _) => Some(format.as_str()),
            (None, true, _) => Some("{{.ID}}"),
            (None, false, true) => Some("{{.Service}}"),
            (None, false, false) => None,
        };
        let format = Format::parse(format, LISTING.default)?;
        let mut containers = ps(&ctx.client().await?, &name, &self.names, self.all).await?;
        if self.services {
            containers.dedup_by(|a, b| a.service == b.service);
        }
        // Without a template Compose shows whole ids.
        let full = self.no_trunc || (self.quiet && self.format.is_none());
        let rows: Vec<Row> = containers.iter().map(|container| row(container, &name, full)).collect();
        ctx.ui.data(LISTING.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

fn row(container: &ProjectContainer, project: &str, no_trunc: bool) -> Row {
    container_row(&container.summary, no_trunc)
        .with("Name", container.name.as_str())
        .with("Service", container.service.as_str())
        .with("Project", project)
}
