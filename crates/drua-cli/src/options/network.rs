use anyhow::bail;
use drua_api::models::{EndpointIpamConfig, EndpointSettings};

use super::key_values;

/// Options of the networks
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Connect the container to a network; repeatable
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub(crate) network: Vec<String>,
    /// Another name of the container in its network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    pub(crate) network_alias: Vec<String>,
    /// IPv4 address in the network, for example 172.30.100.104
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<String>,
    /// IPv6 address in the network, for example 2001:db8::33
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip6: Option<String>,
    /// MAC address, for example 92:d0:c6:0a:29:33
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) mac_address: Option<String>,
    /// Publish a port: [[ip:]host-port:]container-port[/protocol]; ports may be ranges
    #[arg(short, long, value_name = "PORT")]
    pub(crate) publish: Vec<String>,
    /// Publish all exposed ports on free ports
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "PORT")]
    pub(crate) expose: Vec<String>,
    /// DNS server
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
    /// DNS search domain
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_search: Vec<String>,
    /// DNS option
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    pub(crate) dns_option: Vec<String>,
    /// Line for /etc/hosts: name:address
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Host name of the container
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Domain name of the container
    #[arg(long, value_name = "NAME")]
    pub(crate) domainname: Option<String>,
}

/// A network and how a container is attached to it.
pub(crate) type Attachment = (String, EndpointSettings);

impl NetworkArgs {
    /// The networks, the main one first; `default` when none is named.
    pub(crate) fn attachments(&self) -> anyhow::Result<Vec<Attachment>> {
        let mut attachments = match self.network.as_slice() {
            [] => vec![("default".to_owned(), EndpointSettings::default())],
            named => named.iter().map(|text| attachment(text)).collect::<anyhow::Result<Vec<_>>>()?,
        };
        let names = |index: usize| attachments[index].0.as_str();
        if let Some(twice) = (1..attachments.len()).find(|&index| (0..index).any(|other| names(other) == names(index)))
        {
            bail!("network \"{}\" is specified multiple times", names(twice));
        }
        let special = |name: &str| matches!(name, "host" | "none") || name.starts_with("container:");
        if attachments.len() > 1 && attachments.iter().any(|(name, _)| special(name)) {
            bail!("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
        }
        // The separate options are about the first network, which must not say the same itself.
        let (_, main) = &mut attachments[0];
        if !self.network_alias.is_empty() {
            if main.aliases.is_some() {
                bail!("conflicting options: cannot specify both --network-alias and per-network alias");
            }
            main.aliases = Some(self.network_alias.clone());
        }
        if self.ip.is_some() || self.ip6.is_some() {
            let ipam = main.ipam_config.get_or_insert_default();
            if ipam.ipv4_address.is_some() || ipam.ipv6_address.is_some() {
                bail!("conflicting options: cannot specify both --ip and per-network IP address");
            }
            ipam.ipv4_address.clone_from(&self.ip);
            ipam.ipv6_address.clone_from(&self.ip6);
        }
        if self.mac_address.is_some() {
            main.mac_address.clone_from(&self.mac_address);
        }
        Ok(attachments)
    }

    /// `name:address`, also as `name=address`.
    pub(crate) fn extra_hosts(&self) -> anyhow::Result<Vec<String>> {
        let host = |text: &String| match text.split_once(['=', ':']) {
            Some((name, address)) if !name.is_empty() && !address.is_empty() => {
                Ok(format!("{name}:{}", address.trim_start_matches('[').trim_end_matches(']')))
            }
            _ => bail!("bad format for add-host: \"{text}\""),
        };
        self.add_host.iter().map(host).collect()
    }
}

/// `web`, or `name=web,alias=a,ip=10.0.0.2,driver-opt=k=v`.
pub(crate) fn attachment(text: &str) -> anyhow::Result<Attachment> {
    let mut endpoint = EndpointSettings::default();
    if !text.contains('=') {
        return Ok((text.to_owned(), endpoint));
    }
    let mut name = None;
    for field in text.split(',') {
        let Some((key, value)) = field.split_once('=') else {
            bail!("invalid field {field} in `--network {text}`");
        };
        let ipam = |endpoint: &mut EndpointSettings| -> EndpointIpamConfig {
            endpoint.ipam_config.clone().unwrap_or_default()
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = Some(value.to_owned()),
            "alias" => endpoint.aliases.get_or_insert_default().push(value.to_owned()),
            "ip" => {
                endpoint.ipam_config =
                    Some(EndpointIpamConfig { ipv4_address: Some(value.to_owned()), ..ipam(&mut endpoint) });
            }
            "ip6" => {
                endpoint.ipam_config =
                    Some(EndpointIpamConfig { ipv6_address: Some(value.to_owned()), ..ipam(&mut endpoint) });
            }
            "mac-address" => endpoint.mac_address = Some(value.to_owned()),
            "driver-opt" => endpoint.driver_opts.get_or_insert_default().extend(key_values(&[value.to_owned()])),
            "gw-priority" => endpoint.gw_priority = Some(value.parse()?),
            other => bail!("invalid field key {other} in `--network {text}`"),
        }
    }
    let Some(name) = name else {
        bail!("network name must be specified: `--network name=…`");
    };
    Ok((name, endpoint))
}
