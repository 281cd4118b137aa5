//! Compiling modules ahead of their first start: when an image comes in, beside everything else, in a process of its own.
//!
//! The daemon neither compiles nor links a compiler: it opens the module and starts this binary as `wasm-precompile`,
//! which fills the same cache that the shim looks into. Whether it works concerns nobody: without it the first start
//! compiles.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use drua_store::{Image, LayerContent, ManifestKind};
use drua_types::{Digest, Platform, error_chain, wasm};

use crate::engine::Engine;
use crate::layered;
use crate::{Error, Result};

/// Modules larger than this are not hashed just to say whether they are compiled.
const MAX_HASHED_BYTES: u64 = 256 << 20;
/// One compilation at a time takes one of the machine's cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Engine {
    /// Begins to compile the WebAssembly modules of these images. Returns at once; failures are logged.
    pub fn precompile(&self, ids: Vec<Digest>) {
        let engine = self.clone();
        crate::blocking::beside(move || {
            for id in ids {
                for (image, entrypoint) in engine.modules(&id) {
                    engine.precompile_one(&image, &entrypoint);
                }
            }
        });
    }

    /// Whether an image's module is compiled; `None` when it has none that is known before it runs.
    pub fn is_compiled(&self, image: &Image) -> Option<bool> {
        let entrypoint = entrypoint(image)?;
        let digest = match image.layers.iter().find(|layer| matches!(layer.content, LayerContent::Wasm { .. })) {
            Some(layer) => layer.digest.clone(),
            None => hash(self.open_module(image, &entrypoint)?)?,
        };
        let name = format!("{}.cwasm", digest.hex());
        let keys = std::fs::read_dir(self.shared.config.aot_cache()).into_iter().flatten().flatten();
        Some(keys.map(|key| key.path().join(&name)).any(|path| path.is_file()))
    }

    /// The WebAssembly module or component that an image runs, opened. Blocking.
    ///
    /// # Errors
    /// [`Error::ImageLookup`]; [`Error::Invalid`] when it is no WebAssembly image.
    pub fn wasm_module(&self, name: &str) -> Result<File> {
        let wasi = Platform::wasi();
        let image = self.shared.store.get(name, Some(&wasi)).or_else(|_| self.shared.store.get(name, None))?;
        let module = entrypoint(&image).and_then(|entrypoint| self.open_module(&image, &entrypoint));
        module.ok_or_else(|| Error::Invalid(format!("`{name}` is no WebAssembly image: it runs no module")))
    }

    /// The images below `id` that are WebAssembly, and their entrypoints.
    fn modules(&self, id: &Digest) -> Vec<(Image, String)> {
        let manifests = self.shared.store.manifests(id.as_str()).unwrap_or_default();
        let images = manifests.into_iter().filter_map(|manifest| match manifest.kind {
            ManifestKind::Image(image) => image,
            ManifestKind::Attestation(_) | ManifestKind::Unknown => None,
        });
        images.filter_map(|image| entrypoint(&image).map(|entrypoint| (*image, entrypoint))).collect()
    }

    fn precompile_one(&self, image: &Image, entrypoint: &str) {
        let Some(module) = self.open_module(image, entrypoint) else { return };
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new(&self.shared.config.shim);
        command.arg("wasm-precompile").arg(self.shared.config.aot_cache()).arg(entrypoint);
        let output = command.env_clear().current_dir("/").stdin(module).stdout(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => tracing::debug!(image.id = %image.id, "compiled ahead of time"),
            Ok(output) => {
                let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
                tracing::info!(image.id = %image.id, entrypoint, complaint, "not compiled ahead of time");
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::info!(image.id = %image.id, error, "cannot start the compiler ahead of time");
            }
        }
    }

    /// Opens the module if that is what the entrypoint is. The layers are unpacked already, or it is not worth it.
    fn open_module(&self, image: &Image, entrypoint: &str) -> Option<File> {
        let layers: Vec<PathBuf> = self.shared.store.layers(image).ok()?;
        let (path, _) = wasm::split_entrypoint(entrypoint);
        let dir = image.config.config().as_ref().and_then(|config| config.working_dir().clone()).unwrap_or_default();
        let module = layered::open(&layers, &Path::new("/").join(dir).join(path))?;
        let mut magic = [0; 4];
        let read = std::os::unix::fs::FileExt::read_at(&module, &mut magic, 0).ok()?;
        (magic[..read] == *b"\0asm").then_some(module)
    }
}

/// What would run, of an image that is WebAssembly by its platform or its layers.
fn entrypoint(image: &Image) -> Option<String> {
    if let Some(module) = &image.wasm_module {
        return Some(module.display().to_string());
    }
    if !image.platform.is_wasm() {
        return None;
    }
    let config = image.config.config().as_ref()?;
    let mut words = config.entrypoint().iter().flatten().chain(config.cmd().iter().flatten());
    words.next().cloned()
}

fn hash(module: File) -> Option<Digest> {
    use std::io::Read as _;
    if module.metadata().ok()?.len() > MAX_HASHED_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    module.take(MAX_HASHED_BYTES).read_to_end(&mut bytes).ok()?;
    Some(Digest::of(&bytes))
}
