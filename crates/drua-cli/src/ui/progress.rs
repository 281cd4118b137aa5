use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Printer;

/// A progress bar over bytes on stderr; nothing when nobody watches.
#[derive(Debug)]
pub(crate) struct ByteProgress(ProgressBar);

impl ByteProgress {
    /// A bar towards `total` bytes, or a spinner when the total is not known.
    pub(crate) fn new(ui: &Printer, label: &str, total: Option<u64>) -> Self {
        if !ui.is_watched() {
            return Self(ProgressBar::hidden());
        }
        let template = match total {
            Some(_) => "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec}",
            None => "{msg} {spinner} {bytes} {bytes_per_sec}",
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are well formed");
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
        bar.set_message(label.to_owned());
        Self(bar)
    }

    /// Counts bytes that are done.
    pub(crate) fn add(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }

    /// A handle that counts from elsewhere.
    pub(crate) fn handle(&self) -> Self {
        Self(self.0.clone())
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
