use std::fmt::Write as _;

use anyhow::Context as _;
use drua_api::API_VERSION;
use drua_api::models::{SystemVersion, SystemVersionComponents};
use drua_types::{Platform, exit};
use jiff::Timestamp;

use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Escape, Json, Mode, Template};

/// Show the version information of the client and the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Version {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let server = client.version_raw().await;
        if let Some(format) = &self.format {
            let server: Json = match &server {
                Ok(raw) => serde_json::from_slice(raw).context("the daemon's answer is not JSON")?,
                Err(_) => Json::Null,
            };
            let both = Json::Object(vec![("Client".to_owned(), client_json()), ("Server".to_owned(), server)]);
            let text = match format.as_str() {
                "json" => both.compact(Escape::Html),
                template => Template::parse(template)
                    .with_context(|| format!("`--format {template}` is not a template"))?
                    .render(&both, Mode::Values, &|_, _| None)?,
            };
            ctx.ui.line(&text)?;
        } else {
            ctx.ui.data(client_text().as_bytes())?;
            if let Ok(raw) = &server {
                let version: SystemVersion =
                    serde_json::from_slice(raw).context("the daemon's answer is not a version")?;
                ctx.ui.data(format!("\n{}", server_text(&version)).as_bytes())?;
            }
        }
        // What is known about the client has been said; the daemon's absence is a failure all the same.
        server?;
        Ok(exit::OK)
    }
}

fn client_json() -> Json {
    let platform = Platform::host();
    let fields = [
        ("Version", env!("CARGO_PKG_VERSION")),
        ("ApiVersion", API_VERSION),
        ("DefaultAPIVersion", API_VERSION),
        ("Os", platform.os()),
        ("Arch", platform.architecture()),
        ("Context", "default"),
    ];
    Json::Object(fields.map(|(name, value)| (name.to_owned(), value.into())).into())
}

fn client_text() -> String {
    format!(
        "Client:\n Version:           {}\n API version:       {API_VERSION}\n OS/Arch:           {}\n Context:           default\n",
        env!("CARGO_PKG_VERSION"),
        Platform::host(),
    )
}

/// The daemon and its components, in Docker's layout.
fn server_text(version: &SystemVersion) -> String {
    let name = version.platform.as_ref().map(|platform| platform.name.as_str()).filter(|name| !name.is_empty());
    let heading = format!("Server:{}\n", name.map(|name| format!(" {name}")).unwrap_or_default());
    heading + &version.components.iter().flatten().map(component_text).collect::<String>()
}

fn component_text(component: &SystemVersionComponents) -> String {
    let detail = |key: &str| component.details.as_ref().and_then(|details| details.get(key).cloned());
    let api = detail("ApiVersion").map(|api| match detail("MinAPIVersion") {
        Some(min) => format!("{api} (minimum version {min})"),
        None => api,
    });
    let version = Some(component.version.clone());
    let lines = match component.name.as_str() {
        "Engine" => vec![
            ("Version", version),
            ("API version", api),
            ("Go version", detail("GoVersion")),
            ("Git commit", detail("GitCommit")),
            ("Built", detail("BuildTime").map(|time| ansi_c_time(&time))),
            ("OS/Arch", detail("Os").zip(detail("Arch")).map(|(os, arch)| format!("{os}/{arch}"))),
            ("Experimental", detail("Experimental")),
        ],
        _ => vec![("Version", version), ("GitCommit", detail("GitCommit"))],
    };
    let mut text = format!(" {}:\n", component.name);
    for (label, value) in lines {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "  {:<18}{value}", format!("{label}:"));
        }
    }
    text
}

/// `Fri May 30 12:07:16 2025`; what is no RFC 3339 time stays as it is.
fn ansi_c_time(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |time| time.strftime("%a %b %e %H:%M:%S %Y").to_string())
}
