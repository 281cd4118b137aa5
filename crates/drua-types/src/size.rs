use std::fmt;
use std::str::FromStr;

use crate::serde_by_str;

/// The text is not a size.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("invalid size: '{0}'")]
pub struct InvalidSize(String);

/// A number of bytes. Reads `64m`, `1.5GiB`, `1024`; units are binary, as for `docker run --memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// In Docker's words for listings: decimal units, three significant digits (`4.27MB`).
    pub fn decimal(self) -> String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1000.0 && unit + 1 < units.len() {
            value /= 1000.0;
            unit += 1;
        }
        let digits = if value >= 100.0 || unit == 0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{text}{}", units[unit])
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSize(text.chars().take(40).collect());
        let lower = text.trim().to_ascii_lowercase();
        let split = lower.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(lower.len());
        let (number, unit) = lower.split_at(split);
        let shift = match unit {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(invalid()),
        };
        let number = number.trim();
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(1 << shift).map(Self).ok_or_else(invalid);
        }
        let fraction: f64 = number.parse().map_err(|_| invalid())?;
        let bytes = fraction * (1u64 << shift) as f64;
        if bytes.is_finite() && (0.0..9e18).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(invalid()) }
    }
}

serde_by_str!(ByteSize);
