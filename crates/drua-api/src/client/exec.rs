//! Further processes in running containers: `/containers/{}/exec`, `/exec/…`; and changes to running containers.

use serde::Deserialize;
use serde_json::json;

use super::{Attached, Call, Client};
use crate::models::{ContainerUpdateBody, ExecConfig, ExecInspectResponse};
use crate::query::segment;
use crate::{ClientError, Query};

/// What the daemon has to say about a change that it has made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Updated {
    warnings: Option<Vec<String>>,
}

fn path(id: &str, verb: &str) -> String {
    format!("/exec/{}/{verb}", segment(id))
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Prepares an exec and returns its id.
    pub async fn exec_create(&self, container: &str, config: &ExecConfig) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(rename = "Id")]
            id: String,
        }
        let call = Call::post(format!("/containers/{}/exec", segment(container))).json(config);
        let created: Created = self.decode(call).await?;
        Ok(created.id)
    }

    /// Starts an exec and takes its streams. `size` is its terminal's: rows, columns.
    pub async fn exec_start(&self, id: &str, tty: bool, size: Option<(u16, u16)>) -> Result<Attached, ClientError> {
        let mut body = json!({ "Detach": false, "Tty": tty });
        if let Some((rows, columns)) = size {
            body["ConsoleSize"] = json!([rows, columns]);
        }
        self.hijack(Call::post(path(id, "start")).json(&body)).await
    }

    /// Starts an exec in the background.
    pub async fn exec_start_detached(&self, id: &str, tty: bool) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "start")).json(&json!({ "Detach": true, "Tty": tty }))).await
    }

    /// Tells an exec's terminal its size.
    pub async fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<(), ClientError> {
        let query = Query::new().with("h", &rows.to_string()).with("w", &columns.to_string());
        self.done(Call::post(path(id, "resize")).query(query)).await
    }

    /// Everything about an exec; its exit code is there as soon as its streams have ended.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspectResponse, ClientError> {
        self.decode(Call::get(path(id, "json"))).await
    }

    /// Changes limits and restart policy of a container; returns warnings.
    pub async fn container_update(&self, id: &str, update: &ContainerUpdateBody) -> Result<Vec<String>, ClientError> {
        let call = Call::post(format!("/containers/{}/update", segment(id))).json(update);
        let updated: Updated = self.decode(call).await?;
        Ok(updated.warnings.unwrap_or_default())
    }
}
