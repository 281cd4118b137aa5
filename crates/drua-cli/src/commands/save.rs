use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use drua_api::client::ByteStream;
use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::ui::ByteProgress;

/// Save one or more images to a tar archive (streamed to standard output by default)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  drua save busybox redis -o images.tar")]
pub(crate) struct Save {
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Save only the given platform variant, for example linux/amd64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<drua_types::Platform>,
    /// Images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Save {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let platform = self.platform.as_ref().map(super::load::platform_json);
        let archive = ctx.client().await?.image_save(&self.images, platform.as_deref()).await?;
        write_archive(ctx, archive, self.output.as_deref(), "saving").await?;
        Ok(exit::OK)
    }
}

/// Writes an archive to a file or to stdout. A file appears under its name only when it is complete.
pub(super) async fn write_archive(
    ctx: &Context,
    archive: ByteStream,
    output: Option<&Path>,
    label: &str,
) -> Result<(), Failure> {
    let Some(path) = output else {
        if io::stdout().is_terminal() {
            return Err(Failure::message("cowardly refusing to save to a terminal")
                .hint("use the `-o` option or redirect the output"));
        }
        return copy(ctx, archive, label, |bytes| ctx.ui.data(bytes)).await;
    };
    // Devices and pipes cannot be replaced by a file.
    if fs_err::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let mut file = fs_err::OpenOptions::new().write(true).open(path)?;
        return copy(ctx, archive, label, |bytes| file.write_all(bytes)).await;
    }
    let mut name = path.file_name().context("the output has no file name")?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let result = write_part(ctx, archive, &part, label).await;
    match result {
        Ok(()) => Ok(fs_err::rename(&part, path)?),
        Err(failure) => {
            // What failed is reported; a leftover is not worth a second message.
            let _ = fs_err::remove_file(&part);
            Err(failure)
        }
    }
}

async fn write_part(ctx: &Context, archive: ByteStream, part: &Path, label: &str) -> Result<(), Failure> {
    let mut file = fs_err::File::create(part)?;
    copy(ctx, archive, label, |bytes| file.write_all(bytes)).await?;
    Ok(file.sync_all()?)
}

async fn copy(
    ctx: &Context,
    mut archive: ByteStream,
    label: &str,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Failure> {
    let progress = ByteProgress::new(&ctx.ui, label, None);
    while let Some(piece) = archive.next().await {
        let piece = piece?;
        write(&piece)?;
        progress.add(piece.len());
    }
    progress.clear();
    Ok(())
}
