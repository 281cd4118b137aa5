use std::fmt::Write as _;

use drua_composefile::{Service, Volume};
use sha2::{Digest as _, Sha256};

/// The hash by which a container's configuration is compared with its service's; the same as Docker Compose's.
///
/// SHA-256 of the service's canonical JSON without what does not shape a single container: `build`, `pull_policy`, `scale`,
/// `deploy.replicas`, `depends_on`, `profiles`.
pub fn config_hash(service: &Service) -> String {
    let mut service = service.clone();
    service.pull_policy = None;
    service.scale = None;
    service.depends_on.clear();
    service.profiles.clear();
    if let Some(deploy) = &mut service.deploy {
        deploy.replicas = None;
    }
    service.build = None;
    of(&service)
}

/// SHA-256 of a value's canonical JSON.
pub(crate) fn of<T: serde::Serialize>(value: &T) -> String {
    Sha256::digest(drua_composefile::compact_json(value)).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The hash of a volume, whose driver is `local` when it has none.
pub(crate) fn volume_hash(volume: &Volume) -> String {
    let mut volume = volume.clone();
    volume.driver.get_or_insert_with(|| "local".to_owned());
    of(&volume)
}
