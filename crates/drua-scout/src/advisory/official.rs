//! Docker's official images: `library/<name>` files, paragraphs that list tags which are one image.

use serde::{Deserialize, Serialize};

use super::segment::SegmentBuilder;

/// Tags of one image: aliases of each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TagGroup {
    /// `3.13.7-slim-trixie`, `3.13-slim-trixie`, …
    #[serde(rename = "t")]
    pub tags: Vec<String>,
    /// Tags shared with images of other platforms.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// `amd64`, `arm64v8`, … as the list spells them.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// Directory in the image's repository, which tells the variant.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub directory: String,
}

pub(super) fn is(text: &str) -> bool {
    let has = |field: &str| text.lines().any(|line| line.starts_with(field));
    has("Maintainers:") && has("Tags:")
}

/// Adds an image's tags; `name` is the file's.
pub(super) fn add(name: &str, text: &str, builder: &mut SegmentBuilder) {
    let mut groups = Vec::new();
    let mut defaults = TagGroup::default();
    for paragraph in text.split("\n\n") {
        let mut group = TagGroup { architectures: defaults.architectures.clone(), ..TagGroup::default() };
        for line in unfolded(paragraph) {
            let Some((field, value)) = line.split_once(':') else { continue };
            let list = || value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
            match field.trim() {
                "Tags" => group.tags = list(),
                "SharedTags" => group.shared = list(),
                "Architectures" => group.architectures = list(),
                "Directory" => group.directory = value.trim().to_owned(),
                _ => {}
            }
        }
        if group.tags.is_empty() {
            // The first paragraph: what holds for all.
            defaults = group;
        } else {
            groups.push(group);
        }
    }
    builder.images(name, groups);
}

/// Lines, with those that continue one joined to it, without comments.
fn unfolded(paragraph: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}
