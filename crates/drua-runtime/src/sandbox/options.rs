//! Mount options as words (fstab(5), the OCI runtime specification) to what the kernel takes.

use std::path::PathBuf;

use drua_sys::mount_attr::Change;
use oci_spec::runtime::Mount;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

/// One mount, understood.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) destination: PathBuf,
    pub(super) source: Source,
    /// Attributes of this mount.
    pub(super) own: Change,
    /// Attributes of this mount and all below it.
    pub(super) all: Change,
    /// `(propagation, recursive)`, in order.
    pub(super) propagation: Vec<(MountPropagationFlags, bool)>,
}

/// What is mounted.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A file or directory of the host.
    Bind { path: PathBuf, recursive: bool },
    /// A file system of its own: `key=value` and bare words.
    FileSystem { kind: String, name: String, data: Vec<String> },
    /// The container's own cgroups.
    Cgroup,
}

impl Wanted {
    pub(super) fn of(mount: &Mount) -> Self {
        let options = mount.options().as_deref().unwrap_or_default();
        let (mut own, mut all) = (Change::NONE, Change { recursive: true, ..Change::NONE });
        let (mut propagation, mut data, mut bind) = (Vec::new(), Vec::new(), None);
        for option in options {
            if let Some(found) = propagation_of(option) {
                propagation.push(found);
            } else if let Some((attribute, set)) = attribute_of(option) {
                apply(&mut own, attribute, set);
            } else if let Some((attribute, set)) = option.strip_prefix('r').and_then(attribute_of) {
                apply(&mut all, attribute, set);
            } else {
                match option.as_str() {
                    "bind" => bind = Some(false),
                    "rbind" => bind = Some(true),
                    // The first would copy what lies below a tmpfs, which Docker's own mounts do not want.
                    "tmpcopyup" | "defaults" | "" => {}
                    other => data.push(other.to_owned()),
                }
            }
        }
        let kind = mount.typ().clone().unwrap_or_default();
        let path = mount.source().clone().unwrap_or_default();
        let source = match (kind.as_str(), bind) {
            (_, Some(recursive)) => Source::Bind { path, recursive },
            ("bind", None) => Source::Bind { path, recursive: false },
            ("cgroup" | "cgroup2", None) => Source::Cgroup,
            (_, None) => Source::FileSystem { kind, name: path.display().to_string(), data },
        };
        Self { destination: mount.destination().clone(), source, own, all, propagation }
    }

    /// Whether the mount itself is to be read-only.
    pub(super) fn is_readonly(&self) -> bool {
        (self.own.set | self.all.set).contains(MountAttrFlags::MOUNT_ATTR_RDONLY)
    }
}

/// The last word about an attribute counts.
fn apply(change: &mut Change, attribute: MountAttrFlags, set: bool) {
    let (to, from) = if set { (&mut change.set, &mut change.clear) } else { (&mut change.clear, &mut change.set) };
    *to |= attribute;
    from.remove(attribute);
}

fn attribute_of(option: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match option {
        "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, true),
        "rw" => (MountAttrFlags::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
        "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
        "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
        "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        // What all of these say is what the kernel does anyway.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (MountAttrFlags::MOUNT_ATTR_RELATIME, true),
        "nosymfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, false),
        _ => return None,
    })
}

fn propagation_of(option: &str) -> Option<(MountPropagationFlags, bool)> {
    Some(match option {
        "private" => (MountPropagationFlags::PRIVATE, false),
        "rprivate" => (MountPropagationFlags::PRIVATE, true),
        "slave" => (MountPropagationFlags::DOWNSTREAM, false),
        "rslave" => (MountPropagationFlags::DOWNSTREAM, true),
        "shared" => (MountPropagationFlags::SHARED, false),
        "rshared" => (MountPropagationFlags::SHARED, true),
        "unbindable" => (MountPropagationFlags::UNBINDABLE, false),
        "runbindable" => (MountPropagationFlags::UNBINDABLE, true),
        _ => return None,
    })
}
