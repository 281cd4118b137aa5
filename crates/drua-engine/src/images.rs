//! Images, where they touch containers: who uses which, and the events.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use drua_store::{Force, Image, ImageUse, Import, LoadEvent, Loaded, Removed};
use drua_types::{Digest, ImageRef, Platform};

use crate::container::Container;
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
        Ok(loaded)
    }

    /// Makes an image of a root filesystem. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `ImportError`.
    pub fn import_image(&self, tar: &mut dyn Read, import: Import) -> Result<Digest> {
        let id = self.shared.store.import(tar, import).map_err(Error::image("import the root filesystem"))?;
        self.image_event("import", &id, None);
        Ok(id)
    }

    /// Writes images as an archive that `docker load` and OCI tools read. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `SaveError`.
    pub fn save_images(&self, names: &[&str], platform: Option<&Platform>, out: &mut dyn Write) -> Result<()> {
        self.shared.store.save(names, platform, out).map_err(Error::image("save the images"))
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

    /// Removes a name, and the image with its last name. Blocking.
    ///
    /// # Errors
    /// [`Error::Image`] with the store's `RemoveError`, which has Docker's conflict texts.
    pub fn remove_image(&self, name: &str, force: Force) -> Result<Vec<Removed>> {
        let in_use = |id: &Digest| image_use(&self.containers(), id);
        let removed = self.shared.store.remove(name, force, &in_use).map_err(Error::image("remove the image"))?;
        for removal in &removed {
            match removal {
                Removed::Untagged(name) => self.image_event_text("untag", &name.familiar()),
                Removed::Deleted(id) => self.image_event("delete", id, None),
            }
        }
        Ok(removed)
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

    fn image_event(&self, action: &str, id: &Digest, name: Option<&str>) {
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
    let mut users = containers.iter().filter(|container| container.image == *id);
    let of = |container: &Arc<Container>| ImageUse {
        container_id: container.id.to_string(),
        running: container.state.status.is_running(),
    };
    let first = users.next()?;
    let running = std::iter::once(first).chain(users).find(|container| container.state.status.is_running());
    Some(of(running.unwrap_or(first)))
}
