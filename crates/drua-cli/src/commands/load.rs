use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;

use drua_api::client::RequestBody;
use drua_types::exit;
use futures_util::StreamExt as _;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::session::{archive_layout, channel_stream, read_in_background};
use crate::ui::ByteProgress;

/// Load an image from a tar archive or standard input
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua load -i busybox.tar
  drua load -i ./oci-layout
  skopeo copy docker://busybox docker-archive:/dev/stdout | drua load")]
pub(crate) struct Load {
    /// Read from a tar archive file or an OCI layout's directory, instead of standard input
    #[arg(short, long, value_name = "FILE|DIR")]
    input: Option<PathBuf>,
    /// Load only the given platform variant, for example linux/amd64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<drua_types::Platform>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

impl Load {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let (source, total): (Box<dyn Read + Send>, _) = match &self.input {
            Some(path) if path.is_dir() => (Box::new(archive_layout(path)?), None),
            Some(path) => {
                let file = fs_err::File::open(path)?;
                let total = file.metadata()?.len();
                (Box::new(file), Some(total))
            }
            None if io::stdin().is_terminal() => {
                return Err(Failure::message("requested load from stdin, but stdin is empty")
                    .hint("name an archive: `drua load -i images.tar`"));
            }
            None => (Box::new(io::stdin()), None),
        };
        load_archive(ctx, source, total, self.quiet, self.platform.as_ref()).await?;
        Ok(exit::OK)
    }
}

/// Sends an archive to the daemon and prints what it loaded.
pub(super) async fn load_archive(
    ctx: &Context,
    source: impl Read + Send + 'static,
    total: Option<u64>,
    quiet: bool,
    platform: Option<&drua_types::Platform>,
) -> Result<(), Failure> {
    let client = ctx.client().await?;
    let progress = ByteProgress::new(&ctx.ui, "loading", total);
    let body = body(source, progress.handle());
    let platform = platform.map(platform_json);
    let result = client.image_load(body, quiet, platform.as_deref()).await;
    progress.clear();
    let mut lines = result?;
    while let Some(line) = lines.next().await {
        let line = line?;
        if let Some(error) = line.error {
            return Err(Failure::message(error));
        }
        if let Some(text) = line.stream {
            ctx.ui.data(text.as_bytes())?;
        }
    }
    Ok(())
}

/// An archive as a request's body, counted while it is sent.
pub(super) fn body(source: impl Read + Send + 'static, progress: ByteProgress) -> RequestBody {
    let chunks = channel_stream(read_in_background(source));
    RequestBody::from_stream(chunks.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            progress.add(chunk.len());
        }
    }))
}

/// The form in which the API takes a platform here: an OCI platform as JSON.
pub(super) fn platform_json(platform: &drua_types::Platform) -> String {
    let mut json = serde_json::json!({ "os": platform.os(), "architecture": platform.architecture() });
    if let Some(variant) = platform.variant() {
        json["variant"] = variant.into();
    }
    json.to_string()
}
