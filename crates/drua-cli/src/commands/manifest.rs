//! `manifest …`: several images under one name, one for each platform.
//!
//! Docker keeps such lists in files of its CLI until they are pushed. Here a list is an image like any other: it can be
//! run (the right platform is chosen), listed, saved and pushed.

use drua_types::{ImageRef, Platform, exit};
use serde_json::Value;

use super::transfer::{Steps, show};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Manage multi-platform images
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  drua manifest create app:1 app:amd64 app:arm64 app:wasm
  drua manifest push app:1
  drua run --platform wasi/wasm app:1")]
pub(crate) struct Manifest {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Annotate(Annotate),
    Create(Create),
    Inspect(Inspect),
    Push(Push),
    Rm(Rm),
}

/// Change what a list says about one of its images
#[derive(Debug, clap::Args)]
struct Annotate {
    /// Set an annotation
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Set the architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Set the operating system
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// Set the variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// The list
    #[arg(value_name = "LIST")]
    list: ImageRef,
    /// The image in it: a name, or its digest
    #[arg(value_name = "IMAGE|DIGEST")]
    image: String,
}

/// Make one image of several, one for each platform
#[derive(Debug, clap::Args)]
struct Create {
    /// Add to the list that is there, instead of replacing it
    #[arg(short, long)]
    amend: bool,
    /// The list
    #[arg(value_name = "LIST")]
    list: ImageRef,
    /// The images, which must be here
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Show an image's manifest or list as it is in a registry
#[derive(Debug, clap::Args)]
struct Inspect {
    /// Show the descriptor, too
    #[arg(short, long)]
    verbose: bool,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// Push a list, and all of its images that are here
#[derive(Debug, clap::Args)]
struct Push {
    /// Remove the list from this machine after that
    #[arg(short, long)]
    purge: bool,
    /// The list
    #[arg(value_name = "LIST")]
    list: ImageRef,
}

/// Remove lists
#[derive(Debug, clap::Args)]
struct Rm {
    /// The lists
    #[arg(required = true, value_name = "LIST")]
    lists: Vec<String>,
}

impl Manifest {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            Command::Annotate(command) => command.run(ctx).await,
            Command::Create(command) => command.run(ctx).await,
            Command::Inspect(command) => command.run(ctx).await,
            Command::Push(command) => command.run(ctx).await,
            Command::Rm(command) => command.run(ctx).await,
        }
    }
}

impl Annotate {
    async fn run(self, ctx: &Context) -> Outcome {
        let platform = match (&self.os, &self.arch, &self.variant) {
            (None, None, None) => None,
            (os, Some(arch), variant) => {
                Some(Platform::new(os.as_deref().unwrap_or("linux"), arch, variant.as_deref()))
            }
            _ => return Err(Failure::message("a platform needs its architecture").hint("add `--arch`")),
        };
        let client = ctx.client().await?;
        let platform = platform.map(|platform| platform.to_string());
        client.manifest_annotate(&self.list, &self.image, platform.as_deref(), &self.annotation).await?;
        Ok(exit::OK)
    }
}

impl Create {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let list = self.list.familiar();
        let mut images = self.images;
        if self.amend && client.image_inspect(&list).await.is_ok() {
            images.insert(0, list.clone());
        }
        client.manifest_create(&self.list, &images).await?;
        ctx.ui.line(&format!("Created manifest list {}", self.list))?;
        Ok(exit::OK)
    }
}

impl Inspect {
    async fn run(self, ctx: &Context) -> Outcome {
        let answer: Value = ctx.client().await?.manifest_inspect(&self.image).await?;
        let shown = if self.verbose { &answer } else { &answer["Document"] };
        ctx.ui.line(&serde_json::to_string_pretty(shown).map_err(Failure::new)?)?;
        Ok(exit::OK)
    }
}

impl Push {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let failed = |error: anyhow::Error| {
            Failure::new(error.context(format!("cannot push manifest list `{}`", self.list.familiar())))
        };
        let repository = format!("{}/{}", self.list.domain(), self.list.path());
        let stream = client.image_push(&repository, Some(self.list.tag().unwrap_or("latest")), None).await;
        let pushed = show(ctx, stream.map_err(|error| failed(error.into()))?, Steps::Remarks).await;
        let pushed = pushed.map_err(|failure| failed(failure.error))?;
        if let Some(digest) = pushed {
            ctx.ui.line(&digest)?;
        }
        if self.purge {
            client.image_remove(&self.list.familiar(), false, true).await?;
        }
        Ok(exit::OK)
    }
}

impl Rm {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let mut code = exit::OK;
        for list in &self.lists {
            if let Err(error) = client.image_remove(list, false, true).await {
                code = exit::FAILURE;
                ctx.ui.failure(&error.into());
            }
        }
        Ok(code)
    }
}
