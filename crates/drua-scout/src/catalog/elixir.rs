//! Erlang and Elixir: `mix.lock`, `rebar.lock`, and the `.app` files of compiled applications.

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};

/// `"jason": {:hex, :jason, "1.4.1", "checksum", …},`, one package a line.
pub(super) fn mix_lock(input: &Input<'_>, found: &mut Found<'_>) {
    for (number, line) in (1..).zip(input.text().lines()) {
        let Some((_, rest)) = line.split_once("{:hex, :") else { continue };
        if let Some((name, rest)) = rest.split_once(", \"")
            && let Some((version, _)) = rest.split_once('"')
            && let Some(entry) =
                found.add(PackageKind::Hex, name.trim_matches('"'), version, (Evidence::Declared, "mix-lock"))
        {
            entry.line = Some(number);
        }
    }
}

/// `{<<"cowboy">>,{pkg,<<"cowboy">>,<<"2.9.0">>},0}`.
pub(super) fn rebar_lock(input: &Input<'_>, found: &mut Found<'_>) {
    for (number, line) in (1..).zip(input.text().lines()) {
        let Some((_, rest)) = line.split_once("{pkg,<<\"") else { continue };
        let mut parts = rest.split("\">>");
        let name = parts.next().unwrap_or_default();
        let version = parts.next().and_then(|part| part.strip_prefix(",<<\""));
        if let Some(version) = version
            && let Some(entry) = found.add(PackageKind::Hex, name, version, (Evidence::Declared, "rebar-lock"))
        {
            entry.line = Some(number);
        }
    }
}

/// `{application, jason, [{vsn, "1.4.1"}, …]}.`
pub(super) fn app(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let name = text.split_once("{application,").map(|(_, rest)| rest.trim_start());
    let name = name.and_then(|rest| rest.split([',', ' ', '\n']).next()).map(|name| name.trim_matches('\''));
    let version = text.split_once("{vsn,").map(|(_, rest)| rest.trim_start());
    let version = version.and_then(|rest| rest.strip_prefix('"')).and_then(|rest| rest.split('"').next());
    if let (Some(name), Some(version)) = (name, version) {
        found.add(PackageKind::Hex, name, version, (Evidence::Installed, "erlang-app"));
    }
}
