//! Which capabilities a container gets.

use std::collections::HashSet;
use std::str::FromStr as _;

/// A Linux capability (man 7 capabilities).
pub use oci_spec::runtime::Capability;
use oci_spec::runtime::LinuxCapabilities;

use super::{ContainerSpec, HostFacts};

/// What an unprivileged container gets, as in Docker.
pub const DEFAULT_CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// No kernel knows a capability of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability: \"{0}\"")]
pub struct InvalidCapability(String);

/// The container's capabilities: Docker's rules for `--privileged`, `--cap-add` and `--cap-drop`.
pub(super) fn of_container(spec: &ContainerSpec, host: &HostFacts) -> Result<HashSet<Capability>, InvalidCapability> {
    let added = parse_list(&spec.cap_add, host)?;
    let dropped = parse_list(&spec.cap_drop, host)?;
    if spec.privileged {
        return Ok(host.capabilities.clone());
    }
    let drops_all = spec.cap_drop.iter().any(|name| is_all(name));
    let adds_all = spec.cap_add.iter().any(|name| is_all(name));
    Ok(match (adds_all, drops_all) {
        (true, true) => {
            spec.cap_add.iter().filter(|name| !is_all(name)).map(|name| parse(name)).collect::<Result<_, _>>()?
        }
        (true, false) => added.difference(&dropped).copied().collect(),
        (false, true) => added,
        (false, false) => {
            let mut set: HashSet<_> = DEFAULT_CAPABILITIES.into_iter().filter(|cap| !dropped.contains(cap)).collect();
            set.extend(added);
            set
        }
    })
}

/// The five sets. The inheritable and ambient ones are empty (CVE-2022-24769); a user other than root has none in
/// effect, as after `execve`.
pub(super) fn sets(capabilities: &HashSet<Capability>, uid: u32) -> LinuxCapabilities {
    let active = if uid == 0 { capabilities.clone() } else { HashSet::new() };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(capabilities.clone()))
        .set_effective(Some(active.clone()))
        .set_permitted(Some(active))
        .set_inheritable(Some(HashSet::new()))
        .set_ambient(Some(HashSet::new()));
    sets
}

pub(super) fn from_caps<'a>(set: impl Iterator<Item = &'a caps::Capability>) -> HashSet<Capability> {
    set.filter_map(|capability| parse(&capability.to_string()).ok()).collect()
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL")
}

fn parse_list(names: &[String], host: &HostFacts) -> Result<HashSet<Capability>, InvalidCapability> {
    let mut set = HashSet::new();
    for name in names {
        if is_all(name) {
            set.extend(&host.capabilities);
        } else {
            set.insert(parse(name)?);
        }
    }
    Ok(set)
}

pub(crate) fn parse(name: &str) -> Result<Capability, InvalidCapability> {
    let upper = name.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    Capability::from_str(bare).map_err(|_| InvalidCapability(name.chars().take(80).collect()))
}
