//! `drua compose` as the docker CLI's plugin: the program linked as `docker-compose` in `cli-plugins`.
//!
//! The docker CLI asks a plugin what it is with `docker-cli-plugin-metadata`, and then runs it with the whole command line,
//! `-H … compose up -d`. Called by itself, as `docker-compose up -d`, it is Compose as well.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name that makes the program the plugin.
const NAME: &str = "docker-compose";
/// Options of the docker CLI with a value that mean nothing to drua.
const IGNORED_WITH_VALUE: [&str; 8] =
    ["--config", "-c", "--context", "-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey"];

/// What a command line means to the plugin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// Not as the plugin.
    Plainly,
    /// Say what the plugin is.
    ForMetadata,
    /// Run this command line instead.
    As(Vec<OsString>),
}

/// What the docker CLI wants to know.
pub(crate) fn metadata() -> String {
    serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "drua",
        "Version": concat!("v", env!("CARGO_PKG_VERSION")),
        "ShortDescription": "Define and run multi-container applications with drua",
    })
    .to_string()
}

/// Looks at how the program was called.
pub(crate) fn called(args: &[OsString]) -> Called {
    let name = args.first().and_then(|program| Path::new(program).file_name());
    if name != Some(OsStr::new(NAME)) {
        return Called::Plainly;
    }
    if args.get(1).is_some_and(|word| word == "docker-cli-plugin-metadata") {
        return Called::ForMetadata;
    }
    let mut line = vec![OsString::from("drua")];
    let mut rest = args[1..].iter().peekable();
    let mut before = Vec::new();
    while let Some(word) = rest.peek().and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        // What Compose knows itself, and what stands after the options, is Compose's.
        let (option, has_value) = word.split_once('=').map_or((word, false), |(option, _)| (option, true));
        match option {
            "-H" | "--host" => {
                before.extend(rest.next().cloned());
                if !has_value {
                    before.extend(rest.next().cloned());
                }
            }
            "-D" | "--debug" => before.extend(rest.next().cloned()),
            "--tls" | "--tlsverify" => drop(rest.next()),
            option if IGNORED_WITH_VALUE.contains(&option) => {
                rest.next();
                if !has_value {
                    rest.next();
                }
            }
            _ => break,
        }
    }
    line.extend(before);
    line.push("compose".into());
    if rest.peek().is_some_and(|word| *word == "compose") {
        rest.next();
    }
    line.extend(rest.cloned());
    Called::As(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let expected = Called::As(expected.split(' ').map(OsString::from).collect());
        assert_eq!(called(&args), expected);
    }

    #[test]
    fn command_lines_of_the_docker_cli() {
        check("/x/docker-compose compose up -d", "drua compose up -d");
        check("docker-compose up -d", "drua compose up -d");
        check("docker-compose -H tcp://x:1 --context y compose -f a ps", "drua -H tcp://x:1 compose -f a ps");
        check("docker-compose -f a --profile b ps", "drua compose -f a --profile b ps");
        assert_eq!(called(&["drua".into(), "compose".into()]), Called::Plainly);
        assert_eq!(called(&["docker-compose".into(), "docker-cli-plugin-metadata".into()]), Called::ForMetadata);
    }
}
