//! libcontainer says why something failed only in its log: its errors lose their causes on the way from the container's
//! init to us. So its error events in the child go through the report pipe. Nothing is written to the container's stdio.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::report::Reporter;

/// Sends error events of child processes to the creator, and drops everything else.
pub(super) struct ToCreator {
    pub(super) reporter: Arc<Reporter>,
    pub(super) creator: u32,
}

impl Subscriber for ToCreator {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // The creator gets its own errors as values.
        if std::process::id() == self.creator {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        self.reporter.diagnostic(text.finish());
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

/// Enough for any cause; a debug-printed mount table is not one.
const MAX_CHARS: usize = 500;

impl Text {
    fn finish(self) -> String {
        let text = if self.fields.is_empty() { self.message } else { format!("{}: {}", self.message, self.fields) };
        text.chars().take(MAX_CHARS).collect()
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        if !self.fields.is_empty() {
            self.fields.push_str(", ");
        }
        let _ = match field.name() {
            "err" | "error" => write!(self.fields, "{value:?}"),
            name => write!(self.fields, "{name} {value:?}"),
        };
    }
}
