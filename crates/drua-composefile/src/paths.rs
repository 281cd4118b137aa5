//! Relative paths in a node tree become absolute, each relative to the folder of its own file, before trees are merged.

use std::path::{Path, PathBuf};

use crate::decode::clean;
use crate::yaml::{Entry, Kind, Node, Scalar, Value};

/// What paths are relative to.
pub(crate) struct Base<'a> {
    pub(crate) folder: &'a Path,
    /// What `~` stands for.
    pub(crate) home: Option<&'a str>,
}

impl Base<'_> {
    /// Makes a path absolute: `~` is the home folder. Does not look at the disk; `.` and `..` are resolved as text, as Docker
    /// Compose does.
    pub(crate) fn absolute(&self, path: &str) -> PathBuf {
        let joined = match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                PathBuf::from(format!("{home}{rest}"))
            }
            _ => self.folder.join(path),
        };
        clean(&joined)
    }

    fn text(&self, text: &mut String) {
        if !text.is_empty() {
            *text = self.absolute(text).to_string_lossy().into_owned();
        }
    }

    fn scalar(&self, node: Option<&mut Node>) {
        if let Some(Value::Scalar(Scalar { text, kind: Kind::Text })) = node.map(|node| &mut node.value) {
            self.text(text);
        }
    }

    fn context(&self, node: &mut Node) {
        if let Value::Scalar(Scalar { text, kind: Kind::Text }) = &mut node.value
            && !is_remote(text)
        {
            self.text(text);
        }
    }

    /// The value of a `K=V` text, or of a mapping's entry.
    fn value_of(&self, pair: &mut Node, remote: bool) {
        if let Value::Scalar(Scalar { text, kind: Kind::Text }) = &mut pair.value
            && let Some((key, value)) = text.split_once('=')
            && !(remote && is_remote(value))
        {
            *text = format!("{key}={}", self.absolute(value).to_string_lossy());
        }
    }

    /// Makes every path of a tree absolute.
    pub(crate) fn resolve(&self, root: &mut Node) {
        for service in below(root, "services") {
            self.service(&mut service.value);
        }
        for key in ["configs", "secrets"] {
            for entry in below(root, key) {
                self.scalar(entry.value.get_mut("file"));
            }
        }
        for volume in below(root, "volumes") {
            self.volume(&mut volume.value);
        }
    }

    /// Makes every path of one service absolute.
    pub(crate) fn service(&self, service: &mut Node) {
        if let Some(build) = service.get_mut("build") {
            self.build(build);
        }
        for key in ["env_file", "label_file"] {
            match service.get_mut(key).map(|node| &mut node.value) {
                Some(Value::Sequence(items)) => {
                    for item in items {
                        if item.entries().is_some() {
                            self.scalar(item.get_mut("path"));
                        } else {
                            self.scalar(Some(item));
                        }
                    }
                }
                Some(Value::Scalar(Scalar { text, kind: Kind::Text })) => self.text(text),
                Some(_) | None => {}
            }
        }
        for key in ["develop", "x-develop"] {
            let rules = service.get_mut(key).and_then(|develop| develop.get_mut("watch")).and_then(Node::items_mut);
            for rule in rules.into_iter().flatten() {
                self.scalar(rule.get_mut("path"));
            }
        }
        for mount in service.get_mut("volumes").and_then(Node::items_mut).into_iter().flatten() {
            self.mount(mount);
        }
        if let Some(extends) = service.get_mut("extends") {
            self.scalar(extends.get_mut("file"));
        }
    }

    fn build(&self, build: &mut Node) {
        if build.entries().is_none() {
            self.context(build);
            return;
        }
        if let Some(context) = build.get_mut("context") {
            self.context(context);
        }
        for (key, remote) in [("additional_contexts", true), ("ssh", false)] {
            match build.get_mut(key).map(|node| &mut node.value) {
                Some(Value::Mapping(entries)) => {
                    for entry in entries {
                        if remote { self.context(&mut entry.value) } else { self.scalar(Some(&mut entry.value)) }
                    }
                }
                Some(Value::Sequence(items)) => items.iter_mut().for_each(|item| self.value_of(item, remote)),
                Some(Value::Scalar(_)) | None => {}
            }
        }
    }

    fn mount(&self, mount: &mut Node) {
        if mount.entries().is_some() {
            if mount.get("type").and_then(Node::as_text) == Some("bind") {
                self.scalar(mount.get_mut("source"));
            }
            return;
        }
        if let Value::Scalar(Scalar { text, kind: Kind::Text }) = &mut mount.value
            && let Some((source, rest)) = text.split_once(':')
            && source.starts_with(['.', '/', '~'])
        {
            *text = format!("{}:{rest}", self.absolute(source).to_string_lossy());
        }
    }

    /// A volume that is a bind mount of the `local` driver.
    fn volume(&self, volume: &mut Node) {
        let is_local = volume.get("driver").and_then(Node::as_text).is_none_or(|driver| driver == "local");
        let Some(options) = volume.get_mut("driver_opts").filter(|_| is_local) else { return };
        let binds =
            options.get("o").and_then(Node::as_text).is_some_and(|o| o.split(',').any(|o| o == "bind" || o == "rbind"));
        if binds {
            self.scalar(options.get_mut("device"));
        }
    }
}

fn below<'n>(root: &'n mut Node, key: &str) -> impl Iterator<Item = &'n mut Entry> {
    root.get_mut(key).and_then(Node::entries_mut).into_iter().flatten()
}

/// Whether a build context is somewhere else than on the disk.
pub fn is_remote(context: &str) -> bool {
    context.contains("://")
        || context.starts_with("service:")
        || ["git@", "github.com/", "gitlab.com/"].iter().any(|prefix| context.starts_with(prefix))
}
