use drua_types::exit;

use super::project::ProjectArgs;
use crate::context::Context;
use crate::failure::Outcome;

/// Check the compose file, and print it as it is understood (JSON, which is YAML too)
#[derive(Debug, clap::Args)]
pub(super) struct Config {
    /// Only check
    #[arg(short, long)]
    quiet: bool,
    /// Print the names of the services
    #[arg(long, conflicts_with = "volumes")]
    services: bool,
    /// Print the names of the volumes
    #[arg(long)]
    volumes: bool,
}

impl Config {
    pub(super) fn run(self, ctx: &Context, project: &ProjectArgs) -> Outcome {
        let project = project.load(ctx, &[])?;
        if self.quiet {
            return Ok(exit::OK);
        }
        if self.services {
            for name in project.services.keys() {
                ctx.ui.line(name.as_str())?;
            }
        } else if self.volumes {
            for name in project.volumes.keys() {
                ctx.ui.line(name)?;
            }
        } else {
            ctx.ui.line(&serde_json::to_string_pretty(&project)?)?;
        }
        Ok(exit::OK)
    }
}
