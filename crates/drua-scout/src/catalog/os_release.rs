//! Which distribution: `os-release` (freedesktop.org), and `alpine-release` for Alpines without one.

use super::{Found, Input};
use crate::facts::Finding;
use crate::model::Distro;
use crate::text::clean;

pub(super) fn os_release(input: &Input<'_>, found: &mut Found<'_>) {
    let mut distro = Distro::default();
    for line in input.text().lines().take(200) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = unquote(value);
        match key.trim() {
            "ID" => distro.id = value.to_ascii_lowercase(),
            "ID_LIKE" => distro.id_like = value.split_whitespace().map(str::to_ascii_lowercase).collect(),
            "VERSION_ID" => distro.version_id = value,
            "VERSION_CODENAME" => distro.codename = value,
            "PRETTY_NAME" => distro.pretty_name = value,
            "CPE_NAME" => distro.cpe = Some(value),
            _ => {}
        }
    }
    // Debian's unstable: `Debian GNU/Linux trixie/sid`, without version and codename.
    if distro.codename.is_empty() && distro.version_id.is_empty() {
        let last = distro.pretty_name.rsplit(' ').next().unwrap_or_default();
        if last.ends_with("/sid") {
            distro.codename = last.trim_end_matches("/sid").to_owned();
        }
    }
    if !distro.id.is_empty() {
        found.findings.push(Finding::Distro(distro));
    }
}

pub(super) fn alpine_release(input: &Input<'_>, found: &mut Found<'_>) {
    let version = clean(&input.text(), 40);
    found.findings.push(Finding::Distro(Distro {
        id: "alpine".to_owned(),
        pretty_name: format!("Alpine Linux {version}"),
        version_id: version,
        ..Distro::default()
    }));
}

fn unquote(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    clean(&inner.unwrap_or(value).replace("\\\"", "\"").replace("\\$", "$"), 200)
}
