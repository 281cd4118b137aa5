use drua_scout::advisory::{SOURCES, Segment};
use drua_types::exit;

use super::import::day;
use super::store::Store;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::format::{Format, Listing, Row};

/// Show which advisories are here, and of when
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout db status
  drua scout db status --verify         check every block
  drua scout db status --available      which sources `db update` knows")]
pub(super) struct Status {
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Read everything and check its checksums
    #[arg(long)]
    verify: bool,
    /// List the sources that can be loaded, instead
    #[arg(long)]
    available: bool,
}

const LISTING: Listing = Listing {
    headings: &[
        ("Source", "SOURCE"),
        ("Records", "RECORDS"),
        ("Data", "DATA OF"),
        ("Imported", "IMPORTED"),
        ("Size", "SIZE"),
        ("About", "ABOUT"),
        ("Formats", "FORMATS"),
        ("Problems", "PROBLEMS"),
        ("Ecosystems", "ECOSYSTEMS"),
    ],
    default: "{{.Source}}\t{{.Records}}\t{{.Data}}\t{{.Imported}}\t{{.Size}}\t{{.About}}",
};

const AVAILABLE: Listing = Listing {
    headings: &[("Source", "SOURCE"), ("About", "ABOUT"), ("License", "LICENSE"), ("URL", "URL")],
    default: "{{.Source}}\t{{.About}}\t{{.License}}",
};

impl Status {
    pub(super) fn run(self, ctx: &Context) -> Outcome {
        if self.available {
            return self.list_available(ctx);
        }
        let format = Format::parse(self.format.as_deref(), LISTING.default)?;
        let store = Store::open()?;
        let segments = store.segments()?;
        if self.verify {
            for (path, segment) in &segments {
                segment.verify().map_err(|error| {
                    let name = &segment.info().source;
                    Failure::new(anyhow::Error::new(error).context(format!("`{}` is damaged", path.display())))
                        .hint(format!("`drua scout db update {name}` loads it anew"))
                })?;
            }
            ctx.ui.note(&format!("{} {} sources, all blocks are whole", ctx.ui.paint().green("✓"), segments.len()));
        }
        let rows: Vec<Row> = segments.iter().map(|(_, segment)| row(segment)).collect();
        ctx.ui.data(LISTING.render(&rows, &format)?.as_bytes())?;
        if segments.is_empty() {
            ctx.ui.note(&format!(
                "There are no advisories in {}; `drua scout db update` loads some.",
                store.dir().display()
            ));
        }
        Ok(exit::OK)
    }

    fn list_available(&self, ctx: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref(), AVAILABLE.default)?;
        let row = |source: &drua_scout::advisory::Source| {
            Row::new()
                .with("Source", source.name.to_owned())
                .with("About", source.about.to_owned())
                .with("License", source.license.to_owned())
                .with("URL", source.url.to_owned())
        };
        let rows: Vec<Row> = SOURCES.iter().map(row).collect();
        ctx.ui.data(AVAILABLE.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

fn row(segment: &Segment) -> Row {
    let info = segment.info();
    let ecosystems: Vec<&str> = info.ecosystems.keys().map(String::as_str).collect();
    let about = match ecosystems.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first, .., last] => format!("{first} … {last}"),
    };
    let formats: Vec<String> = info.formats.iter().map(|format| format!("{format:?}")).collect();
    Row::new()
        .with("Source", info.source.clone())
        .with("Records", info.records.to_string())
        .with("Data", if info.data_date.is_empty() { "unknown".to_owned() } else { day(&info.data_date) })
        .with("Imported", day(&info.imported))
        .with("Size", format!("{:.1} MB", segment.size() as f64 / 1e6))
        .with("About", about)
        .with("Formats", formats.join(","))
        .with("Problems", info.problems.to_string())
        .with("Ecosystems", ecosystems.join(","))
}

/// Remove a source's advisories
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout db rm osv-npm")]
pub(super) struct Remove {
    /// Sources
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
}

impl Remove {
    pub(super) fn run(self, ctx: &Context) -> Outcome {
        let store = Store::open()?;
        for source in &self.sources {
            if !store.remove(source)? {
                return Err(Failure::message(format!("there are no advisories of `{source}`"))
                    .hint("`drua scout db status` lists what is there"));
            }
            ctx.ui.line(source)?;
        }
        Ok(exit::OK)
    }
}
