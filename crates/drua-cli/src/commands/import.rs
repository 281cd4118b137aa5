use std::io::{self, Read};

use drua_api::client::ImportOptions;
use drua_types::{ImageRef, exit};

use super::load::body;
use super::transfer::{Steps, show};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::options::remote_image;
use crate::ui::ByteProgress;

/// Import the contents from a tarball to create a filesystem image
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua import -c 'CMD [\"/bin/sh\"]' alpine-minirootfs.tar.gz alpine:3.20
  drua import https://example.com/rootfs.tar.xz base:1")]
pub(crate) struct Import {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Platform of the image
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Archive, its URL, or - for standard input
    #[arg(value_name = "FILE|URL|-")]
    source: String,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<ImageRef>,
}

impl Import {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let (repository, tag) = self.reference.as_ref().map(remote_image).unzip();
        let options = ImportOptions {
            repository,
            tag,
            message: self.message.clone(),
            changes: self.change.clone(),
            platform: self.platform.clone(),
        };
        let client = ctx.client().await?;
        if self.source.starts_with("http://") || self.source.starts_with("https://") {
            return show(ctx, client.image_import_url(&self.source, &options).await?, Steps::Data)
                .await
                .map(|_| exit::OK);
        }
        let (source, total): (Box<dyn Read + Send>, _) = match self.source.as_str() {
            "-" => (Box::new(io::stdin()), None),
            path => {
                let file = fs_err::File::open(path)?;
                let total = file.metadata()?.len();
                (Box::new(file), Some(total))
            }
        };
        let progress = ByteProgress::new(&ctx.ui, "importing", total);
        let result = client.image_import(body(source, progress.handle()), &options).await;
        progress.clear();
        let mut lines = result?;
        while let Some(line) = lines.next().await {
            let line = line?;
            if let Some(error) = line.error {
                return Err(Failure::message(error));
            }
            if let Some(status) = line.status {
                ctx.ui.line(&status)?;
            }
        }
        Ok(exit::OK)
    }
}
