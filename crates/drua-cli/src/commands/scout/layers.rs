use drua_scout::{ImageLayers, LayerReport, PackageChange, layer_reports};
use drua_types::exit;

use super::sbom::report;
use super::source::{self, TargetArgs};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::ui::{Paint, decimal_size, ellipsis};

/// Show what each layer of an image brought, changed, removed and wasted
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout layers app:1
  drua scout layers --packages app:1        every package, not just how many
  drua scout layers --exit-code app:1       2 when a layer holds a credential")]
pub(crate) struct Layers {
    #[command(flatten)]
    target: TargetArgs,
    /// Form of the report: table or json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Name every package that a layer added, upgraded or removed
    #[arg(long)]
    packages: bool,
    /// Exit with 2 when a layer holds what looks like a credential
    #[arg(short, long)]
    exit_code: bool,
}

impl Layers {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let started = std::time::Instant::now();
        let scan = source::scan(ctx, &self.target).await?;
        if scan.layers.is_empty() {
            return Err(Failure::message("a document of another tool has no layers").hint("name the image itself"));
        }
        report(ctx, &scan, started.elapsed());
        let image = layer_reports(&scan.layers, &scan.listings);
        if self.format == "json" {
            ctx.ui.line(&serde_json::to_string_pretty(&image)?)?;
        } else {
            ctx.ui.data(table(&image, self.packages, Paint::for_stdout()).as_bytes())?;
        }
        let has_secret = image.layers.iter().any(|layer| !layer.secrets.is_empty());
        Ok(if self.exit_code && has_secret { exit::USAGE } else { exit::OK })
    }
}

fn table(image: &ImageLayers, with_packages: bool, paint: Paint) -> String {
    let mut text = String::new();
    for (number, layer) in image.layers.iter().enumerate() {
        text.push_str(&head(number, layer, paint));
        for line in body(layer, with_packages, paint) {
            text.push_str(&format!("     {line}\n"));
        }
    }
    let (total, wasted) = (size(image.total_bytes), size(image.wasted_bytes));
    text.push_str(&format!(
        "\n{total} in {} layers, {wasted} wasted: {} % is seen\n",
        image.layers.len(),
        image.efficiency_pct
    ));
    if !image.wasted_files.is_empty() {
        text.push_str("\nLargest files that are shipped and never seen:\n");
    }
    for file in &image.wasted_files {
        text.push_str(&format!("  {:>9}  {}x  {}\n", size(file.bytes), file.copies, file.path));
    }
    text
}

fn head(number: usize, report: &LayerReport, paint: Paint) -> String {
    let layer = &report.layer;
    let instruction =
        if layer.created_by.is_empty() { "(instruction unknown)".to_owned() } else { instruction(&layer.created_by) };
    let line = layer.dockerfile_line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let id = layer.diff_id.strip_prefix("sha256:").and_then(|hex| hex.get(..12)).unwrap_or("-");
    format!("{number:>3}  {:>9}  {}  {}{line}\n", size(layer.size), paint.cyan(id), ellipsis(&instruction, 100))
}

/// `/bin/sh -c #(nop)  CMD ["sh"]` → `CMD ["sh"]`; `/bin/sh -c apt-get update` → `RUN apt-get update`.
fn instruction(created_by: &str) -> String {
    let text = created_by.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_suffix("# buildkit").unwrap_or(&text).trim_end();
    match (text.split_once("#(nop) "), text.strip_prefix("RUN /bin/sh -c "), text.strip_prefix("/bin/sh -c ")) {
        (Some((_, rest)), _, _) => rest.to_owned(),
        (None, Some(rest), _) | (None, None, Some(rest)) => format!("RUN {rest}"),
        (None, None, None) => text.to_owned(),
    }
}

fn body(report: &LayerReport, with_packages: bool, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let counts = [(report.files_added, "added"), (report.files_changed, "changed"), (report.files_removed, "removed")];
    let files: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if !files.is_empty() {
        lines.push(format!("files: {}", files.join(", ")));
    }
    let lists = [
        (&report.packages_added, "added", "+"),
        (&report.packages_upgraded, "upgraded", "~"),
        (&report.packages_removed, "removed", "-"),
    ];
    let counts: Vec<String> = lists
        .iter()
        .filter(|(list, _, _)| !list.is_empty())
        .map(|(list, word, _)| format!("{} {word}", list.len()))
        .collect();
    if !counts.is_empty() {
        lines.push(format!("packages: {}", counts.join(", ")));
    }
    for (list, _, mark) in lists {
        // A handful tells more than a number does.
        if with_packages || list.len() <= 5 {
            lines.extend(list.iter().map(|change| format!("  {mark} {}", package(change))));
        }
    }
    if report.wasted_bytes > 0 {
        lines.push(paint.yellow(&format!("wasted: {}", size(report.wasted_bytes))));
    }
    for secret in &report.secrets {
        let hidden = secret
            .hidden_by
            .map(|layer| format!("; layer {layer} hides it, the image still has it"))
            .unwrap_or_default();
        lines.push(paint.red(&format!("secret: {}:{} ({}){hidden}", secret.path, secret.line, secret.rule)));
    }
    lines
}

fn package(change: &PackageChange) -> String {
    let PackageChange { kind, name, from, to } = change;
    match (from, to) {
        (Some(from), Some(to)) => format!("{name} {from} → {to} ({kind})"),
        (from, to) => format!("{name} {} ({kind})", from.as_ref().or(to.as_ref()).map_or("", String::as_str)),
    }
}

fn size(bytes: u64) -> String {
    decimal_size(i64::try_from(bytes).unwrap_or(i64::MAX), 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_read_like_dockerfiles() {
        for (created_by, expected) in [
            ("/bin/sh -c #(nop)  CMD [\"bash\"]", "CMD [\"bash\"]"),
            ("/bin/sh -c apt-get   update", "RUN apt-get update"),
            ("RUN /bin/sh -c make # buildkit", "RUN make"),
            ("COPY a b # buildkit", "COPY a b"),
            ("# debian.sh --arch 'amd64'", "# debian.sh --arch 'amd64'"),
        ] {
            assert_eq!(instruction(created_by).trim(), expected);
        }
    }
}
