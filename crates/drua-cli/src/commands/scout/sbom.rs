use std::path::PathBuf;

use drua_scout::{DocumentFormat, NoteKind, PackageKind, write_document};
use drua_types::env::SOURCE_DATE_EPOCH;
use drua_types::exit;

use super::source::{self, Scan, TargetArgs};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// List the packages of an image, a directory or a container (SBOM)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua sbom alpine:3.20
  drua sbom --format cyclonedx -o app.cdx.json app:1
  drua sbom fs://.                          a directory, lock files too
  drua sbom archive://image.tar             docker save, OCI layouts, root file systems
  drua sbom container://web                 what is in a container now
  drua sbom --format spdx sbom://app.cdx.json   another document, in another form

Layers that were scanned before are not read again; DRUA_SCOUT_CACHE says where that is kept.")]
pub(crate) struct Sbom {
    #[command(flatten)]
    target: TargetArgs,
    /// Form of the document: table, purls, cyclonedx (1.6), spdx (2.3), spdx3 (3.0), json (Syft's) or drua-json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: DocumentFormat,
    /// Show only packages of these types, for example deb,npm,wasm
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    only_package_type: Vec<PackageKind>,
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 2 when something could not be read and packages may be missing
    #[arg(short, long)]
    exit_code: bool,
    /// Only print errors
    #[arg(short, long)]
    quiet: bool,
}

impl Sbom {
    pub(crate) async fn run(self, ctx: &Context) -> Outcome {
        let started = std::time::Instant::now();
        let mut scan = source::scan(ctx, &self.target).await?;
        if !self.quiet {
            report(ctx, &scan, started.elapsed());
        }
        let is_incomplete = scan.sbom.notes.iter().any(|note| note.kind == NoteKind::Incomplete);
        if !self.only_package_type.is_empty() {
            scan.sbom.keep_packages(|package| self.only_package_type.contains(&package.kind));
        }
        let document = write_document(&scan.sbom, self.format, &created(&scan.sbom)?);
        match &self.output {
            Some(path) => fs_err::write(path, document)?,
            None => ctx.ui.data(document.as_bytes())?,
        }
        Ok(if self.exit_code && is_incomplete { exit::USAGE } else { exit::OK })
    }
}

/// One line about what was done, and what the reader has to know about the result.
pub(super) fn report(ctx: &Context, scan: &Scan, took: std::time::Duration) {
    let sbom = &scan.sbom;
    let paint = ctx.ui.paint();
    let layers = match (scan.layers.len(), scan.scanned) {
        (0, _) => String::new(),
        (1, 1) => " in 1 layer".to_owned(),
        (1, _) => " in 1 layer, known".to_owned(),
        (all, 0) => format!(" in {all} layers, all known"),
        (all, new) if all == new => format!(" in {all} layers"),
        (all, new) => format!(" in {all} layers, {new} of them new"),
    };
    let distro = sbom.distro.as_ref().map(|distro| format!(" on {}", distro.title())).unwrap_or_default();
    let seconds = took.as_secs_f64();
    ctx.ui.note(&format!("{} {} packages{layers}{distro} ({seconds:.2} s)", paint.green("✓"), sbom.packages.len()));
    for note in sbom.notes.iter().take(20) {
        let place = note.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        ctx.ui.warning(&format!("{place}{}", note.text));
    }
    if sbom.notes.len() > 20 {
        ctx.ui.warning(&format!("… and {} more; the document has them all", sbom.notes.len() - 20));
    }
}

/// The document's time: what `SOURCE_DATE_EPOCH` says, else the image's, so that the same input gives the same bytes.
pub(super) fn created(sbom: &drua_scout::Sbom) -> Result<String, Failure> {
    let time = match std::env::var(SOURCE_DATE_EPOCH) {
        Ok(seconds) => {
            seconds.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).ok_or_else(|| {
                Failure::message(format!("{SOURCE_DATE_EPOCH} is `{seconds}`: expected seconds since 1970"))
            })?
        }
        Err(_) => {
            sbom.target.created.as_ref().and_then(|time| time.parse().ok()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        }
    };
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
