use std::fmt::Write as _;

use drua_api::client::EventsOptions;
use drua_api::models::Event;
use drua_types::exit;
use jiff::Timestamp;

use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Escape, Format, Json, Mode};
use crate::options::{api_filters, point_in_time};
use crate::ui::rfc3339_nanos;

/// Get real time events from the server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua events --filter type=container --filter event=die
  drua events --since 10m --until 0s --format json")]
pub(crate) struct Events {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show all events created since then: a time or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Stream events until then: a time or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Events {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let now = Timestamp::now();
        let time = |text: &Option<String>| text.as_deref().map(|text| point_in_time(text, now)).transpose();
        let options =
            EventsOptions { since: time(&self.since)?, until: time(&self.until)?, filters: api_filters(&self.filter)? };
        let format = self.format.as_deref().map(|text| Format::parse(Some(text), "")).transpose()?;
        let mut events = ctx.client().await?.events(&options).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let line = match &format {
                None | Some(Format::Table(_)) => line(&event),
                Some(Format::Json) => json_line(&event)?,
                Some(Format::Template(template)) => template.render(&fields(&event), Mode::Maps, &|_, _| None)?,
            };
            ctx.ui.line(&line)?;
        }
        Ok(exit::OK)
    }
}

fn line(event: &Event) -> String {
    let nanos = if event.time_nano == 0 { event.time.saturating_mul(1_000_000_000) } else { event.time_nano };
    let mut line = format!("{} {} {} {}", rfc3339_nanos(nanos), event.kind, event.action, event.actor.id);
    if !event.actor.attributes.is_empty() {
        let attributes: Vec<String> =
            event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let _ = write!(line, " ({})", attributes.join(", "));
    }
    line
}

fn json_line(event: &Event) -> anyhow::Result<String> {
    let json: Json = serde_json::from_str(&serde_json::to_string(event)?)?;
    Ok(json.compact(Escape::Html))
}

/// The event under the names that Docker's templates use.
fn fields(event: &Event) -> Json {
    let attributes = event.actor.attributes.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let actor =
        vec![("ID".to_owned(), event.actor.id.as_str().into()), ("Attributes".to_owned(), Json::Object(attributes))];
    let fields: [(&str, Json); 9] = [
        ("Status", event.status.as_str().into()),
        ("ID", event.id.as_str().into()),
        ("From", event.from.as_str().into()),
        ("Type", event.kind.as_str().into()),
        ("Action", event.action.as_str().into()),
        ("Actor", Json::Object(actor)),
        ("Scope", event.scope.as_str().into()),
        ("Time", event.time.into()),
        ("TimeNano", event.time_nano.into()),
    ];
    Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
