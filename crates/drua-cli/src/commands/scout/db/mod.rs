//! `drua scout db`: the advisories on this machine.
//!
//! ```text
//! <db>/<source>.adv     one segment a source, replaced whole; see drua_scout::advisory
//! <db>/.lock            held while something is written
//! ```

mod export;
mod import;
mod status;
mod store;
mod update;

use crate::context::Context;
use crate::failure::Outcome;

pub(super) use store::{Store, today};

/// Manage the advisories that images are judged by
#[derive(Debug, clap::Args)]
pub(super) struct Db {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DbCommand {
    Update(update::Update),
    Status(status::Status),
    Import(import::Import),
    Export(export::Export),
    Rm(status::Remove),
}

impl Db {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            DbCommand::Update(command) => command.run(ctx).await,
            DbCommand::Status(command) => command.run(ctx),
            DbCommand::Import(command) => command.run(ctx),
            DbCommand::Export(command) => command.run(ctx),
            DbCommand::Rm(command) => command.run(ctx),
        }
    }
}
