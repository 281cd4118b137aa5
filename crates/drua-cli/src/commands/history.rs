use drua_api::models::ImageHistoryResponseItem;
use drua_types::exit;

use super::ps::id;
use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row};
use crate::ui::{decimal_size, ellipsis, local_time, rfc3339_local, since_unix};

/// Show the history of an image
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    human: bool,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// Show the history of the given platform variant, for example linux/amd64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<drua_types::Platform>,
    /// Image: name, id, or the beginning of an id
    image: String,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
const HUMAN: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const EXACT: &str = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

impl History {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let listing = Listing { headings: HEADINGS, default: if self.human { HUMAN } else { EXACT } };
        let format = if self.quiet && self.format.is_none() { Some("{{.ID}}") } else { self.format.as_deref() };
        let format = Format::parse(format, listing.default)?;
        let platform = self.platform.as_ref().map(super::load::platform_json);
        let history = ctx.client().await?.image_history(&self.image, platform.as_deref()).await?;
        let rows: Vec<Row> = history.iter().map(|step| self.row(step)).collect();
        ctx.ui.data(listing.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }

    fn row(&self, step: &ImageHistoryResponseItem) -> Row {
        let created_by = step.created_by.replace('\t', " ");
        Row::new()
            .with("ID", id(&step.id, self.no_trunc))
            .with("CreatedSince", since_unix(step.created))
            .with("CreatedAt", rfc3339_local(&local_time(step.created)))
            .with("CreatedBy", if self.no_trunc { created_by } else { ellipsis(&created_by, 45) })
            .with("Size", if self.human { decimal_size(step.size, 3) } else { step.size.to_string() })
            .with("Comment", step.comment.as_str())
    }
}
