use anyhow::Context as _;
use bytes::Bytes;
use drua_api::{Client, ClientError};
use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::format::{Json, Mode, Style, Template, restyle};

/// Return low-level information on objects
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua inspect web
  drua inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web
  drua inspect --type image busybox")]
pub(crate) struct Inspect {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Kind>,
    /// Containers, images, networks, volumes: names or ids
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

impl Inspect {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        inspect_all(ctx, &self.names, self.format.as_deref(), async |name| match self.kind {
            Some(kind) => Ok(fetch(&client, kind, name, self.size).await?),
            None => self.probe(&client, name).await,
        })
        .await
    }

    /// The first kind of object that has this name.
    async fn probe(&self, client: &Client, name: &str) -> Result<Bytes, Failure> {
        for kind in [Kind::Container, Kind::Image, Kind::Network, Kind::Volume] {
            match fetch(client, kind, name, self.size).await {
                Err(error) if error.is_not_found() => {}
                other => return Ok(other?),
            }
        }
        Err(Failure::message(format!("No such object: {name}")))
    }
}

async fn fetch(client: &Client, kind: Kind, name: &str, size: bool) -> Result<Bytes, ClientError> {
    match kind {
        Kind::Container => client.container_inspect_raw(name, size).await,
        Kind::Image => client.image_inspect_raw(name, None).await,
        Kind::Network => client.network_inspect_raw(name, false).await,
        Kind::Volume => client.volume_inspect_raw(name).await,
    }
}

/// Shows several objects: as a JSON list, or each by a template. What cannot be found is reported after what can.
pub(super) async fn inspect_all<'a>(
    ctx: &Context,
    names: &'a [String],
    format: Option<&str>,
    mut fetch: impl AsyncFnMut(&'a str) -> Result<Bytes, Failure>,
) -> Outcome {
    let template = match format {
        None | Some("" | "json") => None,
        Some(text) => Some(Template::parse(text).with_context(|| format!("`--format {text}` is not a template"))?),
    };
    let (mut objects, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match fetch(name).await {
            Ok(object) => objects.push(String::from_utf8_lossy(&object).into_owned()),
            Err(failure) => failures.push(failure),
        }
    }
    match &template {
        Some(template) => {
            for object in &objects {
                let object: Json = serde_json::from_str(object).context("the daemon's answer is not JSON")?;
                ctx.ui.line(&template.render(&object, Mode::Values, &|_, _| None)?)?;
            }
        }
        None => {
            let style = if format == Some("json") { Style::Compact } else { Style::Indented { depth: 0 } };
            ctx.ui.line(&restyle(&format!("[{}]", objects.join(",")), style))?;
        }
    }
    for failure in &failures {
        ctx.ui.failure(failure);
    }
    Ok(if failures.is_empty() { exit::OK } else { exit::FAILURE })
}
