use drua_types::{ImageRef, exit};

use super::load::platform_json;
use super::transfer::{Steps, show};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Upload an image to a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  drua tag app localhost:5000/app && drua push localhost:5000/app")]
pub(crate) struct Push {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Push a platform-specific manifest as a single-platform image
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<drua_types::Platform>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// Name of the image
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

impl Push {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let image: ImageRef = self.name.parse()?;
        let untagged = !self.name.rsplit('/').next().unwrap_or_default().contains(':');
        if self.all_tags && !untagged {
            return Err(Failure::message("tag can't be used with --all-tags/-a"));
        }
        if untagged && !self.all_tags && !self.quiet {
            ctx.ui.note("Using default tag: latest");
        }
        let client = ctx.client().await?;
        let repository = format!("{}/{}", image.domain(), image.path());
        let tag = if self.all_tags { None } else { Some(image.tag().unwrap_or("latest")) };
        let failed =
            |error: anyhow::Error| Failure::new(error.context(format!("cannot push image `{}`", image.familiar())));
        let platform = self.platform.map(|platform| platform_json(&platform));
        let stream = client.image_push(&repository, tag, platform.as_deref()).await;
        let stream = stream.map_err(|error| failed(error.into()))?;
        show(ctx, stream, if self.quiet { Steps::Silent } else { Steps::Data })
            .await
            .map_err(|failure| failed(failure.error))?;
        if self.quiet {
            ctx.ui.line(&image.to_string())?;
        }
        Ok(exit::OK)
    }
}
