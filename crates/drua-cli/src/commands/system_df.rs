use std::fmt::Write as _;

use drua_api::models::{ContainerSummary, ContainerSummaryStateEnum, DiskUsage};
use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row};
use crate::ui::decimal_size;

/// Show disk usage
#[derive(Debug, clap::Args)]
pub(crate) struct Df {
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const LISTING: Listing = Listing {
    headings: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    default: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
};

impl Df {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref(), LISTING.default)?;
        let usage = ctx.client().await?.disk_usage().await?;
        ctx.ui.data(LISTING.render(&rows(&usage), &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}

/// What one kind of object uses.
struct Usage {
    kind: &'static str,
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
    /// Whether the reclaimable part is also given in percent.
    percent: bool,
}

impl Usage {
    fn row(&self) -> Row {
        let mut reclaimable = decimal_size(self.reclaimable, 4);
        if self.percent && self.size > 0 {
            let _ = write!(reclaimable, " ({}%)", self.reclaimable * 100 / self.size);
        }
        Row::new()
            .with("Type", self.kind)
            .with("TotalCount", self.total.to_string())
            .with("Active", self.active.to_string())
            .with("Size", decimal_size(self.size, 4))
            .with("Reclaimable", reclaimable)
    }
}

fn rows(usage: &DiskUsage) -> Vec<Row> {
    [images(usage), containers(usage), volumes(usage), build_cache(usage)].iter().map(Usage::row).collect()
}

fn images(usage: &DiskUsage) -> Usage {
    let images = usage.images.as_deref().unwrap_or_default();
    let used = images.iter().filter(|image| image.containers > 0);
    // An image whose shared part is not known cannot be said to hold anything alone.
    let held = used.clone().filter(|image| image.size != -1 && image.shared_size != -1);
    let held: i64 = held.map(|image| image.size - image.shared_size).sum();
    Usage {
        kind: "Images",
        total: images.len(),
        active: used.count(),
        size: usage.layers_size,
        reclaimable: usage.layers_size - held,
        percent: true,
    }
}

fn containers(usage: &DiskUsage) -> Usage {
    let containers = usage.containers.as_deref().unwrap_or_default();
    let active = |container: &&ContainerSummary| {
        use ContainerSummaryStateEnum::{PAUSED, RESTARTING, RUNNING};
        matches!(container.state, Some(RUNNING | PAUSED | RESTARTING))
    };
    let size = |containers: &mut dyn Iterator<Item = &ContainerSummary>| -> i64 {
        containers.map(|container| container.size_rw.unwrap_or_default()).sum()
    };
    Usage {
        kind: "Containers",
        total: containers.len(),
        active: containers.iter().filter(active).count(),
        size: size(&mut containers.iter()),
        reclaimable: size(&mut containers.iter().filter(|container| !active(container))),
        percent: true,
    }
}

fn volumes(usage: &DiskUsage) -> Usage {
    let volumes = usage.volumes.as_deref().unwrap_or_default();
    let usages = volumes.iter().filter_map(|volume| volume.usage_data.as_ref());
    let known = usages.clone().filter(|usage| usage.size != -1);
    Usage {
        kind: "Local Volumes",
        total: volumes.len(),
        active: usages.filter(|usage| usage.ref_count > 0).count(),
        size: known.clone().map(|usage| usage.size).sum(),
        reclaimable: known.filter(|usage| usage.ref_count == 0).map(|usage| usage.size).sum(),
        percent: true,
    }
}

fn build_cache(usage: &DiskUsage) -> Usage {
    let records = usage.build_cache.as_deref().unwrap_or_default();
    let unused = records.iter().filter(|record| record.in_use != Some(true) && record.shared != Some(true));
    Usage {
        kind: "Build Cache",
        total: records.len(),
        active: records.iter().filter(|record| record.in_use == Some(true)).count(),
        size: records.iter().map(|record| record.size.unwrap_or_default()).sum(),
        reclaimable: unused.map(|record| record.size.unwrap_or_default()).sum(),
        percent: false,
    }
}
