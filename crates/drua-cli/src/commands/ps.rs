use std::fmt::Write as _;

use drua_api::client::ListContainers;
use drua_api::models::{ContainerSummary, MountPoint, PortSummary};
use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Json, Listing, Row};
use crate::options::api_filters;
use crate::ui::{decimal_size, ellipsis, go_timestamp, local_time, since_unix};

/// List containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua ps -a                                     stopped ones too
  drua ps --format '{{.Names}}\\t{{.Ports}}'       a template, as Docker has them
  drua ps --filter label=com.docker.compose.project=shop")]
pub(crate) struct Ps {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "N", default_value_t = -1, allow_hyphen_values = true)]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

const DEFAULT: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const WITH_SIZE: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

impl Ps {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let listing = Listing { headings: HEADINGS, default: if self.size { WITH_SIZE } else { DEFAULT } };
        let format = if self.quiet && self.format.is_none() { Some("{{.ID}}") } else { self.format.as_deref() };
        let options = ListContainers {
            all: self.all,
            limit: if self.latest { Some(1) } else { Some(self.last).filter(|&last| last > 0) },
            // Sizes cost time; they are asked for only where they are shown.
            size: self.size || format.is_some_and(|format| format.contains(".Size") || format.trim() == "json"),
            filters: api_filters(&self.filter)?,
        };
        let format = Format::parse(format, listing.default)?;
        let containers = ctx.client().await?.container_list(&options).await?;
        let rows: Vec<Row> = containers.iter().map(|container| row(container, self.no_trunc)).collect();
        ctx.ui.data(listing.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

/// A container in Docker's words.
pub(crate) fn row(container: &ContainerSummary, no_trunc: bool) -> Row {
    let created = container.created.unwrap_or_default();
    let mounts = container.mounts.as_deref().unwrap_or_default();
    let labels = container.labels.clone().unwrap_or_default();
    let networks = container.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut networks: Vec<&str> =
        networks.map(|networks| networks.keys().map(String::as_str).collect()).unwrap_or_default();
    networks.sort_unstable();
    let state = container.state.map(|state| state.to_string()).unwrap_or_default();
    Row::new()
        .with("ID", id(container.id.as_deref().unwrap_or_default(), no_trunc))
        .with("Image", image(container, no_trunc))
        .with("Command", command(container.command.as_deref().unwrap_or_default(), no_trunc))
        .with("CreatedAt", go_timestamp(&local_time(created)))
        .with("RunningFor", since_unix(created))
        .with("Status", container.status.as_deref().unwrap_or_default())
        .with("State", state)
        .with("Ports", ports(container.ports.as_deref().unwrap_or_default()))
        .with("Names", names(container.names.as_deref().unwrap_or_default(), no_trunc))
        .with("Size", size(container))
        .with("Mounts", mount_names(mounts, no_trunc))
        .with(
            "LocalVolumes",
            mounts.iter().filter(|mount| mount.driver.as_deref() == Some("local")).count().to_string(),
        )
        .with("Networks", networks.join(","))
        .with("Platform", Json::Null)
        .with_labels(&labels)
}

/// The first twelve digits of an id, without `sha256:`.
pub(super) fn id(id: &str, no_trunc: bool) -> String {
    if no_trunc { id.to_owned() } else { id.rsplit(':').next().unwrap_or_default().chars().take(12).collect() }
}

fn image(container: &ContainerSummary, no_trunc: bool) -> String {
    let name = container.image.as_deref().unwrap_or_default();
    let image_id = container.image_id.as_deref().unwrap_or_default();
    match name {
        "" => "<no image>".to_owned(),
        _ if no_trunc => name.to_owned(),
        _ if !image_id.is_empty() && id(image_id, false) == id(name, false) => id(image_id, false),
        // A tag says enough: the digest beside it is cut off.
        _ => match name.split_once('@') {
            Some((tagged, _)) if tagged.rsplit('/').next().is_some_and(|last| last.contains(':')) => tagged.to_owned(),
            _ => name.to_owned(),
        },
    }
}

fn command(command: &str, no_trunc: bool) -> String {
    let command = if no_trunc { command.to_owned() } else { ellipsis(command, 20) };
    format!("{command:?}")
}

/// Names without the slash before them; links (`/web/db`) only in full output.
fn names(names: &[String], no_trunc: bool) -> String {
    let names = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    names.filter(|name| no_trunc || !name.contains('/')).collect::<Vec<_>>().join(",")
}

fn size(container: &ContainerSummary) -> String {
    let mut text = decimal_size(container.size_rw.unwrap_or_default(), 3);
    if let Some(root) = container.size_root_fs.filter(|&size| size > 0) {
        let _ = write!(text, " (virtual {})", decimal_size(root, 3));
    }
    text
}

fn mount_names(mounts: &[MountPoint], no_trunc: bool) -> String {
    let name = |mount: &MountPoint| {
        let named = mount.name.as_deref().filter(|name| !name.is_empty());
        let name = named.or(mount.source.as_deref()).unwrap_or_default();
        if no_trunc { name.to_owned() } else { ellipsis(name, 15) }
    };
    mounts.iter().map(name).collect::<Vec<_>>().join(",")
}

/// Neighbouring ports that are published under their own numbers, or not at all, become ranges; the rest follows.
pub(crate) fn ports(ports: &[PortSummary]) -> String {
    struct Run {
        ip: String,
        protocol: String,
        first: u16,
        last: u16,
    }
    let ip = |port: &PortSummary| port.ip.clone().unwrap_or_default();
    let protocol = |port: &PortSummary| port.typ.map(|typ| typ.to_string()).unwrap_or_default();
    let mut sorted: Vec<&PortSummary> = ports.iter().collect();
    sorted.sort_by_key(|port| (port.private_port, ip(port), port.public_port, protocol(port)));

    let (mut open, mut done, mut mapped): (Vec<Run>, Vec<String>, Vec<String>) = Default::default();
    let show = |run: &Run| {
        let span = if run.first == run.last { run.first.to_string() } else { format!("{}-{}", run.first, run.last) };
        match run.ip.as_str() {
            "" => format!("{span}/{}", run.protocol),
            ip => format!("{}->{span}/{}", join_host_port(ip, &span), run.protocol),
        }
    };
    for port in sorted {
        let (ip, protocol, number) = (ip(port), protocol(port), port.private_port);
        let public = port.public_port.unwrap_or_default();
        if !ip.is_empty() && public != number {
            mapped.push(format!("{}->{number}/{protocol}", join_host_port(&ip, &public.to_string())));
            continue;
        }
        match open.iter_mut().find(|run| run.ip == ip && run.protocol == protocol) {
            None => open.push(Run { ip, protocol, first: number, last: number }),
            Some(run) if run.last.checked_add(1) == Some(number) => run.last = number,
            Some(run) => {
                done.push(show(run));
                (run.first, run.last) = (number, number);
            }
        }
    }
    done.extend(open.iter().map(show));
    done.extend(mapped);
    done.join(", ")
}

fn join_host_port(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
