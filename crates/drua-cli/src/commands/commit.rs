use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;

/// Make an image of what a container has changed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  drua commit -m 'with curl' -c 'CMD [\"curl\"]' box my/curl:1")]
pub(crate) struct Commit {
    /// Author, for example \"Ada <ada@example.com>\"
    #[arg(short, long, value_name = "NAME", default_value = "")]
    author: String,
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Message
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// Do not pause the container meanwhile
    #[arg(long)]
    no_pause: bool,
    /// Container: name, id, or the beginning of an id
    container: String,
    /// Name of the image: repository[:tag]
    image: Option<String>,
}

impl Commit {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let options = drua_api::client::CommitOptions {
            image: self.image,
            author: self.author,
            comment: self.message,
            changes: self.change,
            pause: !self.no_pause,
        };
        let id = ctx.client().await?.container_commit(&self.container, &options).await?;
        ctx.ui.line(&id)?;
        Ok(exit::OK)
    }
}
