//! The bodies of the engine's create requests, as Docker Compose sends them. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use drua_api::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, Ipam, IpamConfig, Mount as ApiMount, MountBindOptions,
    MountBindOptionsPropagationEnum as Propagation, MountImageOptions, MountTmpfsOptions, MountType,
    MountVolumeOptions, NetworkCreateRequest, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits,
    VolumeCreateRequest,
};
use drua_composefile::{
    Duration, Healthcheck, Labels, Mount, MountKind, Network, PortMapping, Project, Service, ServiceNetwork, Ulimit,
    Volume,
};

use crate::hash::{self, config_hash};
use crate::plan::CreateContainer;
use crate::{files, labels, limits};

/// The security option that unmasks `/proc` and `/sys`.
const UNCONFINED: &str = "systempaths=unconfined";

/// Longest range of ports that is written out.
const MAX_RANGE: u16 = 10_000;

pub(crate) fn network(project: &Project, key: &str, network: &Network) -> NetworkCreateRequest {
    let pool = |pool: &drua_composefile::IpamPool| IpamConfig {
        subnet: pool.subnet.clone(),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        auxiliary_addresses: some_map(&pool.aux_addresses),
    };
    let ipam = &network.ipam;
    let has_ipam = ipam.driver.is_some() || !ipam.config.is_empty() || !ipam.options.is_empty();
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: Some(network.driver.clone().unwrap_or_else(|| "bridge".to_owned())),
        internal: Some(network.internal),
        attachable: Some(network.attachable),
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        ipam: has_ipam.then(|| Ipam {
            driver: Some(ipam.driver.clone().unwrap_or_else(|| "default".to_owned())),
            config: Some(ipam.config.iter().map(pool).collect()),
            options: some_map(&ipam.options),
        }),
        options: some_map(&network.driver_opts),
        labels: Some(resource_labels(project, &network.labels, labels::NETWORK, key, hash::of(network))),
        ..NetworkCreateRequest::default()
    }
}

pub(crate) fn volume(project: &Project, key: &str, volume: &Volume) -> VolumeCreateRequest {
    VolumeCreateRequest {
        name: Some(volume.name.clone()),
        driver: volume.driver.clone(),
        driver_opts: some_map(&volume.driver_opts),
        labels: Some(resource_labels(project, &volume.labels, labels::VOLUME, key, hash::volume_hash(volume))),
        ..VolumeCreateRequest::default()
    }
}

pub(crate) fn container(
    project: &Project,
    service: &Service,
    create: &CreateContainer,
    image_id: &str,
) -> ContainerCreateBody {
    let networks = service.networks_by_priority();
    let full_name =
        |key: &str| project.networks.get(key).map_or_else(|| key.to_owned(), |network| network.name.clone());
    let network_mode = match (&service.network_mode, networks.first()) {
        (Some(mode), _) => mode.to_string(),
        (None, None) => "none".to_owned(),
        (None, Some(first)) => full_name(first),
    };
    let endpoints: HashMap<String, EndpointSettings> = networks
        .iter()
        .map(|key| {
            let options = service.networks.get(*key).and_then(Option::as_ref);
            let mut endpoint = endpoint(service, create, options);
            if networks.first() == Some(key) && endpoint.mac_address.is_none() {
                endpoint.mac_address.clone_from(&service.mac_address);
            }
            (full_name(key), endpoint)
        })
        .collect();
    let interactive = service.stdin_open && create.one_off.is_some();
    let mut host_config = host_config(project, service, create);
    host_config.network_mode = Some(network_mode);
    ContainerCreateBody {
        hostname: service.hostname.clone(),
        domainname: service.domain_name.clone(),
        user: service.user.clone(),
        exposed_ports: some_vec(exposed_ports(service)),
        tty: Some(service.tty),
        open_stdin: Some(service.stdin_open),
        env: Some(environment(service)),
        cmd: service.command.clone(),
        entrypoint: service.entrypoint.clone(),
        healthcheck: service.healthcheck.as_ref().map(healthcheck),
        image: Some(service.image_name(&project.name, &create.service)),
        stdin_once: interactive.then_some(true),
        attach_stdin: interactive.then_some(true),
        volumes: some_vec(anonymous_volumes(service, create)),
        working_dir: service.working_dir.clone(),
        labels: Some(container_labels(project, service, create, image_id)),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period.map(whole_seconds),
        host_config: Some(host_config),
        networking_config: (!endpoints.is_empty()).then_some(NetworkingConfig { endpoints_config: Some(endpoints) }),
        ..ContainerCreateBody::default()
    }
}

fn host_config(project: &Project, service: &Service, create: &CreateContainer) -> HostConfig {
    let (binds, mut mounts) = mounts(project, service, create);
    mounts.extend(files::mounts(project, service));
    let mut host = HostConfig {
        binds: some_vec(binds),
        mounts: some_vec(mounts),
        tmpfs: (!service.tmpfs.is_empty()).then(|| service.tmpfs.iter().map(|entry| tmpfs(entry)).collect()),
        port_bindings: (!service.ports.is_empty()).then(|| port_bindings(&service.ports)),
        restart_policy: if create.one_off.is_some() { None } else { limits::restart_policy(service) },
        auto_remove: create.one_off.as_ref().map(|one_off| one_off.auto_remove),
        annotations: some_map(&service.annotations),
        cgroupns_mode: service.cgroup.as_deref().map(|mode| match mode {
            "host" => HostConfigCgroupnsModeEnum::HOST,
            _ => HostConfigCgroupnsModeEnum::PRIVATE,
        }),
        ipc_mode: service.ipc.clone(),
        pid_mode: service.pid.clone(),
        uts_mode: service.uts.clone(),
        userns_mode: service.userns_mode.clone(),
        security_opt: some_vec(security_options(service)),
        masked_paths: has_bare_system_paths(service).then(Vec::new),
        readonly_paths: has_bare_system_paths(service).then(Vec::new),
        storage_opt: some_map(&service.storage_opt),
        volumes_from: some_vec(service.volumes_from.clone()),
        links: some_vec(links(service)),
        log_config: service
            .logging
            .as_ref()
            .map(|logging| HostConfigLogConfig { typ: logging.driver.clone(), config: some_map(&logging.options) }),
        runtime: service.runtime.clone(),
        init: service.init,
        privileged: Some(service.privileged),
        readonly_rootfs: Some(service.read_only),
        cap_add: some_vec(service.cap_add.clone()),
        cap_drop: some_vec(service.cap_drop.clone()),
        dns: some_vec(service.dns.clone()),
        dns_options: some_vec(service.dns_opt.clone()),
        dns_search: some_vec(service.dns_search.clone()),
        extra_hosts: some_vec(service.extra_hosts.iter().map(|(host, address)| format!("{host}:{address}")).collect()),
        group_add: some_vec(service.group_add.clone()),
        shm_size: service.shm_size.map(|bytes| bytes.0),
        sysctls: some_map(&service.sysctls),
        ulimits: some_vec(service.ulimits.iter().map(|(name, limit)| ulimit(name, *limit)).collect()),
        ..HostConfig::default()
    };
    limits::apply(service, &mut host);
    host
}

/// `systempaths=unconfined` is said by other fields.
fn security_options(service: &Service) -> Vec<String> {
    service.security_opt.iter().filter(|option| *option != UNCONFINED).cloned().collect()
}

fn has_bare_system_paths(service: &Service) -> bool {
    service.security_opt.iter().any(|option| option == UNCONFINED)
}

/// Links to containers outside of the project; those to services are aliases of their networks.
fn links(service: &Service) -> Vec<String> {
    let link = |link: &String| if link.contains(':') { link.clone() } else { format!("{link}:{link}") };
    service.external_links.iter().map(link).collect()
}

/// The other containers find it by its name, its service and its aliases.
fn endpoint(service: &Service, create: &CreateContainer, options: Option<&ServiceNetwork>) -> EndpointSettings {
    let mut aliases = vec![create.final_name.clone()];
    if create.one_off.as_ref().is_none_or(|one_off| one_off.use_aliases) {
        aliases.push(create.service.to_string());
        aliases.extend(options.iter().flat_map(|options| options.aliases.iter().cloned()));
    }
    let mut driver_opts = options.map(|options| options.driver_opts.clone()).unwrap_or_default();
    if let Some(interface) = options.and_then(|options| options.interface_name.clone()) {
        driver_opts.insert("com.docker.network.endpoint.ifname".to_owned(), interface);
    }
    EndpointSettings {
        links: some_vec(create.links.clone()).filter(|_| !service.links.is_empty()),
        driver_opts: some_map(&driver_opts),
        aliases: Some(aliases),
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: options.and_then(|options| options.ipv4_address.clone()),
            ipv6_address: options.and_then(|options| options.ipv6_address.clone()),
            link_local_ips: options.and_then(|options| some_vec(options.link_local_ips.clone())),
        }),
        mac_address: options.and_then(|options| options.mac_address.clone()),
        gw_priority: options.map(|options| options.gw_priority).filter(|priority| *priority != 0),
        ..EndpointSettings::default()
    }
}

/// A variable that was to be passed through and is not set is left out.
fn environment(service: &Service) -> Vec<String> {
    let set = service.environment.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    set.map(|(name, value)| format!("{name}={value}")).collect()
}

fn exposed_ports(service: &Service) -> Vec<String> {
    let mut ports: BTreeSet<String> =
        service.ports.iter().map(|port| format!("{}/{}", port.target, port.protocol)).collect();
    for exposed in &service.expose {
        let (range, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { continue };
        ports.extend((first..=last.min(first.saturating_add(MAX_RANGE))).map(|port| format!("{port}/{protocol}")));
    }
    ports.into_iter().collect()
}

fn port_bindings(ports: &[PortMapping]) -> PortMap {
    let mut bindings = PortMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: Some(port.host_ip.clone().unwrap_or_default()),
            host_port: Some(port.published.clone().unwrap_or_default()),
        };
        let key = format!("{}/{}", port.target, port.protocol);
        bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

/// Simple bind mounts and volumes as `source:target:mode`, which creates missing sources; everything else as mounts.
fn mounts(project: &Project, service: &Service, create: &CreateContainer) -> (Vec<String>, Vec<ApiMount>) {
    let mut binds = Vec::new();
    let mut mounts = Vec::new();
    for mount in &service.volumes {
        let source = match (mount.kind, mount.source.as_deref()) {
            (MountKind::Volume, Some(key)) => project.volumes.get(key).map(|volume| volume.name.clone()),
            (_, source) => source.map(str::to_owned),
        };
        match (short_mode(mount), source) {
            (Some(mode), Some(source)) => binds.push(format!("{source}:{}:{mode}", mount.target)),
            (_, source) if is_anonymous(mount) => drop(source),
            (_, source) => mounts.push(long_mount(mount, source)),
        }
    }
    let inherited = create.inherits.iter().map(|(volume, target)| format!("{volume}:{target}:rw"));
    binds.extend(inherited);
    (binds, mounts)
}

/// The third part of `source:target:mode`, when the short form can say everything.
fn short_mode(mount: &Mount) -> Option<String> {
    let mut mode = vec![if mount.read_only { "ro" } else { "rw" }];
    match mount.kind {
        MountKind::Bind => {
            let bind = mount.bind.as_ref()?;
            if !bind.create_host_path || bind.recursive.is_some() {
                return None;
            }
            mode.extend(bind.selinux.as_deref());
            mode.extend(bind.propagation.as_deref());
        }
        MountKind::Volume => {
            mount.source.as_ref()?;
            let volume = mount.volume.clone().unwrap_or_default();
            if volume.subpath.is_some() || !volume.labels.is_empty() {
                return None;
            }
            if volume.nocopy {
                mode.push("nocopy");
            }
        }
        MountKind::Tmpfs | MountKind::Image | MountKind::NamedPipe | MountKind::Cluster => return None,
    }
    Some(mode.join(","))
}

/// A volume without a name and without options is declared by its path alone.
fn is_anonymous(mount: &Mount) -> bool {
    mount.kind == MountKind::Volume
        && mount.source.is_none()
        && !mount.read_only
        && mount.volume.as_ref().is_none_or(|options| *options == Default::default())
}

fn anonymous_volumes(service: &Service, create: &CreateContainer) -> Vec<String> {
    let inherited = |mount: &&Mount| create.inherits.iter().any(|(_, target)| *target == mount.target);
    let mounts = service.volumes.iter().filter(|mount| is_anonymous(mount) && !inherited(mount));
    mounts.map(|mount| mount.target.clone()).collect()
}

fn long_mount(mount: &Mount, source: Option<String>) -> ApiMount {
    let typ = match mount.kind {
        MountKind::Bind => MountType::BIND,
        MountKind::Volume => MountType::VOLUME,
        MountKind::Tmpfs => MountType::TMPFS,
        MountKind::Image => MountType::IMAGE,
        MountKind::NamedPipe => MountType::NPIPE,
        MountKind::Cluster => MountType::CLUSTER,
    };
    ApiMount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(typ),
        read_only: Some(mount.read_only),
        consistency: mount.consistency.clone(),
        bind_options: mount.bind.as_ref().map(|bind| MountBindOptions {
            propagation: bind.propagation.as_deref().map(propagation),
            create_mountpoint: Some(bind.create_host_path),
            non_recursive: (bind.recursive.as_deref() == Some("disabled")).then_some(true),
            read_only_non_recursive: (bind.recursive.as_deref() == Some("writable")).then_some(true),
            read_only_force_recursive: (bind.recursive.as_deref() == Some("readonly")).then_some(true),
        }),
        volume_options: mount.volume.as_ref().map(|volume| MountVolumeOptions {
            no_copy: Some(volume.nocopy),
            labels: some_map(&volume.labels),
            subpath: volume.subpath.clone(),
            ..MountVolumeOptions::default()
        }),
        image_options: mount.image.as_ref().map(|image| MountImageOptions { subpath: image.subpath.clone() }),
        tmpfs_options: mount.tmpfs.as_ref().map(|tmpfs| MountTmpfsOptions {
            size_bytes: tmpfs.size.map(|size| size.0),
            mode: tmpfs.mode.map(i64::from),
            ..MountTmpfsOptions::default()
        }),
    }
}

fn propagation(name: &str) -> Propagation {
    match name {
        "private" => Propagation::PRIVATE,
        "shared" => Propagation::SHARED,
        "rshared" => Propagation::RSHARED,
        "slave" => Propagation::SLAVE,
        "rslave" => Propagation::RSLAVE,
        // The loader lets nothing else through.
        _ => Propagation::RPRIVATE,
    }
}

fn tmpfs(entry: &str) -> (String, String) {
    let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
    (path.to_owned(), options.to_owned())
}

fn healthcheck(healthcheck: &Healthcheck) -> HealthConfig {
    let nanos =
        |duration: Option<Duration>| duration.map(|duration| i64::try_from(duration.0.as_nanos()).unwrap_or(i64::MAX));
    HealthConfig {
        test: if healthcheck.disable { Some(vec!["NONE".to_owned()]) } else { some_vec(healthcheck.test.clone()) },
        interval: nanos(healthcheck.interval),
        timeout: nanos(healthcheck.timeout),
        retries: healthcheck.retries.map(|retries| i64::try_from(retries).unwrap_or(i64::MAX)),
        start_period: nanos(healthcheck.start_period),
        start_interval: nanos(healthcheck.start_interval),
    }
}

fn ulimit(name: &str, limit: Ulimit) -> ResourcesUlimits {
    let (soft, hard) = match limit {
        Ulimit::Single(limit) => (limit, limit),
        Ulimit::Range { soft, hard } => (soft, hard),
    };
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) }
}

fn container_labels(
    project: &Project,
    service: &Service,
    create: &CreateContainer,
    image_id: &str,
) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = service.labels.clone().into_iter().collect();
    let ours = labels::of_service(project, &create.service, service);
    all.extend(ours.into_iter().map(|(key, value)| (key.to_owned(), value)));
    all.insert(labels::CONFIG_HASH.to_owned(), config_hash(service));
    match &create.one_off {
        None => {
            all.insert(labels::CONTAINER_NUMBER.to_owned(), create.number.to_string());
        }
        Some(one_off) => {
            all.insert(labels::ONE_OFF.to_owned(), "True".to_owned());
            all.insert(labels::SLUG.to_owned(), one_off.slug.clone());
        }
    }
    all.insert(labels::IMAGE.to_owned(), image_id.to_owned());
    if let Some(replaced) = &create.replaces {
        all.insert(labels::REPLACE.to_owned(), replaced.clone());
    }
    all
}

fn resource_labels(
    project: &Project,
    own: &Labels,
    key_label: &str,
    key: &str,
    hash: String,
) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = own.clone().into_iter().collect();
    all.insert(labels::PROJECT.to_owned(), project.name.to_string());
    all.insert(labels::VERSION.to_owned(), labels::OUR_VERSION.to_owned());
    all.insert(key_label.to_owned(), key.to_owned());
    all.insert(labels::CONFIG_HASH.to_owned(), hash);
    all
}

/// Rounded up, so that a fraction of a second is not "at once".
pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.0.as_secs() + u64::from(duration.0.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn some_vec<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.clone().into_iter().collect())
}
