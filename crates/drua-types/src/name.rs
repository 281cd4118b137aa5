use std::fmt;
use std::str::FromStr;

use crate::serde_by_str;

/// The text cannot name a container, volume or network.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("Invalid {what} name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
pub struct InvalidName {
    what: &'static str,
    name: String,
}

fn is_valid(text: &str, min_len: usize) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    first && rest && text.len() >= min_len && text.len() <= 255
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $min_len:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_valid(text, $min_len) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, name: text.chars().take(80).collect() })
                }
            }
        }

        serde_by_str!($name);
    };
}

name! {
    /// A container's name without the leading slash; at least two characters.
    ContainerName, "container", 2
}
name! {
    /// A volume's name.
    VolumeName, "volume", 1
}
name! {
    /// A network's name.
    NetworkName, "network", 1
}
