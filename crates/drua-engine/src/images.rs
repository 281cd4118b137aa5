//! Images, where they touch containers: who uses which, and the events.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use drua_store::{Annotate, CheckReport, Force, Image, ImageUse, Import, LoadEvent, Loaded, Removed, Repair};
use drua_types::{Digest, ImageRef, Platform};

use crate::container::{Container, MountKind, MountPoint};
use crate::engine::Engine;
use crate::events::Scope;
use crate::{Error, Result};

impl Engine {
    /// Loads an image archive. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `LoadError`.
    pub fn load_images(
        &self,
        archive: &mut dyn Read,
        platform: Option<&Platform>,
        on: &mut dyn FnMut(LoadEvent),
    ) -> Result<Vec<Loaded>> {
        let loaded = self.shared.store.load(archive, platform, on).map_err(Error::image("load the image archive"))?;
        for image in &loaded {
            self.image_event("load", &image.id, None);
        }
        self.precompile(loaded.iter().map(|image| image.id.clone()).collect());
        Ok(loaded)
    }

    /// Makes an image of a root filesystem. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `ImportError`.
    pub fn import_image(&self, tar: &mut dyn Read, import: Import) -> Result<Digest> {
        let id = self.shared.store.import(tar, import).map_err(Error::image("import the root filesystem"))?;
        self.image_event("import", &id, None);
        self.precompile(vec![id.clone()]);
        Ok(id)
    }

    /// Writes images as an archive that `docker load` and OCI tools read. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `SaveError`.
    pub fn save_images(&self, names: &[&str], platform: Option<&Platform>, out: &mut dyn Write) -> Result<()> {
        self.shared.store.save(names, platform, out).map_err(Error::image("save the images"))
    }

    /// Tells that a build has made an image.
    pub fn image_built(&self, id: &Digest, names: &[String]) {
        self.image_event("build", id, None);
        names.iter().for_each(|name| self.image_event("tag", id, Some(name)));
    }

    /// Gives an image another name. Blocking.
    ///
    /// # Errors
    /// [`Error::ImageLookup`], [`Error::Image`].
    pub fn tag_image(&self, name: &str, tag: &ImageRef) -> Result<()> {
        let id = self.shared.store.tag(name, tag)?;
        self.image_event("tag", &id, Some(&tag.familiar()));
        Ok(())
    }

    /// Makes an index of images, one for each platform, under a name. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `IndexError`.
    pub fn make_index(&self, name: &ImageRef, images: &[String]) -> Result<Digest> {
        let id = self.shared.store.make_index(name, images).map_err(Error::image("make the manifest list"))?;
        self.image_event("tag", &id, Some(&name.familiar()));
        Ok(id)
    }

    /// Changes what an index says about one of its manifests. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `IndexError`.
    pub fn annotate_index(&self, name: &ImageRef, manifest: &str, change: &Annotate) -> Result<Digest> {
        let annotated = self.shared.store.annotate_index(name, manifest, change);
        let id = annotated.map_err(Error::image("annotate the manifest list"))?;
        self.image_event("tag", &id, Some(&name.familiar()));
        Ok(id)
    }

    /// Removes a name, and the image with its last name. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `RemoveError`, which has Docker's conflict texts.
    pub fn remove_image(&self, name: &str, force: Force) -> Result<Vec<Removed>> {
        let in_use = |id: &Digest| image_use(&self.containers(), id);
        let removed = self.shared.store.remove(name, force, &in_use).map_err(Error::image("remove the image"))?;
        self.removal_events(&removed);
        Ok(removed)
    }

    /// Removes some platforms of an image; its others, its names and its id stay. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `RemoveError`.
    pub fn remove_platforms(&self, name: &str, platforms: &[Platform]) -> Result<Vec<Removed>> {
        let used_by = |manifest: &Digest| {
            let containers = self.containers();
            let user = containers.iter().find(|container| container.manifest == *manifest)?;
            Some(ImageUse { container_id: user.id.to_string(), running: user.state.status.is_running() })
        };
        let in_use = |id: &Digest| image_use(&self.containers(), id);
        let removed = self.shared.store.remove_platforms(name, platforms, &used_by, &in_use);
        let removed = removed.map_err(Error::image("remove platforms of the image"))?;
        self.removal_events(&removed);
        Ok(removed)
    }

    /// Removes those of these images that nothing uses, then all content that nothing needs, interrupted downloads
    /// included; returns what went and how many bytes that freed. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] when the disk or the database fails.
    pub fn prune_images(&self, ids: &[Digest]) -> Result<(Vec<Removed>, u64)> {
        let failed = || Error::image("prune images");
        let in_use = |id: &Digest| image_use(&self.containers(), id);
        let mut removed = Vec::new();
        for id in ids {
            let gone = self.shared.store.remove_unused(id, &in_use).map_err(failed())?;
            self.removal_events(&gone);
            removed.extend(gone);
        }
        let swept = self.shared.store.sweep(&in_use).map_err(failed())?;
        let partial = self.shared.store.prune_partials().map_err(failed())?;
        Ok((removed, swept.bytes + partial))
    }

    /// Verifies the image store, and repairs it if asked to. Blocking, and long.
    ///
    /// # Errors
    /// [`Error::Image`] when the disk or the database fails.
    pub fn check_images(&self, repair: Repair) -> Result<CheckReport> {
        let in_use = |id: &Digest| image_use(&self.containers(), id);
        self.shared.store.check(repair, &in_use).map_err(Error::image("check the image store"))
    }

    fn removal_events(&self, removed: &[Removed]) {
        for removal in removed {
            match removal {
                Removed::Untagged(name) => self.image_event_text("untag", &name.familiar()),
                Removed::Deleted(id) => self.image_event("delete", id, None),
            }
        }
    }

    /// Removes content that no image and no container needs any more. Blocking; failures are logged.
    pub(crate) fn sweep_images(&self) {
        if let Err(error) = self.shared.store.sweep(&|id: &Digest| image_use(&self.containers(), id)) {
            tracing::warn!(%error, "unused image content is not removed");
        }
    }

    /// Whether and how containers use an image.
    pub fn image_use(&self, image: &Image) -> Option<ImageUse> {
        image_use(&self.containers(), &image.id)
    }

    pub(crate) fn image_event(&self, action: &str, id: &Digest, name: Option<&str>) {
        let name = name.unwrap_or(id.as_str()).to_owned();
        let attributes = BTreeMap::from([("name".to_owned(), name)]);
        self.shared.events.publish(Scope::Image, action, id.as_str(), attributes);
    }

    fn image_event_text(&self, action: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.shared.events.publish(Scope::Image, action, name, attributes);
    }
}

/// A container that uses an image, a running one if there is one.
fn image_use(containers: &[Arc<Container>], id: &Digest) -> Option<ImageUse> {
    let mounts_it = |container: &Container| {
        let named = |mount: &&MountPoint| mount.kind == MountKind::Image && mount.name.as_deref() == Some(id.as_str());
        container.mounts.iter().any(|mount| named(&mount))
    };
    let mut users = containers.iter().filter(|container| container.image == *id || mounts_it(container));
    let of = |container: &Arc<Container>| ImageUse {
        container_id: container.id.to_string(),
        running: container.state.status.is_running(),
    };
    let first = users.next()?;
    let running = std::iter::once(first).chain(users).find(|container| container.state.status.is_running());
    Some(of(running.unwrap_or(first)))
}
