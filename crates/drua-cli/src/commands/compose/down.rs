use drua_compose::{DownOptions, RemoveImages, down};

use super::interrupt::cancellable;
use super::project::ProjectArgs;
use super::report::Report;
use crate::context::Context;
use crate::failure::Outcome;

/// Stop and remove containers, networks
#[derive(Debug, clap::Args)]
pub(super) struct Down {
    /// Remove named volumes of the project and anonymous volumes of its containers
    #[arg(short, long)]
    volumes: bool,
    /// Remove images of the services: local (without a name of their own) or all
    #[arg(long, value_enum, value_name = "WHICH")]
    rmi: Option<Rmi>,
    /// Remove containers for services not defined in the compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Seconds until a container that does not stop is killed
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i64>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Rmi {
    Local,
    All,
}

impl Down {
    pub(super) async fn run(self, ctx: &Context, project: &ProjectArgs) -> Outcome {
        let options = DownOptions {
            volumes: self.volumes,
            remove_orphans: self.remove_orphans,
            images: match self.rmi {
                None => RemoveImages::Keep,
                Some(Rmi::Local) => RemoveImages::Local,
                Some(Rmi::All) => RemoveImages::All,
            },
            timeout_seconds: self.timeout,
        };
        let (name, project) = project.load_if_there(ctx, &[])?;
        let client = ctx.client().await?;
        let report = Report::new(&ctx.ui);
        cancellable(async |cancel| down(&client, &name, project.as_ref(), &options, &report, cancel).await).await
    }
}
