//! Rules about labels, by the configuration's schema.

use drua_dockerfile::{Kind, Pair};

use crate::config::LabelKind;
use crate::input::{Date, Input};
use crate::report::Sink;
use crate::unit::View;

pub(super) fn check(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    let schema = &input.config.labels;
    for step in &view.steps {
        let Kind::Label(pairs) = &step.instruction.kind else { continue };
        for pair in pairs {
            let name = pair.name.text.trim_matches(['"', '\'']);
            if !is_key(name) {
                sink.add("DL3048", pair.name.span, format!("`{name}` is no good key for a label"));
            }
            match schema.get(name) {
                Some(kind) => value(*kind, pair, sink),
                None if input.config.strict_labels && !schema.is_empty() => {
                    sink.add(
                        "DL3050",
                        pair.name.span,
                        format!("the label `{name}` is not among those of the configuration"),
                    );
                }
                None => {}
            }
        }
    }
    let Some(last) = view.last() else { return };
    let steps = view.inherited_steps(last);
    for name in schema.keys() {
        let has = steps.iter().any(|step| match &step.instruction.kind {
            Kind::Label(pairs) => pairs.iter().any(|pair| pair.name.text.trim_matches(['"', '\'']) == name),
            _ => false,
        });
        if !has {
            sink.add("DL3049", last.stage.from.base.span, format!("the label `{name}` is missing"));
        }
    }
}

fn is_key(name: &str) -> bool {
    const RESERVED: [&str; 3] = ["com.docker.", "io.docker.", "org.dockerproject."];
    let ends = |c: char| c.is_ascii_alphanumeric();
    name.contains('$')
        || name.starts_with(ends)
            && name.ends_with(ends)
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/'))
            && !name.contains("..")
            && !name.contains("--")
            && !RESERVED.iter().any(|prefix| name.starts_with(prefix))
}

fn value(kind: LabelKind, pair: &Pair, sink: &mut Sink<'_>) {
    let text = pair.value.text.trim_matches(['"', '\'']);
    if text.contains('$') {
        return;
    }
    let name = pair.name.text.trim_matches(['"', '\'']);
    let (code, fits, what) = match kind {
        LabelKind::Text => ("DL3051", !text.is_empty(), "a text"),
        LabelKind::Url => ("DL3052", is_url(text), "a URL"),
        LabelKind::Time => ("DL3053", is_time(text), "a date and time such as 2026-07-26T14:23:00Z"),
        LabelKind::License => ("DL3054", is_license(text), "an SPDX license expression such as Apache-2.0"),
        LabelKind::GitHash => ("DL3055", is_hash(text), "a git commit"),
        LabelKind::Version => ("DL3056", is_version(text), "a semantic version such as 1.2.3"),
        LabelKind::Email => ("DL3058", is_email(text), "an e-mail address"),
    };
    if !fits {
        sink.add(code, pair.value.span, format!("`{name}` should be {what}"));
    }
}

fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric())
            && !rest.is_empty()
            && !rest.contains(' ')
    })
}

fn is_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return false };
    let zone = time.find(['Z', 'z', '+', '-']);
    let Some(zone) = zone else { return false };
    let clock: Vec<&str> = time[..zone].split(':').collect();
    let number = |text: &str, most: f32| text.parse::<f32>().is_ok_and(|value| (0.0..=most).contains(&value));
    Date::parse(date).is_some()
        && matches!(clock.as_slice(), [h, m, s] if number(h, 23.0) && number(m, 59.0) && number(s, 60.0))
        && (time[zone..].len() == 1 || time[zone..].len() == 6)
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 7 | 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_version(text: &str) -> bool {
    let (core, build) = text.split_once('+').map_or((text, None), |(core, build)| (core, Some(build)));
    let (core, pre) = core.split_once('-').map_or((core, None), |(core, pre)| (core, Some(pre)));
    let numbers: Vec<&str> = core.split('.').collect();
    let number = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (*text == "0" || !text.starts_with('0'))
    };
    let words = |text: &str| {
        text.split('.').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    numbers.len() == 3 && numbers.iter().all(number) && pre.is_none_or(words) && build.is_none_or(words)
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !text.contains(' ') && host.contains('.') && host.split('.').all(|part| !part.is_empty())
    })
}

/// Operators and the identifiers that images are published under; `LicenseRef-` allows any other.
fn is_license(text: &str) -> bool {
    const IDS: &[&str] = &[
        "0BSD",
        "AFL-2.1",
        "AFL-3.0",
        "AGPL-1.0-only",
        "AGPL-1.0-or-later",
        "AGPL-3.0",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-1.0",
        "Apache-1.1",
        "Apache-2.0",
        "APSL-2.0",
        "Artistic-1.0",
        "Artistic-2.0",
        "BlueOak-1.0.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-2-Clause-Patent",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSD-4-Clause",
        "BSL-1.0",
        "BUSL-1.1",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "CDDL-1.0",
        "CDDL-1.1",
        "CECILL-2.1",
        "CPL-1.0",
        "curl",
        "ECL-2.0",
        "EPL-1.0",
        "EPL-2.0",
        "EUPL-1.1",
        "EUPL-1.2",
        "FTL",
        "GPL-1.0",
        "GPL-1.0-only",
        "GPL-1.0-or-later",
        "GPL-2.0",
        "GPL-2.0+",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "GPL-3.0",
        "GPL-3.0+",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "HPND",
        "ICU",
        "IPL-1.0",
        "ISC",
        "JSON",
        "LGPL-2.0",
        "LGPL-2.0-only",
        "LGPL-2.0-or-later",
        "LGPL-2.1",
        "LGPL-2.1+",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "LGPL-3.0",
        "LGPL-3.0+",
        "LGPL-3.0-only",
        "LGPL-3.0-or-later",
        "Libpng",
        "LPL-1.02",
        "LPPL-1.3c",
        "MIT",
        "MIT-0",
        "MIT-Modern-Variant",
        "MPL-1.0",
        "MPL-1.1",
        "MPL-2.0",
        "MS-PL",
        "MS-RL",
        "MulanPSL-2.0",
        "NCSA",
        "NPL-1.1",
        "OFL-1.1",
        "OLDAP-2.8",
        "OpenSSL",
        "OSL-3.0",
        "PHP-3.01",
        "PostgreSQL",
        "PSF-2.0",
        "Python-2.0",
        "QPL-1.0",
        "Ruby",
        "SSPL-1.0",
        "Sleepycat",
        "TCL",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "Unlicense",
        "UPL-1.0",
        "Vim",
        "W3C",
        "WTFPL",
        "X11",
        "Zlib",
        "ZPL-2.1",
    ];
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')')).filter(|word| !word.is_empty());
    let mut wants_name = true;
    for word in words {
        let is_operator = matches!(word, "AND" | "OR" | "WITH");
        if is_operator == wants_name {
            return false;
        }
        // What follows WITH is an exception, of which there is an own list.
        let known = IDS.iter().any(|id| id.eq_ignore_ascii_case(word))
            || word.starts_with("LicenseRef-")
            || word.ends_with("-exception");
        if !is_operator && !known {
            return false;
        }
        wants_name = is_operator;
    }
    !wants_name
}
