//! Volumes of the `local` driver: directories under `<data-root>/volumes/<name>/_data`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use drua_types::VolumeName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::{Container, MountKind};
use crate::db::{Db, Table};
use crate::engine::Engine;
use crate::events::{EventBus, Scope};
use crate::{Error, Result};

/// Label of volumes that nobody named; prune takes only these unless told otherwise.
pub(crate) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// When it was made.
    pub created: Timestamp,
    /// Driver, `local`.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Where its data is on the host.
    pub mountpoint: PathBuf,
}

/// What to create.
#[derive(Debug, Clone, Default)]
pub struct CreateVolume {
    /// Its name; `None` makes one up.
    pub name: Option<String>,
    /// Driver; empty is `local`.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}

/// The volumes there are.
#[derive(Debug)]
pub(crate) struct Volumes {
    root: PathBuf,
    volumes: Mutex<BTreeMap<VolumeName, Arc<Volume>>>,
    /// Held while a volume is filled from an image, so that two containers cannot both find it empty.
    pub(crate) filling: Mutex<()>,
    /// Those with options, while they are mounted.
    pub(crate) mounted: crate::volume_mount::Mounted,
}

impl Volumes {
    pub(crate) fn open(root: &Path, db: &Db) -> Result<Self> {
        let records: Vec<Volume> = db.all(Table::Volumes)?;
        for volume in &records {
            crate::layered::finish_filling(&volume.mountpoint)?;
        }
        let volumes = records.into_iter().map(|volume| (volume.name.clone(), Arc::new(volume))).collect();
        Ok(Self {
            root: root.to_owned(),
            volumes: Mutex::new(volumes),
            filling: Mutex::default(),
            mounted: crate::volume_mount::Mounted::default(),
        })
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Volume>> {
        let volumes = crate::lock(&self.volumes);
        let found = name.parse::<VolumeName>().ok().and_then(|name| volumes.get(&name).cloned());
        found.ok_or_else(|| Error::NoSuchVolume(name.to_owned()))
    }

    pub(crate) fn list(&self) -> Vec<Arc<Volume>> {
        crate::lock(&self.volumes).values().cloned().collect()
    }

    /// Creates a volume, or returns the one that has the name already. The flag says whether it is new.
    pub(crate) fn create(&self, db: &Db, request: CreateVolume) -> Result<(Arc<Volume>, bool)> {
        if !matches!(request.driver.as_str(), "" | "local") {
            let message = format!("error looking up volume plugin {0}: plugin \"{0}\" not found", request.driver);
            return Err(Error::NotFound(message));
        }
        crate::volume_mount::check(&request.options)?;
        let mut labels = request.labels;
        let name = match request.name.filter(|name| !name.is_empty()) {
            Some(name) => name
                .parse()
                .map_err(|error: drua_types::InvalidName| Error::Invalid(format!("create {name}: {error}")))?,
            None => {
                labels.insert(ANONYMOUS.to_owned(), String::new());
                let random = drua_types::ContainerId::random();
                random.as_str().parse().expect("64 hexadecimal digits are a volume name")
            }
        };
        let mut volumes = crate::lock(&self.volumes);
        if let Some(volume) = volumes.get(&name) {
            // A removal that was cut short may have taken the directory already.
            fs_err::create_dir_all(&volume.mountpoint).map_err(Error::io("create", &volume.mountpoint))?;
            return Ok((volume.clone(), false));
        }
        let mountpoint = self.root.join(name.as_str()).join("_data");
        fs_err::create_dir_all(&mountpoint).map_err(Error::io("create", &mountpoint))?;
        let volume = Arc::new(Volume {
            name: name.clone(),
            created: Timestamp::now(),
            driver: "local".to_owned(),
            labels,
            options: request.options,
            mountpoint,
        });
        db.put(Table::Volumes, name.as_str(), &*volume)?;
        volumes.insert(name, volume.clone());
        Ok((volume, true))
    }

    fn delete(&self, db: &Db, name: &VolumeName) -> Result<()> {
        let dir = self.root.join(name.as_str());
        // What is mounted there must not be emptied with it.
        crate::volume_mount::unmount(&dir.join("_data"));
        crate::remove_dir(&dir)?;
        db.delete(Table::Volumes, name.as_str())?;
        crate::lock(&self.volumes).remove(name);
        Ok(())
    }

    /// Removes the anonymous volumes of a container whose record is gone, unless other containers mount them. Failures are
    /// logged: the container is removed anyway.
    pub(crate) fn remove_anonymous_of(&self, db: &Db, events: &EventBus, container: &Container) {
        let mounts = container.mounts.iter().filter(|mount| mount.kind == MountKind::Volume && mount.anonymous);
        let names: Vec<VolumeName> = mounts.filter_map(|mount| mount.name.as_deref()?.parse().ok()).collect();
        if names.is_empty() {
            return;
        }
        let others: Vec<Arc<Container>> = match db.all::<Container>(Table::Containers) {
            Ok(others) => others.into_iter().map(Arc::new).collect(),
            Err(error) => {
                return tracing::warn!(container.id = %container.id, %error, "anonymous volumes are not removed");
            }
        };
        for name in names.into_iter().filter(|name| users(&others, name).is_empty()) {
            match self.delete(db, &name) {
                Ok(()) => publish(events, "destroy", &name),
                Err(error) => tracing::warn!(volume = %name, %error, "anonymous volume is not removed"),
            }
        }
    }
}

fn publish(events: &EventBus, action: &str, name: &VolumeName) {
    let attributes = [("driver".to_owned(), "local".to_owned())].into();
    events.publish(Scope::Volume, action, name.as_str(), attributes);
}

/// Ids of the containers that mount a volume.
fn users(containers: &[Arc<Container>], name: &VolumeName) -> Vec<String> {
    let mounts_it =
        |container: &&Arc<Container>| container.mounts.iter().any(|mount| mount.name.as_deref() == Some(name.as_str()));
    containers.iter().filter(mounts_it).map(|container| container.id.to_string()).collect()
}

impl Engine {
    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<Arc<Volume>> {
        self.shared.volumes.list()
    }

    /// One volume.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`].
    pub fn volume(&self, name: &str) -> Result<Arc<Volume>> {
        self.shared.volumes.get(name)
    }

    /// Creates a volume; the existing one when there is one with this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::NotFound`] for an unknown driver, [`Error::Io`].
    pub fn create_volume(&self, request: CreateVolume) -> Result<Arc<Volume>> {
        let (volume, new) = self.shared.volumes.create(&self.shared.db, request)?;
        if new {
            publish(&self.shared.events, "create", &volume.name);
        }
        Ok(volume)
    }

    /// Removes a volume and its data. Blocking.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`] unless `force`; [`Error::VolumeInUse`].
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let volume = match self.shared.volumes.get(name) {
            Err(Error::NoSuchVolume(_)) if force => return Ok(()),
            found => found?,
        };
        let users = users(&self.containers(), &volume.name);
        if !users.is_empty() {
            return Err(Error::VolumeInUse { name: name.to_owned(), users: users.join(", ") });
        }
        self.shared.volumes.delete(&self.shared.db, &volume.name)?;
        publish(&self.shared.events, "destroy", &volume.name);
        Ok(())
    }

    /// Number of containers that mount a volume.
    pub fn volume_users(&self, name: &VolumeName) -> usize {
        users(&self.containers(), name).len()
    }

    /// Whether a volume was made for one container and has no name of its own.
    pub fn is_anonymous(volume: &Volume) -> bool {
        volume.labels.contains_key(ANONYMOUS)
    }
}
