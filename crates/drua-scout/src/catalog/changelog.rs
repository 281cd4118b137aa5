//! Evidence that travels with an image: CVE ids in Debian's changelogs, and VEX documents.

use std::collections::BTreeSet;
use std::io::Read as _;

use super::{Found, Input};
use crate::facts::Finding;

/// VEX documents larger than this are not read.
const MAX_VEX: usize = 4 << 20;

pub(super) fn debian(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(package) = input.path.rsplit('/').nth(1) else { return };
    let mut inflated = Vec::new();
    let bytes = if input.bytes.starts_with(b"\x1f\x8b") {
        let limit = found.inflatable.min(64 << 20);
        match flate2::read::MultiGzDecoder::new(input.bytes).take(limit).read_to_end(&mut inflated) {
            Ok(_) => &inflated[..],
            // The packages are known without it.
            Err(_) => return,
        }
    } else {
        input.bytes
    };
    let ids = cve_ids(bytes);
    if !ids.is_empty() {
        found.findings.push(Finding::Changelog { package: package.to_owned(), ids: ids.into_iter().collect() });
    }
}

pub(super) fn vex(input: &Input<'_>, found: &mut Found<'_>) {
    if input.bytes.len() <= MAX_VEX
        && let Ok(text) = std::str::from_utf8(input.bytes)
    {
        found.findings.push(Finding::Vex(text.to_owned()));
    } else {
        found.unreadable("it is larger than 4 MiB or not text");
    }
}

/// `CVE-2024-12345`, wherever it stands.
fn cve_ids(bytes: &[u8]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(4).position(|window| window == b"CVE-") {
        rest = &rest[at + 4..];
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits(rest) == 4 && rest.get(4) == Some(&b'-') {
            let number = digits(&rest[5..]);
            if (4..=9).contains(&number) {
                ids.insert(format!("CVE-{}", String::from_utf8_lossy(&rest[..5 + number])));
            }
        }
    }
    ids
}
