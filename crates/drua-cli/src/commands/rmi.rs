use drua_types::exit;

use super::load::platform_json;
use crate::context::Context;
use crate::failure::Outcome;

/// Remove one or more images
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua rmi app:1
  drua rmi --platform linux/arm64 app:1")]
pub(crate) struct Rmi {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    /// Remove only this platform of the images; repeatable
    #[arg(long, value_name = "OS/ARCH")]
    platform: Vec<drua_types::Platform>,
    /// Images: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Rmi {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let mut code = exit::OK;
        for image in &self.images {
            let platforms: Vec<String> = self.platform.iter().map(platform_json).collect();
            let removed = match platforms.is_empty() {
                true => client.image_remove(image, self.force, !self.no_prune).await,
                false => client.image_remove_platforms(image, &platforms, self.force).await,
            };
            match removed {
                Ok(removed) => {
                    for item in removed {
                        if let Some(name) = item.untagged.filter(|name| !name.is_empty()) {
                            ctx.ui.line(&format!("Untagged: {name}"))?;
                        }
                        if let Some(id) = item.deleted.filter(|id| !id.is_empty()) {
                            ctx.ui.line(&format!("Deleted: {id}"))?;
                        }
                    }
                }
                Err(error) => {
                    if !(self.force && error.is_not_found()) {
                        code = exit::FAILURE;
                    }
                    ctx.ui.failure(&error.into());
                }
            }
        }
        Ok(code)
    }
}
