use drua_types::env::DOCKER_DEFAULT_PLATFORM;
use drua_types::{ImageRef, exit};

use super::transfer::{Steps, show};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::options::remote_image;

/// Download an image from a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua pull alpine:3.20
  drua pull --platform wasi/wasm localhost:5000/hello
  drua pull localhost:5000/app@sha256:…

Ctrl-C stops a pull; the next one goes on from there.")]
pub(crate) struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Platform, for example linux/amd64 or wasi/wasm
    #[arg(long, value_name = "OS/ARCH", env = DOCKER_DEFAULT_PLATFORM, hide_env = true)]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// Name of the image
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

impl Pull {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let image: ImageRef = self.name.parse()?;
        let untagged = !self.name.contains('@') && !self.name.rsplit('/').next().unwrap_or_default().contains(':');
        if self.all_tags && !untagged {
            return Err(Failure::message("tag can't be used with --all-tags/-a"));
        }
        if untagged && !self.all_tags && !self.quiet {
            ctx.ui.note("Using default tag: latest");
        }
        let client = ctx.client().await?;
        let (repository, tag) = remote_image(&image);
        let tag = (!self.all_tags).then_some(tag.as_str());
        let failed =
            |error: anyhow::Error| Failure::new(error.context(format!("cannot pull image `{}`", image.familiar())));
        let stream = client.image_pull(&repository, tag, self.platform.as_deref()).await;
        let stream = stream.map_err(|error| failed(error.into()))?;
        let steps = if self.quiet { Steps::Silent } else { Steps::Data };
        show(ctx, stream, steps).await.map_err(|failure| failed(failure.error))?;
        ctx.ui.line(&if self.all_tags { repository } else { image.to_string() })?;
        Ok(exit::OK)
    }
}
