//! How a WebAssembly image or file is recognised, from given data alone.
//!
//! [`detect`] applies rules 1–4 of the recognition order (explicit runtime, media types, platform, annotations and
//! labels); [`Magic`] is rule 5, the entrypoint's first bytes. Nothing here reads a file or knows an engine, so that the
//! daemon can decide without linking one.

use crate::{Flavor, Platform};

/// What a WebAssembly module looks like among image layers.
pub mod media_type {
    /// CNCF TAG-runtime's Wasm artifact: the configuration.
    pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
    /// A module or component as one layer (CNCF artifact, runwasi).
    pub const WASM_LAYER: &str = "application/wasm";
    /// A component as one layer (runwasi).
    pub const COMPONENT_LAYER: &str = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
    /// A module as one layer (Spin, wasm-to-oci).
    pub const CONTENT_LAYER: &str = "application/vnd.wasm.content.layer.v1+wasm";
    /// One static file of a Spin application.
    pub const SPIN_DATA_LAYER: &str = "application/vnd.wasm.content.layer.v1+data";
    /// An archive of static files of a Spin application.
    pub const SPIN_BUNDLE_LAYER: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
    /// Spin's locked application, as a layer or, in old images, as the configuration.
    pub const SPIN_CONFIG: &str = "application/vnd.fermyon.spin.application.v1+config";
}

/// Image label by which Spin's own images can be told from others of platform `wasip1/wasm`.
const SPIN_LABEL: &str = "com.fermyon.spin.lockedAppDigest";
/// crun's and podman's way to ask for a Wasm handler.
const CRUN_HANDLER: &str = "run.oci.handler";
/// Buildah's and podman's way to mark an image.
const VARIANT: &str = "module.wasm.image/variant";

/// What is known of an image before any of its files is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImageFacts<'a> {
    /// The flavor that an explicit `--runtime` names (see [`Flavor::from_runtime`]).
    pub runtime: Option<Flavor>,
    /// Media type of the image configuration.
    pub config_media_type: Option<&'a str>,
    /// Media types of the layers, in order.
    pub layer_media_types: &'a [&'a str],
    /// The image's platform.
    pub platform: Option<&'a Platform>,
    /// Annotations of manifest and container, as pairs.
    pub annotations: &'a [(&'a str, &'a str)],
    /// Labels of image and container, as pairs.
    pub labels: &'a [(&'a str, &'a str)],
    /// The first word of the command, which the `-smart` annotations look at.
    pub entrypoint: Option<&'a str>,
}

/// Which flavor an image asks for by rules 1–4, or `None` when only its entrypoint's bytes can tell.
///
/// A flavor does not yet mean that the container runs WebAssembly: an ELF file or a script in such an image runs as a
/// Linux process (rule 5, [`Magic`]).
pub fn detect(facts: &ImageFacts<'_>) -> Option<Flavor> {
    facts.runtime.or_else(|| by_media_type(facts)).or_else(|| by_platform(facts)).or_else(|| by_annotation(facts))
}

/// Whether a layer of this media type is a module or component itself rather than an archive of files.
pub fn is_module_layer(media_type: &str) -> bool {
    matches!(media_type, media_type::WASM_LAYER | media_type::COMPONENT_LAYER | media_type::CONTENT_LAYER)
}

fn by_media_type(facts: &ImageFacts<'_>) -> Option<Flavor> {
    let mut types = facts.layer_media_types.iter().copied().chain(facts.config_media_type);
    let spin = |media_type: &str| {
        matches!(media_type, media_type::SPIN_CONFIG | media_type::SPIN_DATA_LAYER | media_type::SPIN_BUNDLE_LAYER)
    };
    if types.clone().any(spin) {
        return Some(Flavor::Spin);
    }
    types
        .any(|media_type| media_type == media_type::WASM_CONFIG || is_module_layer(media_type))
        .then(|| facts.generic())
}

fn by_platform(facts: &ImageFacts<'_>) -> Option<Flavor> {
    facts.platform.is_some_and(Platform::is_wasm).then(|| facts.generic())
}

fn by_annotation(facts: &ImageFacts<'_>) -> Option<Flavor> {
    let names_module = || facts.entrypoint.is_some_and(|path| path.ends_with(".wasm") || path.ends_with(".wat"));
    let mut pairs = facts.annotations.iter().chain(facts.labels);
    pairs.find_map(|&(key, value)| match (key, value) {
        (CRUN_HANDLER, "wasmedge") => Some(Flavor::WasmEdge),
        (CRUN_HANDLER, "wasm" | "wasmtime" | "wasmer") | (VARIANT, "compat") => Some(Flavor::Wasmtime),
        (CRUN_HANDLER, "wasm-smart") | (VARIANT, "compat-smart") => names_module().then_some(Flavor::Wasmtime),
        (SPIN_LABEL, _) => Some(Flavor::Spin),
        _ => None,
    })
}

impl ImageFacts<'_> {
    /// The flavor of an image that says only that it is WebAssembly.
    fn generic(&self) -> Flavor {
        let spin = self.labels.iter().any(|&(key, _)| key == SPIN_LABEL);
        if spin { Flavor::Spin } else { Flavor::Wasmtime }
    }
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Magic {
    /// A core WebAssembly module (`\0asm`, version 1, layer 0).
    Module,
    /// A WebAssembly component (`\0asm`, layer 1).
    Component,
    /// WebAssembly text: `(module` or `(component`. Only an explicit [`Flavor`] makes it more than a text file.
    Text,
    /// A Linux program.
    Elf,
    /// A script with `#!`.
    Script,
    /// None of these.
    Other,
}

impl Magic {
    /// How many bytes of the file [`Magic::of`] wants; fewer are fine when the file is shorter.
    pub const LENGTH: usize = 64;

    /// Looks at the first bytes of a file.
    ///
    /// `\0asm` with fewer than eight bytes or an unknown version counts as a module, so that the user hears from the
    /// compiler what is wrong with it instead of `exec format error`.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0, b'a', b's', b'm', _, _, 1, 0, ..] => Self::Component,
            [0, b'a', b's', b'm', ..] => Self::Module,
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [b'#', b'!', ..] => Self::Script,
            other if is_text(other) => Self::Text,
            _ => Self::Other,
        }
    }

    /// Whether the file is binary WebAssembly.
    pub fn is_wasm(self) -> bool {
        matches!(self, Self::Module | Self::Component)
    }
}

fn is_text(first: &[u8]) -> bool {
    let text = first.trim_ascii_start();
    text.starts_with(b"(module") || text.starts_with(b"(component")
}

/// Splits an entrypoint `path[#function]` at its first `#`, as runwasi does.
pub fn split_entrypoint(entrypoint: &str) -> (&str, Option<&str>) {
    match entrypoint.split_once('#') {
        Some((path, function)) if !function.is_empty() => (path, Some(function)),
        Some((path, _)) => (path, None),
        None => (entrypoint, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(facts: &ImageFacts<'_>, expect: Option<Flavor>) {
        assert_eq!(detect(facts), expect, "{facts:?}");
    }

    #[test]
    fn the_first_rule_that_speaks_wins() {
        let wasi = Platform::wasi();
        let plain = ImageFacts::default();
        check(&plain, None);
        check(&ImageFacts { runtime: Some(Flavor::WasmEdge), platform: Some(&wasi), ..plain }, Some(Flavor::WasmEdge));
        check(&ImageFacts { platform: Some(&wasi), ..plain }, Some(Flavor::Wasmtime));
        check(&ImageFacts { platform: Some(&Platform::host()), ..plain }, None);
    }

    #[test]
    fn media_types_tell_spin_from_the_rest() {
        let plain = ImageFacts::default();
        check(&ImageFacts { layer_media_types: &["application/wasm"], ..plain }, Some(Flavor::Wasmtime));
        check(&ImageFacts { config_media_type: Some(media_type::WASM_CONFIG), ..plain }, Some(Flavor::Wasmtime));
        let layers = [media_type::CONTENT_LAYER, media_type::SPIN_CONFIG];
        check(&ImageFacts { layer_media_types: &layers, ..plain }, Some(Flavor::Spin));
        check(&ImageFacts { layer_media_types: &layers[..1], ..plain }, Some(Flavor::Wasmtime));
        check(&ImageFacts { layer_media_types: &["application/vnd.oci.image.layer.v1.tar+gzip"], ..plain }, None);
        let wasip1 = Platform::new("Wasip1", "wasm", None);
        let labels = [(SPIN_LABEL, "sha256:00")];
        check(&ImageFacts { platform: Some(&wasip1), labels: &labels, ..plain }, Some(Flavor::Spin));
    }

    #[test]
    fn annotations_of_crun_and_podman() {
        let with = |pairs: &[(&str, &str)], entrypoint: &str, expect| {
            check(&ImageFacts { annotations: pairs, entrypoint: Some(entrypoint), ..ImageFacts::default() }, expect);
            check(&ImageFacts { labels: pairs, entrypoint: Some(entrypoint), ..ImageFacts::default() }, expect);
        };
        with(&[("run.oci.handler", "wasm")], "/x", Some(Flavor::Wasmtime));
        with(&[("run.oci.handler", "krun")], "/x", None);
        with(&[("module.wasm.image/variant", "compat")], "/x", Some(Flavor::Wasmtime));
        with(&[("module.wasm.image/variant", "compat-smart")], "/bin/sh", None);
        with(&[("module.wasm.image/variant", "compat-smart")], "/x.wasm", Some(Flavor::Wasmtime));
    }

    #[test]
    fn magic() {
        assert_eq!(Magic::of(b"\0asm\x01\0\0\0"), Magic::Module);
        assert_eq!(Magic::of(b"\0asm\x0d\0\x01\0"), Magic::Component);
        assert_eq!(Magic::of(b"\0asm"), Magic::Module);
        assert_eq!(Magic::of(b"\x7fELF\x02"), Magic::Elf);
        assert_eq!(Magic::of(b"#!/bin/sh"), Magic::Script);
        assert_eq!(Magic::of(b"\n  (module)"), Magic::Text);
        assert_eq!(Magic::of(b""), Magic::Other);
    }

    #[test]
    fn entrypoints() {
        assert_eq!(split_entrypoint("a.wasm"), ("a.wasm", None));
        assert_eq!(split_entrypoint("/a.wasm#foo#bar"), ("/a.wasm", Some("foo#bar")));
        assert_eq!(split_entrypoint("a.wasm#"), ("a.wasm", None));
    }
}
