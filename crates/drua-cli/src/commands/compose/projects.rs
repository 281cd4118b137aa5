//! `ls`, `version`, `volumes`, `port`, `viz`, `events`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use drua_api::Filters;
use drua_api::client::{EventsOptions, ListContainers};
use drua_compose::labels;
use drua_types::exit;

use super::exec::container_of;
use super::project::ProjectArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::format::{Format, Listing, Row};
use crate::ui::rfc3339_nanos;

/// List running compose projects
#[derive(Debug, clap::Args)]
pub(super) struct Ls {
    /// Show all stopped Compose projects
    #[arg(short, long)]
    all: bool,
    /// Filter output: name=TEXT
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Format output: table or json
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only display project names
    #[arg(short, long)]
    quiet: bool,
}

const PROJECTS: Listing = Listing {
    headings: &[("Name", "NAME"), ("Status", "STATUS"), ("ConfigFiles", "CONFIG FILES")],
    default: "{{.Name}}\t{{.Status}}\t{{.ConfigFiles}}",
};

impl Ls {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let filters = Filters::new().with("label", labels::PROJECT);
        let options = ListContainers { all: self.all, filters, ..ListContainers::default() };
        let mut projects: BTreeMap<String, (BTreeMap<String, usize>, String)> = BTreeMap::new();
        for container in client.container_list(&options).await? {
            let labels = container.labels.unwrap_or_default();
            let name = labels.get(labels::PROJECT).cloned().unwrap_or_default();
            let state = container.state.map(|state| state.to_string()).unwrap_or_default();
            let (states, files) = projects.entry(name).or_default();
            *states.entry(state).or_default() += 1;
            *files = labels.get(labels::CONFIG_FILES).cloned().unwrap_or_default();
        }
        let wanted: Vec<&str> = self.filter.iter().filter_map(|filter| filter.strip_prefix("name=")).collect();
        projects.retain(|name, _| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted)));
        let format = if self.quiet { Some("{{.Name}}") } else { self.format.as_deref() };
        let format = Format::parse(format, PROJECTS.default)?;
        let rows = projects.into_iter().map(|(name, (states, files))| {
            let states: Vec<String> = states.into_iter().map(|(state, count)| format!("{state}({count})")).collect();
            Row::new().with("Name", name).with("Status", states.join(", ")).with("ConfigFiles", files)
        });
        let rows: Vec<Row> = rows.collect();
        ctx.ui.data(PROJECTS.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

/// Show the version information
#[derive(Debug, clap::Args)]
pub(super) struct Version {
    /// Format the output: pretty or json
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Shows only the version number
    #[arg(long)]
    short: bool,
}

impl Version {
    pub(super) fn run(self, ctx: &Context) -> Outcome {
        let version = env!("CARGO_PKG_VERSION");
        let text = match (self.short, self.format.as_deref()) {
            (true, _) => version.to_owned(),
            (false, Some("json")) => serde_json::json!({ "version": format!("v{version}") }).to_string(),
            (false, _) => format!("drua compose version v{version}"),
        };
        ctx.ui.line(&text)?;
        Ok(exit::OK)
    }
}

/// List volumes
#[derive(Debug, clap::Args)]
pub(super) struct Volumes {
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

const VOLUMES: Listing =
    Listing { headings: &[("Driver", "DRIVER"), ("Name", "VOLUME NAME")], default: "{{.Driver}}\t{{.Name}}" };

impl Volumes {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (name, project) = args.load_if_there(ctx, &self.services)?;
        let filters = Filters::new().with("label", &format!("{}={name}", labels::PROJECT));
        let volumes = ctx.client().await?.volume_list(&filters).await?.volumes.unwrap_or_default();
        let format = if self.quiet { Some("{{.Name}}") } else { self.format.as_deref() };
        let format = Format::parse(format, VOLUMES.default)?;
        let of_services: Option<Vec<String>> = project.filter(|_| !self.services.is_empty()).map(|project| {
            let chosen =
                project.services.iter().filter(|(name, _)| self.services.iter().any(|known| known == name.as_str()));
            let mounts = chosen.flat_map(|(_, service)| &service.volumes);
            let named = mounts.filter_map(|mount| project.volumes.get(mount.source.as_deref()?));
            named.map(|volume| volume.name.clone()).collect()
        });
        let mut rows: Vec<(String, String)> = volumes
            .into_iter()
            .filter(|volume| of_services.as_ref().is_none_or(|names| names.contains(&volume.name)))
            .map(|volume| (volume.name, volume.driver))
            .collect();
        rows.sort();
        let rows: Vec<Row> =
            rows.into_iter().map(|(name, driver)| Row::new().with("Name", name).with("Driver", driver)).collect();
        ctx.ui.data(VOLUMES.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

/// List port mappings or print the public port of a specific mapping for the service
#[derive(Debug, clap::Args)]
pub(super) struct Port {
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// tcp or udp
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp")]
    protocol: String,
    /// Service
    service: String,
    /// The container's port [default: all]
    private_port: Option<u16>,
}

impl Port {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (client, container) = container_of(ctx, args, &self.service, self.index).await?;
        let inspected = client.container_inspect(&container).await?;
        let ports = inspected.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
        let mut lines: Vec<String> = Vec::new();
        for (port, bindings) in ports {
            let wanted = self.private_port.is_none_or(|number| port == format!("{number}/{}", self.protocol));
            for binding in bindings.into_iter().flatten().filter(|_| wanted) {
                let address = binding.host_ip.unwrap_or_default();
                let address = if address.contains(':') { format!("[{address}]") } else { address };
                let host = format!("{address}:{}", binding.host_port.unwrap_or_default());
                lines.push(if self.private_port.is_some() { host } else { format!("{port} -> {host}") });
            }
        }
        lines.sort();
        if lines.is_empty()
            && let Some(port) = self.private_port
        {
            let message = format!("no port {port}/{} for container {container}", self.protocol);
            return Err(Failure::message(message));
        }
        if self.private_port.is_some() {
            lines.truncate(1);
        }
        for line in lines {
            ctx.ui.line(&line)?;
        }
        Ok(exit::OK)
    }
}

/// Generate a graphviz graph from your compose file
#[derive(Debug, clap::Args)]
pub(super) struct Viz {
    /// Include service's attached networks in output graph
    #[arg(long)]
    networks: bool,
    /// Include service's exposed ports in output graph
    #[arg(long)]
    ports: bool,
    /// Include service's image name in output graph
    #[arg(long)]
    image: bool,
    /// Number of blanks of indentation
    #[arg(long, value_name = "N", default_value_t = 2)]
    indentation_size: usize,
}

impl Viz {
    pub(super) fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let project = args.load(ctx, &[])?;
        let pad = " ".repeat(self.indentation_size);
        let mut text = format!("digraph \"{}\" {{\n{pad}layout=dot;\n{pad}nodesep=0.5;\n", project.name);
        for (name, service) in &project.services {
            let mut label = format!("<b>{name}</b>");
            let mut add = |title: &str, lines: Vec<String>| {
                if !lines.is_empty() {
                    let lines: String = lines.iter().map(|line| format!("<br/>{line}")).collect();
                    let _ = write!(label, "<br/><b>{title}:</b>{lines}");
                }
            };
            if self.ports {
                let port = |port: &drua_compose::file::PortMapping| {
                    format!("{}:{}/{}", port.published.as_deref().unwrap_or_default(), port.target, port.protocol)
                };
                add("ports", service.ports.iter().map(port).collect());
            }
            if self.networks {
                add("networks", service.networks.keys().cloned().collect());
            }
            if self.image {
                add("image", vec![service.image_name(&project.name, name)]);
            }
            let _ = writeln!(text, "{pad}\"{name}\" [style=\"filled\" label=<{label}>];");
        }
        for (name, service) in &project.services {
            for dependency in service.depends_on.keys() {
                let _ = writeln!(text, "{pad}\"{name}\" -> \"{dependency}\";");
            }
        }
        ctx.ui.line(&(text + "}"))?;
        Ok(exit::OK)
    }
}

/// Receive real time events from containers
#[derive(Debug, clap::Args)]
pub(super) struct Events {
    /// Output events as a stream of JSON objects
    #[arg(long)]
    json: bool,
    /// Show all events created since timestamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Events {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (name, _) = args.load_if_there(ctx, &self.services)?;
        let filters = Filters::new().with("type", "container").with("label", &format!("{}={name}", labels::PROJECT));
        let options = EventsOptions { filters, since: self.since, until: self.until };
        let mut events = ctx.client().await?.events(&options).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let mut attributes = event.actor.attributes.clone();
            let service = attributes.remove(labels::SERVICE).unwrap_or_default();
            if !self.services.is_empty() && !self.services.contains(&service) {
                continue;
            }
            attributes.retain(|key, _| !key.starts_with("com.docker.compose."));
            let time = rfc3339_nanos(event.time_nano);
            let action = event.action.split(':').next().unwrap_or_default();
            if self.json {
                let line = serde_json::json!({
                    "action": action, "attributes": attributes, "id": event.actor.id, "service": service,
                    "time": time, "type": "container",
                });
                ctx.ui.line(&line.to_string())?;
                continue;
            }
            let attributes: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let line = format!("{time} container {action} {} ({})", event.actor.id, attributes.join(", "));
            ctx.ui.line(&line)?;
        }
        Ok(exit::OK)
    }
}
