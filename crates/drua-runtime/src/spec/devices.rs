//! Device nodes and the device cgroup.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use super::{ContainerSpec, DeviceKind, DeviceMapping, SpecError};

/// `(type, major, minor)` of what every container may use: null, zero, full, random, urandom, tty, console, ptmx, ptys.
const STANDARD: &[(i64, Option<i64>)] = &[
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// The allow list, last match wins: nothing, nodes may be made, the standard devices, the container's own.
pub(super) fn cgroup_rules(spec: &ContainerSpec) -> Result<Vec<LinuxDeviceCgroup>, SpecError> {
    if spec.privileged {
        return Ok(vec![rule(true, LinuxDeviceType::A, None, None, "rwm")]);
    }
    let mut rules = vec![rule(false, LinuxDeviceType::A, None, None, "rwm")];
    rules.extend(standard_rules());
    for device in &spec.devices {
        rules.push(rule(true, kind(device), Some(device.major), Some(device.minor), &device.access));
    }
    for text in &spec.device_cgroup_rules {
        rules.push(parse_rule(text).ok_or_else(|| SpecError::DeviceRule(text.clone()))?);
    }
    Ok(rules)
}

/// What every container may do: make any node, use the standard devices.
pub(crate) fn standard_rules() -> Vec<LinuxDeviceCgroup> {
    let mut rules = [LinuxDeviceType::C, LinuxDeviceType::B].map(|kind| rule(true, kind, None, None, "m")).to_vec();
    rules.extend(STANDARD.iter().map(|(major, minor)| rule(true, LinuxDeviceType::C, Some(*major), *minor, "rwm")));
    rules
}

/// The nodes to make besides the standard ones.
pub(super) fn nodes(spec: &ContainerSpec) -> Vec<LinuxDevice> {
    let node = |device: &DeviceMapping| {
        let mut node = LinuxDevice::default();
        node.set_path(device.path.clone())
            .set_typ(kind(device))
            .set_major(device.major)
            .set_minor(device.minor)
            .set_file_mode(Some(device.file_mode))
            .set_uid(Some(device.uid))
            .set_gid(Some(device.gid));
        node
    };
    spec.devices.iter().map(node).collect()
}

fn kind(device: &DeviceMapping) -> LinuxDeviceType {
    match device.kind {
        DeviceKind::Block => LinuxDeviceType::B,
        DeviceKind::Char => LinuxDeviceType::C,
    }
}

/// `c 189:* rwm`.
fn parse_rule(text: &str) -> Option<LinuxDeviceCgroup> {
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, access] = words.as_slice() else { return None };
    let kind = match *kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse::<u32>().ok().map(|n| Some(n.into())) };
    let valid = !access.is_empty() && access.len() <= 3 && access.bytes().all(|byte| b"rwm".contains(&byte));
    valid.then_some(rule(true, kind, number(major)?, number(minor)?, access))
}

fn rule(allow: bool, kind: LinuxDeviceType, major: Option<i64>, minor: Option<i64>, access: &str) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow).set_typ(Some(kind)).set_major(major).set_minor(minor).set_access(Some(access.to_owned()));
    rule
}
