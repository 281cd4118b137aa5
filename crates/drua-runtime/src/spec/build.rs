//! Puts the sections together.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Root, Spec, User};

use super::linux::require_absolute;
use super::{ContainerSpec, DEFAULT_PATH, HostFacts, MountSource, Namespace, SpecError, capabilities, linux, mounts};

/// Translates `spec` for a host with these facts. Pure: reads no file.
///
/// # Errors
/// A specification that contradicts itself, or names what no kernel knows.
pub fn build(spec: &ContainerSpec, host: &HostFacts) -> Result<Spec, SpecError> {
    if spec.args.is_empty() {
        return Err(SpecError::NoCommand);
    }
    for mount in &spec.mounts {
        require_absolute("mount destination", Path::new(&mount.destination))?;
        if let MountSource::Bind { source, .. } = &mount.source {
            require_absolute("mount source", source)?;
        }
    }
    let capabilities = capabilities::of_container(spec, host)?;
    let mut process = Process::default();
    process
        .set_terminal(Some(spec.tty))
        .set_user(user(spec))
        .set_args(Some(spec.args.clone()))
        .set_env(Some(environment(spec)))
        .set_cwd(cwd(spec)?)
        .set_capabilities(Some(capabilities::sets(&capabilities, spec.user.uid)))
        .set_rlimits(Some(linux::rlimits(&spec.ulimits)?).filter(|limits| !limits.is_empty()))
        .set_no_new_privileges(Some(spec.no_new_privileges))
        .set_oom_score_adj(spec.oom_score_adj);
    let mut root = Root::default();
    root.set_path(spec.rootfs.clone()).set_readonly(Some(spec.readonly_rootfs));
    let has_uts = spec.uts != Namespace::Host;
    let mut built = Spec::default();
    built
        .set_version("1.2.0".to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts::of_container(spec, host)))
        .set_process(Some(process))
        .set_hostname(spec.hostname.clone().filter(|_| has_uts))
        .set_domainname(spec.domainname.clone().filter(|_| has_uts))
        .set_annotations(Some(spec.annotations.clone().into_iter().collect()))
        .set_linux(Some(linux::section(spec, host, &capabilities)?));
    Ok(built)
}

fn user(spec: &ContainerSpec) -> User {
    let mut user = User::default();
    user.set_uid(spec.user.uid)
        .set_gid(spec.user.gid)
        .set_additional_gids(Some(spec.user.additional_gids.clone()))
        .set_umask(Some(0o022));
    user
}

fn cwd(spec: &ContainerSpec) -> Result<PathBuf, SpecError> {
    let cwd = if spec.cwd.is_empty() { Path::new("/") } else { Path::new(&spec.cwd) };
    require_absolute("working directory", cwd)?;
    Ok(cwd.to_owned())
}

/// The container's variables over the defaults, in Docker's order. A later entry of the same name wins.
fn environment(spec: &ContainerSpec) -> Vec<String> {
    let mut variables = vec![format!("PATH={DEFAULT_PATH}")];
    variables.extend(spec.hostname.as_ref().map(|name| format!("HOSTNAME={name}")));
    if spec.tty {
        variables.push("TERM=xterm".to_owned());
    }
    let name_of = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    for own in &spec.env {
        let name = name_of(own);
        match variables.iter_mut().find(|variable| name_of(variable) == name) {
            Some(existing) => existing.clone_from(own),
            None => variables.push(own.clone()),
        }
    }
    // `KEY` without a value removes a default.
    variables.retain(|variable| variable.contains('='));
    if !variables.iter().any(|variable| variable.starts_with("HOME=")) {
        variables.push(format!("HOME={}", spec.user.home));
    }
    variables
}
