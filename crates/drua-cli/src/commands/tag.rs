use drua_types::{ImageRef, exit};

use crate::context::Context;
use crate::failure::Outcome;
use crate::options::remote_image;

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    /// Image that exists
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// Its new name
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: ImageRef,
}

impl Tag {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let (repository, tag) = remote_image(&self.target);
        ctx.client().await?.image_tag(&self.source, &repository, Some(&tag)).await?;
        Ok(exit::OK)
    }
}
