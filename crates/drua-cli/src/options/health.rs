use anyhow::bail;
use drua_api::models::HealthConfig;

use super::go_duration;

/// Options of the health check
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Health check")]
pub(crate) struct HealthArgs {
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_interval: Option<String>,
    /// Maximum time to allow one check to run (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_timeout: Option<String>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "N")]
    health_retries: Option<i64>,
    /// Time for the container to start before failures count (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_start_period: Option<String>,
    /// Time between running the check during the start period (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    health_start_interval: Option<String>,
    /// Disable any health check of the image
    #[arg(long)]
    no_healthcheck: bool,
}

impl HealthArgs {
    pub(crate) fn config(&self) -> anyhow::Result<Option<HealthConfig>> {
        let duration = |text: &Option<String>| text.as_deref().map(go_duration).transpose();
        let config = HealthConfig {
            test: self.health_cmd.clone().map(|command| vec!["CMD-SHELL".to_owned(), command]),
            interval: duration(&self.health_interval)?,
            timeout: duration(&self.health_timeout)?,
            retries: self.health_retries,
            start_period: duration(&self.health_start_period)?,
            start_interval: duration(&self.health_start_interval)?,
        };
        let given = config != HealthConfig::default();
        match (self.no_healthcheck, given) {
            (true, true) => bail!("--no-healthcheck conflicts with --health-* options"),
            (true, false) => Ok(Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() })),
            (false, true) => Ok(Some(config)),
            (false, false) => Ok(None),
        }
    }
}
