//! Making a cgroup: its directories, and what has to be in them before a process can enter.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::hierarchy::{Hierarchies, join};
use crate::spec::standard_device_rules;

/// Makes the directories of cgroup `path`, with their parents.
pub(super) fn directories(hierarchies: &Hierarchies, path: &Path) -> io::Result<()> {
    match hierarchies {
        Hierarchies::Unified(root) => unified(root, path),
        Hierarchies::Split { mounts, .. } => mounts.iter().try_for_each(|(controllers, root)| {
            let has_cpus = controllers.iter().any(|name| name == "cpuset");
            split(root, &join(root, path), has_cpus)
        }),
    }
}

/// A cpuset begins empty, and takes no process until it has processors and memory: those of its parent (cpuset(7)).
fn split(root: &Path, directory: &Path, has_cpus: bool) -> io::Result<()> {
    if directory == root {
        return Ok(());
    }
    if let Err(err) = fs::create_dir(directory) {
        match (err.kind(), directory.parent()) {
            (io::ErrorKind::AlreadyExists, _) => {}
            (io::ErrorKind::NotFound, Some(parent)) => {
                split(root, parent, has_cpus)?;
                match fs::create_dir(directory) {
                    Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(err),
                    Ok(()) | Err(_) => {}
                }
            }
            _ => return Err(err),
        }
    }
    for file in ["cpuset.cpus", "cpuset.mems"].into_iter().filter(|_| has_cpus) {
        if fs::read_to_string(directory.join(file))?.trim().is_empty() {
            let inherited = fs::read_to_string(directory.parent().unwrap_or(root).join(file))?;
            fs::write(directory.join(file), inherited.trim())?;
        }
    }
    Ok(())
}

/// Hands every controller on that there is, from the root to the parent.
fn unified(root: &Path, path: &Path) -> io::Result<()> {
    let available = fs::read_to_string(root.join("cgroup.controllers"))?;
    let mut directory = root.to_owned();
    for name in path.strip_prefix("/").unwrap_or(path).components() {
        let handed_on = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
        let is_missing = |name: &&str| !handed_on.split_whitespace().any(|other| other == *name);
        for controller in available.split_whitespace().filter(is_missing) {
            // Some cannot be: a realtime process keeps `cpu` back. Who sets a limit of it will be told.
            let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        directory.push(name);
        match fs::create_dir(&directory) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(err),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Limits the devices of the cgroup v1 at `directory` to `rules` and, as every runtime does, the standard ones: first none,
/// then one rule after the other. Rules that allow everything, a privileged container's, leave what the parent allows.
pub(super) fn limit_devices(directory: &Path, rules: &[LinuxDeviceCgroup]) -> io::Result<()> {
    let all = |rule: &LinuxDeviceCgroup| rule.allow() && is_about_all(rule);
    if rules.last().is_some_and(all) {
        return Ok(());
    }
    fs::write(directory.join("devices.deny"), "a")?;
    let mut allow = fs::OpenOptions::new().write(true).open(directory.join("devices.allow"))?;
    for rule in standard_device_rules().iter().chain(rules) {
        if is_about_all(rule) && !rule.allow() {
            // The first one: nothing is allowed yet but the standard devices.
            continue;
        }
        let text = text(rule);
        if rule.allow() { allow.write_all(text.as_bytes())? } else { fs::write(directory.join("devices.deny"), text)? }
    }
    Ok(())
}

fn is_about_all(rule: &LinuxDeviceCgroup) -> bool {
    rule.typ().unwrap_or(LinuxDeviceType::A) == LinuxDeviceType::A && rule.major().is_none() && rule.minor().is_none()
}

/// `c 1:3 rwm`.
fn text(rule: &LinuxDeviceCgroup) -> String {
    let kind = match rule.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::A => 'a',
        LinuxDeviceType::B => 'b',
        LinuxDeviceType::C | LinuxDeviceType::U | LinuxDeviceType::P => 'c',
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => "*".to_owned(),
        Some(number) => number.to_string(),
    };
    let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    format!("{kind} {}:{} {access}", number(rule.major()), number(rule.minor()))
}
