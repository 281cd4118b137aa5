//! What the engine has of a project.

use std::collections::BTreeMap;

use drua_api::client::ListContainers;
use drua_api::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use drua_api::{Client, Filters};

use crate::error::ComposeError;
use crate::labels;

/// What the engine has, as far as planning needs it.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The project's containers, one-off ones left out.
    pub containers: Vec<ObservedContainer>,
    /// All networks by name.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// The project label of all volumes by name.
    pub volumes: BTreeMap<String, Option<String>>,
}

/// A container of the project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedContainer {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Its service.
    pub service: String,
    /// Its number within the service.
    pub number: u32,
    /// The image's name, as it was given at creation.
    pub image: String,
    /// Hash of the configuration that it was created from.
    pub config_hash: Option<String>,
    /// Id of the image that it was created from.
    pub image_id: Option<String>,
    /// Services that it depends on.
    pub depends_on: Vec<String>,
    /// It runs, or is paused or about to be restarted.
    pub running: bool,
    /// Ids of its networks by name; `None` when the engine does not list them.
    pub networks: Option<BTreeMap<String, String>>,
    /// Mounted volumes as (name, path); `None` when the engine does not list them.
    pub volumes: Option<Vec<(String, String)>>,
}

/// A network of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedNetwork {
    /// Full id.
    pub id: String,
    /// The project that it belongs to.
    pub project: Option<String>,
}

impl Observed {
    /// The containers of a service by number.
    pub fn of_service(&self, service: &str) -> Vec<&ObservedContainer> {
        let mut found: Vec<_> = self.containers.iter().filter(|container| container.service == service).collect();
        found.sort_by_key(|container| (container.number, &container.name));
        found
    }
}

/// Asks the engine.
///
/// # Errors
/// [`ComposeError::Request`].
pub async fn observe(client: &Client, project: &str) -> Result<Observed, ComposeError> {
    let no_filters = Filters::new();
    let (containers, networks, volumes) = tokio::join!(
        list_containers(client, project),
        client.network_list(&no_filters),
        client.volume_list(&no_filters),
    );
    let networks = networks.map_err(ComposeError::request("list networks"))?;
    let volumes = volumes.map_err(ComposeError::request("list volumes"))?;
    Ok(Observed {
        containers: containers?.into_iter().map(container).collect(),
        networks: networks
            .into_iter()
            .map(|network| {
                let project = network.labels.and_then(|mut labels| labels.remove(labels::PROJECT));
                let id = network.id.unwrap_or_default();
                (network.name.unwrap_or_default(), ObservedNetwork { id, project })
            })
            .collect(),
        volumes: volumes
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|mut volume| (volume.name, volume.labels.remove(labels::PROJECT)))
            .collect(),
    })
}

/// All containers of the project except one-off ones, running or not.
pub(crate) async fn list_containers(client: &Client, project: &str) -> Result<Vec<ContainerSummary>, ComposeError> {
    let filters = Filters::new()
        .with("label", &format!("{}={project}", labels::PROJECT))
        .with("label", &format!("{}=False", labels::ONE_OFF));
    let options = ListContainers { all: true, filters, ..ListContainers::default() };
    client.container_list(&options).await.map_err(ComposeError::request("list containers"))
}

pub(crate) fn container(summary: ContainerSummary) -> ObservedContainer {
    let mut labels = summary.labels.unwrap_or_default();
    let mut take = |key: &str| labels.remove(key);
    let networks = summary.network_settings.and_then(|settings| settings.networks).map(|networks| {
        networks.into_iter().map(|(name, endpoint)| (name, endpoint.network_id.unwrap_or_default())).collect()
    });
    let volumes = summary.mounts.map(|mounts| {
        let volumes = mounts.into_iter().filter(|mount| mount.typ.as_deref() == Some("volume"));
        volumes.map(|mount| (mount.name.unwrap_or_default(), mount.destination.unwrap_or_default())).collect()
    });
    ObservedContainer {
        id: summary.id.unwrap_or_default(),
        name: name_of(summary.names),
        service: take(labels::SERVICE).unwrap_or_default(),
        number: take(labels::CONTAINER_NUMBER).and_then(|number| number.parse().ok()).unwrap_or(1),
        image: summary.image.unwrap_or_default(),
        config_hash: take(labels::CONFIG_HASH),
        image_id: take(labels::IMAGE),
        depends_on: take(labels::DEPENDS_ON)
            .map(|label| labels::dependencies(&label).map(str::to_owned).collect())
            .unwrap_or_default(),
        running: matches!(summary.state, Some(State::RUNNING | State::PAUSED | State::RESTARTING)),
        networks,
        volumes,
    }
}

/// The shortest name: links add longer ones.
pub(crate) fn name_of(names: Option<Vec<String>>) -> String {
    let names = names.unwrap_or_default();
    let shortest = names.iter().min_by_key(|name| name.len());
    shortest.map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default()
}
