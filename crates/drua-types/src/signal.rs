use std::fmt;
use std::str::FromStr;

use crate::serde_by_str;

/// The text is not a signal.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("invalid signal: {0}")]
pub struct InvalidSignal(String);

/// A signal number, 1–64. Reads `SIGTERM`, `TERM`, `15`, `RTMIN+3` and `RTMAX-1` in any case (`signal(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// Linux numbers on x86-64 and arm64, the only architectures drua is built for.
const NAMES: [(&str, i32); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

impl Signal {
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGTERM.
    pub const TERM: Self = Self(15);
    /// SIGINT.
    pub const INT: Self = Self(2);

    /// The number, 1–64.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 > 34 => write!(f, "SIGRTMIN+{}", self.0 - 34),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Signal {
    type Err = InvalidSignal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSignal(text.chars().take(40).collect());
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = if let Ok(number) = name.parse::<i32>() {
            number
        } else if let Some(above) = name.strip_prefix("RTMIN+") {
            34_i32.saturating_add(above.parse().map_err(|_| invalid())?)
        } else if let Some(below) = name.strip_prefix("RTMAX-") {
            64_i32.saturating_sub(below.parse().map_err(|_| invalid())?)
        } else {
            let alias = match name {
                "CLD" => "CHLD",
                "IOT" => "ABRT",
                "POLL" => "IO",
                other => other,
            };
            NAMES.iter().find(|(known, _)| *known == alias).map(|(_, number)| *number).ok_or_else(invalid)?
        };
        if (1..=64).contains(&number) { Ok(Self(number)) } else { Err(invalid()) }
    }
}

serde_by_str!(Signal);
