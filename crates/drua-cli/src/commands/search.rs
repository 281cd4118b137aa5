use drua_api::models::ImageSearchResponseItem;
use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row};
use crate::options::api_filters;
use crate::ui::ellipsis;

/// Search a registry for images
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua search redis                    on Docker Hub
  drua search localhost:5000/re        in another registry; without a search of its own, by name")]
pub(crate) struct Search {
    /// Filter output based on conditions provided: is-official=true, stars=3
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// What to look for, with the registry before a slash where it is not Docker Hub
    #[arg(value_name = "TERM")]
    term: String,
}

const LISTING: Listing = Listing {
    headings: &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL")],
    default: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
};

impl Search {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref(), LISTING.default)?;
        let filters = api_filters(&self.filter)?;
        let found = ctx.client().await?.image_search(&self.term, self.limit, &filters).await?;
        let rows: Vec<Row> = found.iter().map(|one| row(one, self.no_trunc)).collect();
        ctx.ui.data(LISTING.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

fn row(found: &ImageSearchResponseItem, no_trunc: bool) -> Row {
    let description = found.description.clone().unwrap_or_default().replace(['\n', '\r'], " ");
    let official = if found.is_official.unwrap_or_default() { "[OK]" } else { "" };
    Row::new()
        .with("Name", found.name.clone().unwrap_or_default())
        .with("Description", if no_trunc { description } else { ellipsis(&description, 45) })
        .with("StarCount", found.star_count.unwrap_or_default().to_string())
        .with("IsOfficial", official.to_owned())
}
