use std::collections::BTreeMap;
use std::io;

use anyhow::Context as _;
use drua_types::{ImageRef, exit};
use serde_json::Value;

use super::import_wasm::{self, Shape, Source};
use super::load::{body, platform_json};
use super::transfer::{Steps, show};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Upload an image to a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua tag app localhost:5000/app && drua push localhost:5000/app
  drua push --as artifact localhost:5000/hello:1")]
pub(crate) struct Push {
    /// Make a WebAssembly image be of this shape first; it stays so here, too
    #[arg(long = "as", value_enum, value_name = "SHAPE", conflicts_with_all = ["all_tags", "platform"])]
    shape: Option<Shape>,
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
        if let Some(shape) = self.shape {
            reshape(ctx, &image, shape).await?;
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

/// Makes an image of the same module in the other shape, under the same name.
async fn reshape(ctx: &Context, image: &ImageRef, shape: Shape) -> Result<(), Failure> {
    let client = ctx.client().await?;
    let name = image.familiar();
    let document: Value = client.manifest_inspect(&name).await?;
    let is_artifact = document["Document"]["config"]["mediaType"] == "application/vnd.wasm.config.v0+json";
    if is_artifact == (shape == Shape::Artifact) {
        return Ok(());
    }
    let mut stream = client.image_module(&name).await?;
    let mut module = Vec::new();
    while let Some(piece) = stream.next().await {
        module.extend_from_slice(&piece?);
        if module.len() as u64 > import_wasm::MAX_BYTES {
            return Err(Failure::message(format!(
                "the module of `{name}` is larger than {} bytes",
                import_wasm::MAX_BYTES
            )));
        }
    }
    let facts = import_wasm::facts(&module)
        .map_err(|reason| Failure::message(format!("the module of `{name}` is no WebAssembly binary: {reason}")))?;
    let inspect: Value = serde_json::from_slice(&client.image_inspect_raw(&name, None).await?).map_err(Failure::new)?;
    let lost = lost(&inspect["Config"]);
    if shape == Shape::Artifact && !lost.is_empty() {
        ctx.ui.warning(&format!("an artifact has no {}: those of `{name}` are left out", lost.join(", ")));
    }
    let labels: BTreeMap<String, String> =
        serde_json::from_value(inspect["Config"]["Labels"].clone()).unwrap_or_default();
    // As old as the image that it is made of, so that the same image always becomes the same artifact.
    let created =
        inspect["Created"].as_str().filter(|text| !text.is_empty()).map_or_else(import_wasm::now, str::to_owned);
    let title = inspect["Config"]["Entrypoint"][0].as_str().and_then(|path| path.rsplit('/').next());
    let title = title.unwrap_or("module.wasm").to_owned();
    let archive =
        Source { module, facts, title, labels, created }.archive(shape, image).context("cannot make the image")?;
    let progress = crate::ui::ByteProgress::new(&ctx.ui, "loading", Some(archive.len() as u64));
    let loaded = client.image_load(body(io::Cursor::new(archive), progress.handle()), true, None).await;
    progress.clear();
    let mut lines = loaded?;
    while let Some(line) = lines.next().await {
        if let Some(error) = line?.error {
            return Err(Failure::message(error));
        }
    }
    Ok(())
}

/// What a configuration says that an artifact cannot.
fn lost(config: &Value) -> Vec<&'static str> {
    let has = |key: &str| config[key].as_array().is_some_and(|list| !list.is_empty());
    let mut lost = Vec::new();
    if has("Cmd") || config["Entrypoint"].as_array().is_some_and(|words| words.len() > 1) {
        lost.push("arguments");
    }
    if has("Env") {
        lost.push("environment");
    }
    if config["WorkingDir"].as_str().is_some_and(|dir| !matches!(dir, "" | "/")) {
        lost.push("working directory");
    }
    lost
}
