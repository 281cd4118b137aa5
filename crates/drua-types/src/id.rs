use std::fmt;
use std::str::FromStr;

use rand::RngCore;

use crate::serde_by_str;

/// The text is not 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an id: expected 64 lowercase hexadecimal digits")]
pub struct InvalidId(String);

fn random_hex() -> String {
    let mut bytes = [0u8; 32];
    loop {
        rand::rng().fill_bytes(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Docker never hands out an id whose short form is all digits: it would be a valid host name of numbers only.
        if !hex[..12].bytes().all(|digit| digit.is_ascii_digit()) {
            return hex;
        }
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// A new random id.
            pub fn random() -> Self {
                Self(random_hex())
            }

            /// All 64 digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first 12 digits, as `docker ps` shows them.
            pub fn short(&self) -> &str {
                &self.0[..12]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                if text.len() == 64 && text.bytes().all(hex) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId(text.chars().take(80).collect()))
                }
            }
        }

        serde_by_str!($name);
    };
}

id! {
    /// Identifies a container for its whole life.
    ContainerId
}
id! {
    /// Identifies a network.
    NetworkId
}
id! {
    /// Identifies one `exec` in a container.
    ExecId
}
