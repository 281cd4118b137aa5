//! `/networks/…`.

use drua_api::models;
use drua_engine::{CreateNetwork, EndpointRequest, Engine, Family, Network, PREDEFINED, SubnetRequest};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::blocking;
use crate::filters::Filters;
use crate::http::{self, Call, Failure, Reply};
use crate::wire;

fn is_predefined(network: &Network) -> bool {
    PREDEFINED.contains(&network.name.as_str())
}

pub(crate) fn list(engine: &Engine, call: &Call) -> Reply {
    let known = ["driver", "type", "name", "id", "label", "label!", "scope", "dangling", "idOrName"];
    let filters = Filters::parse(&call.query, &known)?;
    let dangling = filters.flag("dangling")?;
    let containers = engine.containers();
    let used = |network: &Network| containers.iter().any(|c| c.requests.contains_key(network.name.as_str()));
    let shown = |network: &&std::sync::Arc<Network>| {
        filters.labels(&network.labels)
            && filters.any("name", |wanted| wire::name_matches(network.name.as_str(), wanted))
            && filters.any("id", |wanted| network.id.as_str().contains(wanted))
            && filters.any("idOrName", |wanted| network.id.as_str() == wanted || network.name.as_str() == wanted)
            && filters.any("driver", |wanted| network.driver == wanted)
            && filters.any("scope", |wanted| wanted == "local")
            && filters.any("type", |wanted| (wanted == "builtin") == is_predefined(network))
            && dangling.is_none_or(|dangling| dangling == (!is_predefined(network) && !used(network)))
    };
    let networks: Vec<Value> =
        engine.networks().iter().filter(shown).map(|network| wire::network::network(network, &[])).collect();
    http::json(&networks)
}

pub(crate) fn inspect(engine: &Engine, name: &str) -> Reply {
    let network = engine.network(name)?;
    http::json(&wire::network::network(&network, &engine.containers()))
}

pub(crate) async fn create(engine: Engine, mut call: Call) -> Reply {
    let body: models::NetworkCreateRequest =
        call.json().await?.ok_or_else(|| Failure::invalid("a network needs a name"))?;
    let ipam = body.ipam.unwrap_or_default();
    let mut subnets = Vec::new();
    for config in ipam.config.unwrap_or_default() {
        fn parse<T: std::str::FromStr>(what: &str, text: Option<String>) -> Result<Option<T>, Failure> {
            let text = text.filter(|text| !text.is_empty());
            text.map(|text| text.parse().map_err(|_| Failure::invalid(format!("invalid {what} {text}")))).transpose()
        }
        subnets.push(SubnetRequest {
            subnet: parse("subnet", config.subnet)?,
            range: parse("IP range", config.ip_range)?,
            gateway: parse("gateway", config.gateway)?,
        });
    }
    if body.enable_ipv4 == Some(false) {
        return Err(Failure::new(hyper::StatusCode::NOT_IMPLEMENTED, "networks without IPv4 are not supported yet"));
    }
    let ipv6 = body.enable_ipv6.unwrap_or_default();
    let ignored = subnets.iter().find(|subnet| !ipv6 && subnet.family() == Family::V6);
    let warning = ignored.and_then(|ignored| ignored.subnet).map(|subnet| {
        format!("the subnet {subnet} is not used, since IPv6 is not enabled; create the network with --ipv6")
    });
    let request = CreateNetwork {
        name: body.name,
        driver: body.driver.unwrap_or_default(),
        subnets,
        ipv6,
        internal: body.internal.unwrap_or_default(),
        attachable: body.attachable.unwrap_or_default(),
        options: body.options.unwrap_or_default().into_iter().collect(),
        labels: body.labels.unwrap_or_default().into_iter().collect(),
    };
    let network = blocking(move || Ok(engine.create_network(request)?)).await?;
    http::created(&json!({ "Id": network.id, "Warning": warning.unwrap_or_default() }))
}

pub(crate) async fn remove(engine: Engine, name: String) -> Reply {
    blocking(move || Ok(engine.remove_network(&name)?)).await?;
    http::no_content()
}

pub(crate) async fn connect(engine: &Engine, name: &str, mut call: Call) -> Reply {
    let body: models::NetworkConnectRequest =
        call.json().await?.ok_or_else(|| Failure::invalid("no container given"))?;
    let request = match body.endpoint_config {
        Some(settings) => wire::create::endpoint(settings)?,
        None => EndpointRequest::default(),
    };
    engine.connect(name, &body.container, request).await?;
    Ok(http::empty(hyper::StatusCode::OK))
}

pub(crate) async fn disconnect(engine: &Engine, name: &str, mut call: Call) -> Reply {
    let body: models::NetworkDisconnectRequest =
        call.json().await?.ok_or_else(|| Failure::invalid("no container given"))?;
    engine.disconnect(name, &body.container).await?;
    Ok(http::empty(hyper::StatusCode::OK))
}

pub(crate) async fn prune(engine: Engine, call: Call) -> Reply {
    let filters = Filters::parse(&call.query, &["label", "label!", "until"])?;
    let until = filters.until(Timestamp::now())?;
    let deleted = blocking(move || {
        let containers = engine.containers();
        let unused = |network: &Network| {
            !is_predefined(network)
                && filters.labels(&network.labels)
                && until.is_none_or(|until| network.created <= until)
                && !containers.iter().any(|container| container.requests.contains_key(network.name.as_str()))
        };
        let candidates = engine.networks().into_iter().filter(|network| unused(network));
        let removed = candidates.filter(|network| engine.remove_network(network.id.as_str()).is_ok());
        Ok(removed.map(|network| network.name.to_string()).collect::<Vec<_>>())
    })
    .await?;
    http::json(&json!({ "NetworksDeleted": deleted }))
}
