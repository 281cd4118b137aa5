use drua_api::models::Network;
use drua_types::exit;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::commands::ps::id;
use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row, natural_order};
use crate::options::api_filters;
use crate::ui::go_timestamp;

/// List networks
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

const LISTING: Listing = Listing {
    headings: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    default: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
};

impl Ls {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let format = if self.quiet && self.format.is_none() { Some("{{.ID}}") } else { self.format.as_deref() };
        let format = Format::parse(format, LISTING.default)?;
        let mut networks = ctx.client().await?.network_list(&api_filters(&self.filter)?).await?;
        networks.sort_by(|a, b| {
            natural_order(a.name.as_deref().unwrap_or_default(), b.name.as_deref().unwrap_or_default())
        });
        let rows: Vec<Row> = networks.iter().map(|network| row(network, self.no_trunc)).collect();
        ctx.ui.data(LISTING.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

fn row(network: &Network, no_trunc: bool) -> Row {
    let created = network.created.as_deref().unwrap_or_default();
    let created = created.parse::<Timestamp>().map(|time| go_timestamp(&time.to_zoned(TimeZone::UTC)));
    let labels = network.labels.clone().unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let flag = |flag: Option<bool>| flag.unwrap_or_default().to_string();
    Row::new()
        .with("ID", id(network.id.as_deref().unwrap_or_default(), no_trunc))
        .with("Name", text(&network.name))
        .with("Driver", text(&network.driver))
        .with("Scope", text(&network.scope))
        .with("IPv4", flag(network.enable_ipv4))
        .with("IPv6", flag(network.enable_ipv6))
        .with("Internal", flag(network.internal))
        .with("CreatedAt", created.unwrap_or_default())
        .with_labels(&labels)
}
