use std::collections::HashMap;

use anyhow::bail;
use drua_api::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, NetworkingConfig,
    PortBinding,
};

use drua_types::annotations;
use drua_types::grants::Grants;

use super::ContainerArgs;
use crate::options::limits::restart_policy;
use crate::options::volume::Volume;
use crate::options::{env, key_values, mount, port, volume};

/// What the API needs to create a container.
#[derive(Debug)]
pub(crate) struct CreateRequest {
    pub(crate) name: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) image: String,
    pub(crate) body: ContainerCreateBody,
}

/// Which of the container's streams are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

impl ContainerArgs {
    /// The image and its command.
    fn image(&self) -> (&str, &[String]) {
        let (image, command) = self.image_and_command.split_first().expect("clap requires the image");
        (image, command)
    }

    /// Which streams to attach when the container runs in the foreground.
    pub(crate) fn streams(&self) -> anyhow::Result<Streams> {
        if self.attach.is_empty() {
            return Ok(Streams { stdin: self.interactive, stdout: true, stderr: true });
        }
        let mut streams = Streams { stdin: false, stdout: false, stderr: false };
        for name in &self.attach {
            match name.to_ascii_lowercase().as_str() {
                "stdin" => streams.stdin = true,
                "stdout" => streams.stdout = true,
                "stderr" => streams.stderr = true,
                _ => bail!("valid streams are STDIN, STDOUT and STDERR"),
            }
        }
        Ok(streams)
    }

    /// The request; `attached` are the streams that stay with us, none for a container in the background.
    pub(crate) fn request(&self, attached: Option<Streams>) -> anyhow::Result<CreateRequest> {
        let (image, command) = self.image();
        if self.rm && self.restart != "no" && !self.restart.is_empty() {
            bail!("conflicting options: cannot specify both --restart and --rm");
        }
        let ports = port::published(&self.network.publish, &self.network.expose)?;
        let (binds, anonymous) = self.volumes()?;
        let attachments = self.network.attachments()?;
        let main_network = attachments[0].0.clone();
        let source = |name: &str| std::env::var(name).ok();
        let labels = env::variables(&self.label_file, &[], &|_| None)?;
        let body = ContainerCreateBody {
            hostname: self.network.hostname.clone(),
            domainname: self.network.domainname.clone(),
            user: self.user.clone(),
            attach_stdin: Some(attached.is_some_and(|streams| streams.stdin)),
            attach_stdout: Some(attached.is_some_and(|streams| streams.stdout)),
            attach_stderr: Some(attached.is_some_and(|streams| streams.stderr)),
            exposed_ports: some(ports.exposed.into_iter().collect()),
            tty: Some(self.tty),
            open_stdin: Some(self.interactive),
            stdin_once: Some(self.interactive && attached.is_some_and(|streams| streams.stdin)),
            env: some(env::variables(&self.env_file, &self.env, &source)?),
            cmd: some(command.to_vec()),
            healthcheck: self.health.config()?,
            image: Some(image.to_owned()),
            volumes: some(anonymous),
            working_dir: self.workdir.clone(),
            entrypoint: self.entrypoint.clone().map(|entrypoint| vec![entrypoint]),
            labels: Some(key_values(&[labels, self.label.clone()].concat())),
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            host_config: Some(self.host_config(&main_network, binds, ports.bindings.into_iter())?),
            networking_config: Some(NetworkingConfig { endpoints_config: Some(attachments.into_iter().collect()) }),
            ..ContainerCreateBody::default()
        };
        let platform = self.platform.clone().filter(|platform| !platform.is_empty());
        Ok(CreateRequest { name: self.name.clone(), platform, image: image.to_owned(), body })
    }

    /// Annotations, with the grants of a Wasm guest among them.
    fn annotations(&self) -> anyhow::Result<HashMap<String, String>> {
        let mut annotations = key_values(&self.annotation);
        let (allow, deny) = (self.wasm_allow.join(","), self.wasm_deny.join(","));
        Grants::parse(&allow, &deny)?;
        for (key, value) in [(annotations::WASM_ALLOW, allow), (annotations::WASM_DENY, deny)] {
            if !value.is_empty() {
                annotations.insert(key.to_owned(), value);
            }
        }
        Ok(annotations)
    }

    fn host_config(
        &self,
        network: &str,
        binds: Vec<String>,
        ports: impl Iterator<Item = (String, Vec<PortBinding>)>,
    ) -> anyhow::Result<HostConfig> {
        let mut host = HostConfig {
            annotations: some_map(self.annotations()?),
            binds: some(binds),
            mounts: some(self.mount.iter().map(|text| mount::parse(text)).collect::<anyhow::Result<Vec<_>>>()?),
            tmpfs: some_map(self.tmpfs.iter().map(|text| {
                let (dir, options) = text.split_once(':').unwrap_or((text, ""));
                (dir.to_owned(), options.to_owned())
            })),
            network_mode: Some(network.to_owned()),
            port_bindings: Some(ports.map(|(port, bindings)| (port, Some(bindings))).collect()),
            publish_all_ports: Some(self.network.publish_all),
            restart_policy: Some(restart_policy(&self.restart)?),
            auto_remove: Some(self.rm),
            volumes_from: some(self.volumes_from.clone()),
            cap_add: some(self.cap_add.iter().map(|name| capability(name)).collect()),
            cap_drop: some(self.cap_drop.iter().map(|name| capability(name)).collect()),
            dns: some(self.network.dns.clone()),
            dns_options: some(self.network.dns_option.clone()),
            dns_search: some(self.network.dns_search.clone()),
            extra_hosts: some(self.network.extra_hosts()?),
            group_add: some(self.group_add.clone()),
            privileged: Some(self.privileged),
            readonly_rootfs: Some(self.read_only),
            runtime: self.runtime.clone(),
            init: self.init.then_some(true),
            sysctls: some_map(key_values(&self.sysctl)),
            devices: some(self.device.iter().map(|text| device(text)).collect()),
            pid_mode: self.pid.clone(),
            ipc_mode: self.ipc.clone(),
            uts_mode: self.uts.clone(),
            userns_mode: self.userns.clone(),
            cgroupns_mode: self.cgroupns_mode()?,
            log_config: self.log_config(),
            ..HostConfig::default()
        };
        self.limits.apply(&mut host)?;
        self.host.apply(&mut host)?;
        self.apply_security(&mut host)?;
        Ok(host)
    }

    /// Binds, and volumes without a name.
    fn volumes(&self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let (mut binds, mut anonymous) = (Vec::new(), Vec::new());
        if self.volume.is_empty() {
            return Ok((binds, anonymous));
        }
        let working_dir = std::env::current_dir()?;
        for text in &self.volume {
            match volume::parse(text, &working_dir)? {
                Volume::Bind(bind) => binds.push(bind),
                Volume::Anonymous(target) => anonymous.push(target),
            }
        }
        Ok((binds, anonymous))
    }

    /// `systempaths=unconfined` is no option for the daemon: it stands for empty lists. A profile's file is sent along.
    fn apply_security(&self, host: &mut HostConfig) -> anyhow::Result<()> {
        let mut options = Vec::new();
        for option in &self.security_opt {
            match option.split_once(['=', ':']) {
                Some(("systempaths", "unconfined")) => {
                    host.masked_paths = Some(Vec::new());
                    host.readonly_paths = Some(Vec::new());
                }
                Some(("seccomp", profile)) if !matches!(profile, "unconfined" | "builtin") => {
                    let text = fs_err::read_to_string(profile)?;
                    let json: serde_json::Value = serde_json::from_str(&text)?;
                    options.push(format!("seccomp={json}"));
                }
                _ => options.push(option.clone()),
            }
        }
        host.security_opt = some(options);
        Ok(())
    }

    fn cgroupns_mode(&self) -> anyhow::Result<Option<HostConfigCgroupnsModeEnum>> {
        match self.cgroupns.as_deref() {
            None | Some("") => Ok(None),
            Some("host") => Ok(Some(HostConfigCgroupnsModeEnum::HOST)),
            Some("private") => Ok(Some(HostConfigCgroupnsModeEnum::PRIVATE)),
            Some(other) => bail!("invalid cgroup namespace mode `{other}`: expected host or private"),
        }
    }

    fn log_config(&self) -> Option<HostConfigLogConfig> {
        (self.log_driver.is_some() || !self.log_opt.is_empty()).then(|| HostConfigLogConfig {
            typ: Some(self.log_driver.clone().unwrap_or_default()),
            config: Some(key_values(&self.log_opt)),
        })
    }
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn some_map(entries: impl IntoIterator<Item = (String, String)>) -> Option<HashMap<String, String>> {
    let map: HashMap<_, _> = entries.into_iter().collect();
    (!map.is_empty()).then_some(map)
}

/// `net_admin` is `CAP_NET_ADMIN`; `ALL` stays.
fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if upper == "ALL" || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

/// `/dev/a`, `/dev/a:/dev/b`, `/dev/a:rw`, `/dev/a:/dev/b:r`.
fn device(text: &str) -> DeviceMapping {
    let parts: Vec<&str> = text.split(':').collect();
    let permissions = |text: &str| text.bytes().all(|byte| b"rwm".contains(&byte));
    let (host, inside, access) = match parts.as_slice() {
        [host, access] if !access.is_empty() && permissions(access) => (*host, *host, *access),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, access, ..] => (*host, *inside, *access),
        _ => (text, text, "rwm"),
    };
    DeviceMapping {
        path_on_host: Some(host.to_owned()),
        path_in_container: Some(inside.to_owned()),
        cgroup_permissions: Some(access.to_owned()),
    }
}
