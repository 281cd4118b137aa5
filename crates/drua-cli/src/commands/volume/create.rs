use drua_api::models::VolumeCreateRequest;
use drua_types::{VolumeName, exit};

use crate::context::Context;
use crate::failure::Outcome;
use crate::options::key_values;

/// Create a volume
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Volume driver
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// Set metadata for the volume
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short = 'o', long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Name; without one the daemon makes one up
    name: Option<VolumeName>,
}

impl Create {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let request = VolumeCreateRequest {
            name: self.name.map(|name| name.to_string()),
            driver: Some(self.driver),
            driver_opts: Some(key_values(&self.opt)),
            labels: Some(key_values(&self.label)),
            cluster_volume_spec: None,
        };
        let volume = ctx.client().await?.volume_create(&request).await?;
        ctx.ui.line(&volume.name)?;
        Ok(exit::OK)
    }
}
