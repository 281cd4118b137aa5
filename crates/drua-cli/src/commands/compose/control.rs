//! `start`, `stop`, `restart`, `kill` and `rm`: things done to containers that exist.

use drua_compose::{ControlOptions, kill, remove, restart, start, stop};
use drua_types::exit;

use super::interrupt::cancellable;
use super::project::ProjectArgs;
use super::report::Report;
use crate::context::Context;
use crate::failure::Outcome;

macro_rules! control {
    ($(#[$doc:meta])* $name:ident, $verb:path { $($(#[$attr:meta])* $field:ident: $ty:ty => $option:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, clap::Args)]
        pub(super) struct $name {
            $($(#[$attr])* $field: $ty,)*
            /// Services [default: all]
            #[arg(value_name = "SERVICE")]
            services: Vec<String>,
        }

        impl $name {
            pub(super) async fn run(self, ctx: &Context, project: &ProjectArgs) -> Outcome {
                let (name, _) = project.load_if_there(ctx, &self.services)?;
                let options =
                    ControlOptions { services: self.services, $($option: self.$field,)* ..ControlOptions::default() };
                let client = ctx.client().await?;
                let report = Report::new(&ctx.ui);
                cancellable(async |cancel| $verb(&client, &name, &options, &report, cancel).await).await
            }
        }
    };
}

control! {
    /// Start services
    Start, start {}
}
control! {
    /// Stop services
    Stop, stop {
        /// Seconds until a container that does not stop is killed
        #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
        timeout: Option<i64> => timeout_seconds,
    }
}
control! {
    /// Restart services
    Restart, restart {
        /// Seconds until a container that does not stop is killed
        #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
        timeout: Option<i64> => timeout_seconds,
    }
}
control! {
    /// Kill containers
    Kill, kill {
        /// Signal to send to the containers [default: SIGKILL]
        #[arg(short, long, value_name = "SIGNAL")]
        signal: Option<String> => signal,
    }
}

/// Remove stopped containers
#[derive(Debug, clap::Args)]
pub(super) struct Rm {
    /// Don't ask to confirm removal
    #[arg(short, long)]
    force: bool,
    /// Stop the containers, if required, before removing
    #[arg(short, long)]
    stop: bool,
    /// Remove anonymous volumes attached to containers
    #[arg(short, long)]
    volumes: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Rm {
    pub(super) async fn run(self, ctx: &Context, project: &ProjectArgs) -> Outcome {
        let (name, _) = project.load_if_there(ctx, &self.services)?;
        if !self.force && !ctx.ui.confirm(&format!("Going to remove containers of `{name}`. Are you sure?"))? {
            return Ok(exit::OK);
        }
        let options = ControlOptions {
            services: self.services,
            stop_first: self.stop,
            volumes: self.volumes,
            ..ControlOptions::default()
        };
        let client = ctx.client().await?;
        let report = Report::new(&ctx.ui);
        cancellable(async |cancel| remove(&client, &name, &options, &report, cancel).await).await
    }
}
