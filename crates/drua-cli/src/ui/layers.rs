use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Printer;

/// Bars on stderr for layers on their way: one for each that moves, and one for all.
#[derive(Debug)]
pub(crate) struct LayerProgress {
    bars: MultiProgress,
    all: ProgressBar,
    moving: HashMap<String, ProgressBar>,
}

impl LayerProgress {
    /// Bars, where somebody watches.
    pub(crate) fn new(ui: &Printer) -> Option<Self> {
        if !ui.is_watched() {
            return None;
        }
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let all = bars.add(ProgressBar::new(0).with_style(style("{pos}/{len} layers {wide_bar} {elapsed}")));
        Some(Self { bars, all, moving: HashMap::new() })
    }

    /// There is one more layer.
    pub(crate) fn add(&self) {
        self.all.inc_length(1);
    }

    /// A layer has moved.
    pub(crate) fn amount(&mut self, id: &str, status: &str, current: u64, total: u64) {
        let bar = self.moving.entry(id.to_owned()).or_insert_with(|| {
            let style = style("{prefix} {msg:11} [{bar:30}] {bytes:>10}/{total_bytes} {bytes_per_sec}");
            let bar = ProgressBar::new(total).with_style(style).with_prefix(id.to_owned());
            self.bars.insert_before(&self.all, bar)
        });
        bar.set_message(status.to_owned());
        bar.set_length(total);
        bar.set_position(current);
    }

    /// A layer is done.
    pub(crate) fn done(&mut self, id: &str) {
        if let Some(bar) = self.moving.remove(id) {
            bar.finish_and_clear();
        }
        self.all.inc(1);
    }

    /// Takes the bars away.
    pub(crate) fn clear(&mut self) {
        self.moving.drain().for_each(|(_, bar)| bar.finish_and_clear());
        self.all.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}
