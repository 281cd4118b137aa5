//! What pulls and pushes have in common: their progress, on its way to the reader.

use drua_api::client::JsonStream;
use drua_api::models::Progress;

use crate::context::Context;
use crate::failure::Failure;
use crate::ui::LayerProgress;

/// Where the steps go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    /// To stdout, as `docker pull` and `docker push` do.
    Data,
    /// To stderr, beside what the command is really for.
    Remarks,
    /// Nowhere.
    Silent,
}

/// Shows a transfer until its end. Somebody who watches sees bars and the results; a file gets a line for each step.
/// Returns the digest of what was pushed.
///
/// # Errors
/// What the daemon reports, or that the stream broke.
pub(super) async fn show(
    ctx: &Context,
    mut stream: JsonStream<Progress>,
    steps: Steps,
) -> Result<Option<String>, Failure> {
    let mut bars = if steps == Steps::Silent { None } else { LayerProgress::new(&ctx.ui) };
    let outcome = follow(ctx, &mut stream, steps, &mut bars).await;
    if let Some(bars) = &mut bars {
        bars.clear();
    }
    outcome
}

async fn follow(
    ctx: &Context,
    stream: &mut JsonStream<Progress>,
    steps: Steps,
    bars: &mut Option<LayerProgress>,
) -> Result<Option<String>, Failure> {
    let mut pushed = None;
    while let Some(line) = stream.next().await {
        let line = line?;
        if let Some(error) = line.error {
            return Err(Failure::message(error));
        }
        if line.aux.as_ref().is_some_and(|aux| aux["manifestPushedInsteadOfIndex"] == true) {
            let digest =
                line.aux.as_ref().and_then(|aux| aux["selectedManifest"]["digest"].as_str()).unwrap_or_default();
            ctx.ui.warning(&format!(
                "only one platform of the image is here, so its manifest alone was pushed: {digest}"
            ));
        }
        if let Some(digest) = line.aux.as_ref().and_then(|aux| aux["Digest"].as_str()) {
            pushed = Some(digest.to_owned());
        }
        let Some(status) = line.status else { continue };
        let amount = line.progress_detail.and_then(|detail| Some((detail.current?, detail.total.unwrap_or(0))));
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        match (&line.id, amount, bars.as_mut()) {
            (Some(id), Some((current, total)), Some(bars)) => {
                bars.amount(id, &status, unsigned(current), unsigned(total));
            }
            // Amounts would fill a file.
            (_, Some(_), None) => {}
            (Some(id), None, Some(bars)) if line.progress_detail.is_some() => match status.as_str() {
                "Pulling fs layer" | "Preparing" => bars.add(),
                "Already exists" => {
                    bars.add();
                    bars.done(id);
                }
                "Pull complete" | "Pushed" | "Layer already exists" => bars.done(id),
                mounted if mounted.starts_with("Mounted from") => bars.done(id),
                _ => {}
            },
            (id, ..) => {
                let text = id.as_ref().map_or_else(|| status.clone(), |id| format!("{id}: {status}"));
                match steps {
                    Steps::Data => ctx.ui.line(&text)?,
                    Steps::Remarks => ctx.ui.note(&text),
                    Steps::Silent => {}
                }
            }
        }
    }
    Ok(pushed)
}
