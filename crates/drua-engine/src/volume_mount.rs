//! Volumes with driver options (`type`, `device`, `o`): file systems of their own, mounted on `_data` while somebody uses
//! them, as Docker's local driver does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::io;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::Mutex;

use drua_types::VolumeName;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::container::Container;
use crate::volume::{Volume, Volumes};
use crate::{Error, Result};

const KNOWN: [&str; 4] = ["device", "o", "size", "type"];

/// Who uses which mounted volume.
#[derive(Debug, Default)]
pub(crate) struct Mounted(Mutex<HashMap<VolumeName, BTreeSet<String>>>);

/// Says no to options that cannot work, in the words of Docker's local driver.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<()> {
    if let Some(unknown) = options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(Error::Invalid(format!("invalid option: \"{unknown}\"")));
    }
    if options.contains_key("size") {
        return Err(Error::Invalid("quota size requested but no quota support".to_owned()));
    }
    if options.is_empty() {
        return Ok(());
    }
    match ["device", "type"].into_iter().find(|key| options.get(*key).is_none_or(String::is_empty)) {
        Some(missing) => Err(Error::Invalid(format!("missing required option: \"{missing}\""))),
        None => Ok(()),
    }
}

impl Volumes {
    /// Mounts the volumes that a container is about to use. Blocking.
    pub(crate) fn acquire(&self, container: &Container) -> Result<()> {
        for volume in self.with_options(container) {
            self.hold(&volume, container.id.as_str())?;
        }
        Ok(())
    }

    /// Unmounts the volumes that a container has used and nobody uses any more.
    pub(crate) fn give_back(&self, container: &Container) {
        for volume in self.with_options(container) {
            self.let_go(&volume, container.id.as_str());
        }
    }

    /// Counts a container that has been running all the time as a user.
    pub(crate) fn adopt(&self, container: &Container) {
        let mut mounted = crate::lock(&self.mounted.0);
        for volume in self.with_options(container) {
            mounted.entry(volume.name.clone()).or_default().insert(container.id.to_string());
        }
    }

    /// Unmounts what an earlier daemon has left mounted for nobody.
    pub(crate) fn unmount_idle(&self) {
        let mounted = crate::lock(&self.mounted.0);
        for volume in self.list() {
            if !volume.options.is_empty() && !mounted.contains_key(&volume.name) {
                unmount(&volume.mountpoint);
            }
        }
    }

    /// Keeps a volume mounted for `user`.
    pub(crate) fn hold(&self, volume: &Volume, user: &str) -> Result<()> {
        if volume.options.is_empty() {
            return Ok(());
        }
        let mut mounted = crate::lock(&self.mounted.0);
        let users = mounted.entry(volume.name.clone()).or_default();
        if users.is_empty() {
            unmount(&volume.mountpoint);
            mount(volume).map_err(|source| {
                let device = volume.options.get("device").map_or("", String::as_str);
                let target = volume.mountpoint.display();
                Error::Invalid(format!("failed to mount local volume: mount {device}:{target}: {source}"))
            })?;
        }
        users.insert(user.to_owned());
        Ok(())
    }

    pub(crate) fn let_go(&self, volume: &Volume, user: &str) {
        if volume.options.is_empty() {
            return;
        }
        let mut mounted = crate::lock(&self.mounted.0);
        let Some(users) = mounted.get_mut(&volume.name) else { return };
        users.remove(user);
        if users.is_empty() {
            mounted.remove(&volume.name);
            unmount(&volume.mountpoint);
        }
    }

    fn with_options(&self, container: &Container) -> Vec<std::sync::Arc<Volume>> {
        let names = container.mounts.iter().filter_map(|mount| mount.name.as_deref());
        names.filter_map(|name| self.get(name).ok()).filter(|volume| !volume.options.is_empty()).collect()
    }
}

/// Detached, since a process on the host may still look into it.
pub(crate) fn unmount(path: &Path) {
    while rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
}

fn mount(volume: &Volume) -> io::Result<()> {
    let option = |key: &str| volume.options.get(key).map_or("", String::as_str);
    let (kind, device) = (option("type"), option("device"));
    let (mut flags, mut propagation, mut data) = (MountFlags::empty(), None, Vec::new());
    for word in option("o").split(',').filter(|word| !word.is_empty()) {
        match word {
            "bind" => flags |= MountFlags::BIND,
            "rbind" => flags |= MountFlags::BIND | MountFlags::REC,
            "ro" => flags |= MountFlags::RDONLY,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "dirsync" => flags |= MountFlags::DIRSYNC,
            "rw" | "defaults" | "suid" | "dev" | "exec" | "async" | "atime" => {}
            "private" | "rprivate" => propagation = Some(MountPropagationFlags::PRIVATE),
            "shared" | "rshared" => propagation = Some(MountPropagationFlags::SHARED),
            "slave" | "rslave" => propagation = Some(MountPropagationFlags::DOWNSTREAM),
            other => data.push(with_address(kind, other)?),
        }
    }
    let target = volume.mountpoint.as_path();
    if flags.contains(MountFlags::BIND) {
        if flags.contains(MountFlags::REC) {
            rustix::mount::mount_bind_recursive(device, target)?;
        } else {
            rustix::mount::mount_bind(device, target)?;
        }
        let rest = flags.difference(MountFlags::REC);
        if rest != MountFlags::BIND {
            rustix::mount::mount_remount(target, rest, c"").inspect_err(|_| unmount(target))?;
        }
    } else {
        let data = CString::new(data.join(","))?;
        rustix::mount::mount(device, target, kind, flags, &*data)?;
    }
    if let Some(propagation) = propagation {
        rustix::mount::mount_change(target, propagation).inspect_err(|_| unmount(target))?;
    }
    Ok(())
}

/// NFS and CIFS in the kernel want addresses, people write names: `addr=nas.example` becomes `addr=192.0.2.1`.
fn with_address(kind: &str, word: &str) -> io::Result<String> {
    let name = word.strip_prefix("addr=").filter(|_| kind.starts_with("nfs") || kind == "cifs");
    match name {
        Some(name) if name.parse::<std::net::IpAddr>().is_err() => {
            let mut found = (name, 0).to_socket_addrs()?;
            let found = found.next().ok_or_else(|| io::Error::other(format!("`{name}` has no address")))?;
            Ok(format!("addr={}", found.ip()))
        }
        _ => Ok(word.to_owned()),
    }
}
