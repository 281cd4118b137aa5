//! Docker's words for durations and states.

use drua_engine::container::Health;
use drua_engine::{Container, Status};
use jiff::Timestamp;

/// How long, in words (docker/go-units `HumanDuration`).
pub(crate) fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let days = hours / 24;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if days < 14 => format!("{days} days"),
        () if days < 60 => format!("{} weeks", days / 7),
        () if days < 730 => format!("{} months", days / 30),
        () => format!("{} years", days / 365),
    }
}

/// The STATUS column of `docker ps`.
pub(crate) fn status(container: &Container, now: Timestamp) -> String {
    let state = &container.state;
    let since = |time: Option<Timestamp>| human_duration(time.map_or(0, |time| now.as_second() - time.as_second()));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let health = container.health.as_ref().map_or("", |health| match health.status {
                Health::Starting => " (health: starting)",
                Health::Healthy => " (healthy)",
                Health::Unhealthy => " (unhealthy)",
            });
            format!("Up {}{health}", since(state.started_at))
        }
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at)),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_docker() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (3600 * 47, "47 hours"),
            (3600 * 24 * 3, "3 days"),
            (3600 * 24 * 20, "2 weeks"),
            (3600 * 24 * 70, "2 months"),
            (3600 * 24 * 800, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), words);
        }
    }
}
