//! `/volumes/…`.

use drua_api::models;
use drua_engine::{CreateVolume, Engine, Volume};
use serde_json::{Value, json};

use super::blocking;
use crate::filters::Filters;
use crate::http::{self, Call, Reply};
use crate::wire;

pub(super) fn volume_json(volume: &Volume) -> Value {
    let options = if volume.options.is_empty() { Value::Null } else { json!(volume.options) };
    json!({
        "CreatedAt": volume.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "Driver": volume.driver,
        "Labels": if volume.labels.is_empty() { Value::Null } else { json!(volume.labels) },
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": options,
        "Scope": "local",
    })
}

pub(crate) fn list(engine: &Engine, call: &Call) -> Reply {
    let filters = Filters::parse(&call.query, &["dangling", "driver", "label", "label!", "name"])?;
    let dangling = filters.flag("dangling")?;
    let shown = |volume: &&std::sync::Arc<Volume>| {
        filters.labels(&volume.labels)
            && filters.any("name", |wanted| wire::name_matches(volume.name.as_str(), wanted))
            && filters.any("driver", |wanted| volume.driver == wanted)
            && dangling.is_none_or(|dangling| dangling == (engine.volume_users(&volume.name) == 0))
    };
    let volumes: Vec<Value> = engine.volumes().iter().filter(shown).map(|volume| volume_json(volume)).collect();
    http::json(&json!({ "Volumes": volumes, "Warnings": null }))
}

pub(crate) async fn create(engine: &Engine, mut call: Call) -> Reply {
    let body: models::VolumeCreateRequest = call.json().await?.unwrap_or_default();
    let request = CreateVolume {
        name: body.name,
        driver: body.driver.unwrap_or_default(),
        labels: body.labels.unwrap_or_default().into_iter().collect(),
        options: body.driver_opts.unwrap_or_default().into_iter().collect(),
    };
    http::created(&volume_json(&*engine.create_volume(request)?))
}

pub(crate) fn inspect(engine: &Engine, name: &str) -> Reply {
    http::json(&volume_json(&*engine.volume(name)?))
}

pub(crate) async fn remove(engine: Engine, name: String, call: Call) -> Reply {
    let force = call.query.flag("force");
    blocking(move || Ok(engine.remove_volume(&name, force)?)).await?;
    http::no_content()
}

pub(crate) async fn prune(engine: Engine, call: Call) -> Reply {
    let filters = Filters::parse(&call.query, &["label", "label!", "all"])?;
    let all = filters.flag("all")?.unwrap_or(false);
    let deleted = blocking(move || {
        let unused =
            |volume: &std::sync::Arc<Volume>| (all || Engine::is_anonymous(volume)) && filters.labels(&volume.labels);
        let candidates = engine.volumes().into_iter().filter(unused);
        let mut deleted = (Vec::new(), 0);
        for volume in candidates {
            let size = super::system::tree_size(&volume.mountpoint);
            // One that is in use stays, and so does one that somebody else has just removed.
            if engine.remove_volume(volume.name.as_str(), false).is_ok() {
                deleted.0.push(volume.name.to_string());
                deleted.1 += size;
            }
        }
        Ok(deleted)
    })
    .await?;
    http::json(&json!({ "VolumesDeleted": deleted.0, "SpaceReclaimed": deleted.1 }))
}
