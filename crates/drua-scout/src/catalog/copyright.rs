//! Licences of Debian packages, from `usr/share/doc/<package>/copyright` (Debian's machine-readable format 1.0; older
//! ones are searched for the files in `common-licenses` that they point to).

use std::collections::BTreeSet;

use super::{Found, Input};
use crate::facts::Finding;
use crate::text::clean;

pub(super) fn copyright(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(package) = input.path.rsplit('/').nth(1) else { return };
    let text = input.text();
    let mut licenses: BTreeSet<String> = BTreeSet::new();
    for line in text.lines() {
        if let Some(license) = line.strip_prefix("License:") {
            let license = clean(license, 200);
            // Some authors put a sentence there; a name has few words.
            if !license.is_empty() && license.split_whitespace().count() <= 8 {
                licenses.insert(license);
            }
        } else if let Some((_, rest)) = line.split_once("/usr/share/common-licenses/") {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-.+".contains(*c)).collect();
            licenses.insert(name.trim_end_matches('.').to_owned());
        }
    }
    licenses.remove("");
    let licenses = licenses.into_iter().take(100).collect();
    found.findings.push(Finding::Licenses { package: package.to_owned(), licenses });
}
