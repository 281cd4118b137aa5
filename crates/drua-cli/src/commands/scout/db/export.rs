use std::path::PathBuf;

use drua_types::exit;

use super::store::Store;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Write the advisories to a file, for a machine without a network
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout db export advisories.tar
  drua scout db export advisories.tar debian osv-pypi

`drua scout db import advisories.tar` reads it, and checks every block of it.")]
pub(super) struct Export {
    /// Where to
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only these sources
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
}

impl Export {
    pub(super) fn run(self, ctx: &Context) -> Outcome {
        let store = Store::open()?;
        let segments = store.segments()?;
        for wanted in &self.sources {
            if !segments.iter().any(|(_, segment)| segment.info().source == *wanted) {
                return Err(Failure::message(format!("there are no advisories of `{wanted}`"))
                    .hint("`drua scout db status` lists what is there"));
            }
        }
        let chosen: Vec<_> = segments
            .into_iter()
            .filter(|(_, segment)| self.sources.is_empty() || self.sources.contains(&segment.info().source))
            .collect();
        if chosen.is_empty() {
            return Err(Failure::message("there are no advisories to export").hint("`drua scout db update` loads some"));
        }
        let mut archive = tar::Builder::new(fs_err::File::create(&self.file)?);
        for (path, segment) in &chosen {
            segment.verify().map_err(Failure::new)?;
            let name = path.file_name().unwrap_or_default();
            archive.append_path_with_name(path, name)?;
        }
        archive.into_inner()?.file().sync_all()?;
        ctx.ui.note(&format!("{} {} sources to {}", ctx.ui.paint().green("✓"), chosen.len(), self.file.display()));
        Ok(exit::OK)
    }
}
