//! Which namespaces a container makes, and which it joins.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space};

use super::error::CreateError;

/// The namespaces of one container.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Made with the process.
    pub(super) new: ThreadNameSpaceType,
    /// A pid namespace is joined by a process's children only.
    pub(super) pid: Option<OwnedFd>,
    /// Whether the cgroup namespace is a new one. It shows the cgroup of whoever makes it as its root, so the process makes it
    /// when it is there.
    pub(super) cgroup: bool,
    others: Vec<(OwnedFd, LinkNameSpaceType)>,
}

impl Namespaces {
    /// Opens those that have a path.
    pub(super) fn of(namespaces: &[LinuxNamespace]) -> Result<Self, CreateError> {
        let mut found = Self { new: ThreadNameSpaceType::empty(), pid: None, cgroup: false, others: Vec::new() };
        for namespace in namespaces {
            let kind = namespace.typ();
            match (kind, namespace.path()) {
                (LinuxNamespaceType::User | LinuxNamespaceType::Time, _) | (LinuxNamespaceType::Mount, Some(_)) => {
                    let text = format!("{kind:?} namespaces are not supported");
                    return Err(CreateError::Spec(text.to_lowercase()));
                }
                (LinuxNamespaceType::Pid, Some(path)) => found.pid = Some(open(path)?),
                (LinuxNamespaceType::Network, Some(path)) => found.join(path, LinkNameSpaceType::Network)?,
                (LinuxNamespaceType::Uts, Some(path)) => {
                    found.join(path, LinkNameSpaceType::HostNameAndNISDomainName)?;
                }
                (LinuxNamespaceType::Ipc, Some(path)) => {
                    found.join(path, LinkNameSpaceType::InterProcessCommunication)?;
                }
                (LinuxNamespaceType::Cgroup, Some(path)) => found.join(path, LinkNameSpaceType::ControlGroup)?,
                (LinuxNamespaceType::Mount, None) => found.new |= ThreadNameSpaceType::MOUNT,
                (LinuxNamespaceType::Network, None) => found.new |= ThreadNameSpaceType::NETWORK,
                (LinuxNamespaceType::Pid, None) => found.new |= ThreadNameSpaceType::PROCESS_ID,
                (LinuxNamespaceType::Uts, None) => found.new |= ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
                (LinuxNamespaceType::Ipc, None) => found.new |= ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
                (LinuxNamespaceType::Cgroup, None) => found.cgroup = true,
            }
        }
        if !found.new.contains(ThreadNameSpaceType::MOUNT) {
            return Err(CreateError::Spec("a container needs a mount namespace of its own".to_owned()));
        }
        Ok(found)
    }

    fn join(&mut self, path: &Path, kind: LinkNameSpaceType) -> Result<(), CreateError> {
        self.others.push((open(path)?, kind));
        Ok(())
    }

    /// Whether one of this kind is joined.
    pub(super) fn has(&self, kind: LinkNameSpaceType) -> bool {
        self.others.iter().any(|(_, other)| *other as u32 == kind as u32)
    }

    /// Joins all but the pid namespace.
    pub(super) fn enter(&self) -> rustix::io::Result<()> {
        self.others.iter().try_for_each(|(fd, kind)| move_into_link_name_space(fd.as_fd(), Some(*kind)))
    }
}

fn open(path: &Path) -> Result<OwnedFd, CreateError> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| CreateError::Container(format!("cannot open the namespace `{}`: {errno}", path.display())))
}
