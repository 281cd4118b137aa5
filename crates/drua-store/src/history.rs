use drua_types::Digest;
use jiff::Timestamp;

use crate::{LookupError, Store};

/// One step in the making of an image, newest first in `docker history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image's id on the newest entry; Docker shows `<missing>` for the others.
    pub id: Option<Digest>,
    /// When the step was made.
    pub created: Option<Timestamp>,
    /// The command.
    pub created_by: String,
    /// The image's names on the newest entry, as people write them.
    pub tags: Vec<String>,
    /// Bytes of the layer's files, or of its blob while it is not unpacked; 0 for steps that made no layer.
    pub size: u64,
    /// What the author remarked.
    pub comment: String,
}

impl Store {
    /// How an image was made, newest step first. Layers that the configuration says nothing about have empty texts.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn history(
        &self,
        name: &str,
        platform: Option<&drua_types::Platform>,
    ) -> Result<Vec<HistoryEntry>, LookupError> {
        let image = self.get(name, platform)?;
        let mut layers = image.layers.iter();
        let mut entries = Vec::new();
        let blank = || HistoryEntry {
            id: None,
            created: None,
            created_by: String::new(),
            tags: Vec::new(),
            size: 0,
            comment: String::new(),
        };
        for step in image.config.history().iter().flatten() {
            let layer = if step.empty_layer() == Some(true) { None } else { layers.next() };
            entries.push(HistoryEntry {
                created: step.created().as_ref().and_then(|text| text.parse().ok()),
                created_by: step.created_by().clone().unwrap_or_default(),
                size: layer.map_or(0, |layer| self.shown_size(layer)),
                comment: step.comment().clone().unwrap_or_default(),
                ..blank()
            });
        }
        entries.extend(layers.map(|layer| HistoryEntry { size: self.shown_size(layer), ..blank() }));
        entries.reverse();
        if let Some(newest) = entries.first_mut() {
            newest.tags = image.names.iter().map(drua_types::ImageRef::familiar).collect();
            newest.id = Some(image.id);
        }
        Ok(entries)
    }

    fn shown_size(&self, layer: &crate::Layer) -> u64 {
        match self.unpacked_size(layer) {
            0 => layer.size,
            unpacked => unpacked,
        }
    }
}
