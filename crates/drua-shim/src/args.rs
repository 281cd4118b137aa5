//! The command line that containerd gives a shim, in the style of Go's `flag` package.
//!
//! `-name value`, `-name=value` and the same with two dashes; a boolean flag takes a value only with `=`. The first word
//! that is no flag is the action (containerd, core/runtime/v2/README.md, "Commands").

use std::ffi::OsString;
use std::path::PathBuf;

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Args {
    /// containerd's namespace of the container; ours is always `drua`.
    pub(crate) namespace: String,
    /// The container's id.
    pub(crate) id: String,
    /// The socket of containerd; our daemon names none. The socket directory for long bundle paths lies beside it.
    pub(crate) address: PathBuf,
    /// The OCI bundle, when it is not the current directory.
    pub(crate) bundle: Option<PathBuf>,
    /// Log more.
    pub(crate) debug: bool,
    /// What to do.
    pub(crate) action: Action,
}

/// What the shim role is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Leave a serving shim behind and print its address.
    Start,
    /// Fork a serving shim off for every request on standard input; our daemon's way to have the program loaded beforehand.
    Template,
    /// Clean up after a shim that died.
    Delete,
    /// Print the version (`-v`).
    Version,
    /// Print what the runtime can do (`-info`).
    Info,
}

/// The command line makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ArgsError {
    #[error("flag provided but not defined: `-{0}`")]
    Unknown(String),
    #[error("flag needs an argument: `-{0}`")]
    NoValue(String),
    #[error("invalid value `{value}` for flag `-{flag}`")]
    Value { flag: String, value: String },
    #[error("argument `{0}` is not valid UTF-8")]
    NotText(String),
    #[error("an action is needed: `start` or `delete`")]
    NoAction,
    #[error("unknown action `{0}`: expected `start` or `delete`")]
    Action(String),
    #[error("a request needs `<id> <bundle>`")]
    NoBundle,
    #[error("flag `-id` is needed")]
    NoId,
    #[error("`{0}` is no container id: letters, digits, `_`, `.`, `-`, at most 128 of them")]
    Id(String),
}

impl Args {
    /// Parses the words after the program's name.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, ArgsError> {
        let mut words = words
            .into_iter()
            .map(|word| word.into_string().map_err(|word| ArgsError::NotText(word.to_string_lossy().into_owned())));
        let mut args = Self {
            namespace: "default".to_owned(),
            id: String::new(),
            address: PathBuf::new(),
            bundle: None,
            debug: false,
            action: Action::Version,
        };
        let (mut version, mut info) = (false, false);
        let mut action = None;
        while let Some(word) = words.next().transpose()? {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                action = Some(word);
                break;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (flag.to_owned(), None),
            };
            match name.as_str() {
                "debug" => args.debug = boolean(&name, inline)?,
                "v" | "version" => version = boolean(&name, inline)?,
                "info" => info = boolean(&name, inline)?,
                "namespace" | "id" | "address" | "bundle" | "publish-binary" | "socket" => {
                    let value = match inline {
                        Some(value) => value,
                        None => words.next().transpose()?.ok_or_else(|| ArgsError::NoValue(name.clone()))?,
                    };
                    args.set(&name, value);
                }
                _ => return Err(ArgsError::Unknown(name)),
            }
        }
        args.action = match (version, info, action.as_deref()) {
            (true, _, _) => Action::Version,
            (_, true, _) => Action::Info,
            (_, _, Some("start")) => Action::Start,
            (_, _, Some("template")) => Action::Template,
            (_, _, Some("delete")) => Action::Delete,
            (_, _, Some(other)) => return Err(ArgsError::Action(other.to_owned())),
            (_, _, None) => return Err(ArgsError::NoAction),
        };
        if matches!(args.action, Action::Start | Action::Delete) {
            check_id(&args.id)?;
        }
        Ok(args)
    }

    /// The command line of the shim that a template forks off for the request `<id> <bundle>`.
    ///
    /// # Errors
    /// [`ArgsError::NoBundle`], or a bad id.
    pub(crate) fn for_request(mut self, line: &str) -> Result<Self, ArgsError> {
        let (id, bundle) = line.split_once(' ').ok_or(ArgsError::NoBundle)?;
        check_id(id)?;
        self.id = id.to_owned();
        self.bundle = Some(PathBuf::from(bundle));
        self.action = Action::Start;
        Ok(self)
    }

    /// `-publish-binary` and `-socket` are accepted and unused: events go over ttrpc, and we choose the socket.
    fn set(&mut self, name: &str, value: String) {
        match name {
            "namespace" => self.namespace = value,
            "id" => self.id = value,
            "address" => self.address = PathBuf::from(value),
            "bundle" => self.bundle = Some(PathBuf::from(value)),
            _ => {}
        }
    }
}

fn boolean(flag: &str, value: Option<String>) -> Result<bool, ArgsError> {
    match value.as_deref() {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(ArgsError::Value { flag: flag.to_owned(), value: other.to_owned() }),
    }
}

/// The id becomes part of paths (containerd's own rule for identifiers is stricter).
fn check_id(id: &str) -> Result<(), ArgsError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    match id.as_bytes() {
        [] => Err(ArgsError::NoId),
        [first, ..] if first.is_ascii_alphanumeric() && id.len() <= 128 && id.bytes().all(plain) => Ok(()),
        _ => Err(ArgsError::Id(id.chars().take(140).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, ArgsError> {
        Args::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn as_containerd_calls_it() {
        let words =
            ["-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock", "-publish-binary", "/bin/c"];
        let args = parse(&[&words[..], &["-id", "abc", "-debug", "start"]].concat()).unwrap();
        assert_eq!((args.namespace.as_str(), args.id.as_str(), args.debug), ("k8s.io", "abc", true));
        assert_eq!((args.action, args.address.to_str()), (Action::Start, Some("/run/containerd/containerd.sock")));
        let args = parse(&["--id=x", "--debug=false", "-bundle", "/b", "delete"]).unwrap();
        assert_eq!((args.action, args.debug, args.bundle), (Action::Delete, false, Some(PathBuf::from("/b"))));
        assert_eq!(parse(&["-v"]).unwrap().action, Action::Version);
        assert_eq!(parse(&["-info"]).unwrap().action, Action::Info);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(&[]), Err(ArgsError::NoAction));
        assert_eq!(parse(&["start"]), Err(ArgsError::NoId));
        assert_eq!(parse(&["-id"]), Err(ArgsError::NoValue("id".into())));
        assert_eq!(parse(&["-nope", "start"]), Err(ArgsError::Unknown("nope".into())));
        assert_eq!(parse(&["-id", "x", "stop"]), Err(ArgsError::Action("stop".into())));
        for id in ["../x", "a/b", "-x", ".."] {
            assert_eq!(parse(&[&format!("-id={id}"), "start"]), Err(ArgsError::Id(id.into())));
        }
    }
}
