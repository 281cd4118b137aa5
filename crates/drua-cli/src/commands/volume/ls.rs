use drua_api::models::Volume;
use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row, natural_order};
use crate::options::api_filters;
use crate::ui::decimal_size;

/// List volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

const LISTING: Listing = Listing {
    headings: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Availability", "AVAILABILITY"),
        ("Group", "GROUP"),
        ("Status", "STATUS"),
    ],
    default: "{{.Driver}}\t{{.Name}}",
};

impl Ls {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let format = if self.quiet && self.format.is_none() { Some("{{.Name}}") } else { self.format.as_deref() };
        let format = Format::parse(format, LISTING.default)?;
        let list = ctx.client().await?.volume_list(&api_filters(&self.filter)?).await?;
        for warning in list.warnings.unwrap_or_default() {
            ctx.ui.warning(&warning);
        }
        let mut volumes = list.volumes.unwrap_or_default();
        volumes.sort_by(|a, b| natural_order(&a.name, &b.name));
        let rows: Vec<Row> = volumes.iter().map(row).collect();
        ctx.ui.data(LISTING.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

fn row(volume: &Volume) -> Row {
    const UNKNOWN: &str = "N/A";
    let usage = volume.usage_data.as_ref();
    Row::new()
        .with("Name", volume.name.as_str())
        .with("Driver", volume.driver.as_str())
        .with("Scope", volume.scope.map(|scope| scope.to_string()).unwrap_or_default())
        .with("Mountpoint", volume.mountpoint.as_str())
        .with("Links", usage.map_or(UNKNOWN.to_owned(), |usage| usage.ref_count.to_string()))
        .with("Size", usage.map_or(UNKNOWN.to_owned(), |usage| decimal_size(usage.size, 3)))
        // Of cluster volumes, which drua does not have.
        .with("Availability", UNKNOWN)
        .with("Group", UNKNOWN)
        .with("Status", UNKNOWN)
        .with_labels(&volume.labels)
}
