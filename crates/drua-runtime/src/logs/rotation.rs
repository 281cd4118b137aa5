//! When to rotate, and which renames that takes.

use std::path::{Path, PathBuf};

/// Limits of a container's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Rotate before a file grows beyond this many bytes; `None` never rotates.
    pub max_size: Option<u64>,
    /// Number of files kept, the current one included; at least 1.
    pub max_files: u32,
}

impl Default for Rotation {
    /// 5 files of 20 MiB: unlike Docker's json-file, a log never fills the disk unasked.
    fn default() -> Self {
        Self { max_size: Some(20 << 20), max_files: 5 }
    }
}

/// What rotating does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Remove(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
}

impl Rotation {
    /// Whether a file of `size` bytes has no room for `incoming` more. An empty file always has.
    pub fn is_due(&self, size: u64, incoming: u64) -> bool {
        self.max_size.is_some_and(|max| size > 0 && size.saturating_add(incoming) > max)
    }

    /// The steps of one rotation, in order; a missing file is no failure. Afterwards `base` does not exist.
    pub(super) fn steps(&self, base: &Path) -> Vec<Step> {
        let oldest = self.max_files.max(1) - 1;
        let mut steps = vec![Step::Remove(rotated_path(base, oldest))];
        for index in (0..oldest).rev() {
            steps.push(Step::Rename { from: rotated_path(base, index), to: rotated_path(base, index + 1) });
        }
        steps
    }
}

/// The name of the file that was rotated `index` times: `json.log`, `json.log.1`, `json.log.2` …
pub fn rotated_path(base: &Path, index: u32) -> PathBuf {
    if index == 0 {
        return base.to_owned();
    }
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{index}"));
    PathBuf::from(name)
}
