use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// Labels, sysctls and driver options: text by name.
pub type Labels = BTreeMap<String, String>;

/// `x-` keys and what they say.
pub type Extensions = BTreeMap<String, crate::tree::Tree>;

/// A length of time. Displays and serialises as Go does (`1m30s`), which is Compose's canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let unit = |f: &mut fmt::Formatter<'_>, per: u128, name: &str, nanos: u128| {
            let fraction = format!("{:09}", nanos % per * (1_000_000_000 / per));
            match fraction.trim_end_matches('0') {
                "" => write!(f, "{}{name}", nanos / per),
                digits => write!(f, "{}.{digits}{name}", nanos / per),
            }
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => unit(f, 1_000, "µs", nanos),
            1_000_000..1_000_000_000 => unit(f, 1_000_000, "ms", nanos),
            _ => {
                let (hours, rest) = (nanos / 3_600_000_000_000, nanos % 3_600_000_000_000);
                let (minutes, rest) = (rest / 60_000_000_000, rest % 60_000_000_000);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if hours > 0 || minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                unit(f, 1_000_000_000, "s", rest)
            }
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes; serialises as a decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub i64);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A number of CPUs; serialises as the shortest number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Cpus(pub f32);

impl Cpus {
    /// In billionths of a CPU, as the engine counts them.
    pub fn nanos(self) -> i64 {
        // Through text, so that 0.1 is 100000000 and not what its nearest float is.
        (self.0.to_string().parse::<f64>().unwrap_or_default() * 1e9).round() as i64
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 { serializer.serialize_i64(self.0 as i64) } else { serializer.serialize_f32(self.0) }
    }
}

/// What Go's `omitempty` leaves out, by type.
pub(super) trait Omit {
    fn is_omitted(&self) -> bool;
}

impl<T> Omit for Option<T> {
    fn is_omitted(&self) -> bool {
        self.is_none()
    }
}

impl<T> Omit for Vec<T> {
    fn is_omitted(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Omit for BTreeMap<K, V> {
    fn is_omitted(&self) -> bool {
        self.is_empty()
    }
}

impl Omit for bool {
    fn is_omitted(&self) -> bool {
        !self
    }
}

impl Omit for i64 {
    fn is_omitted(&self) -> bool {
        *self == 0
    }
}

impl Omit for u64 {
    fn is_omitted(&self) -> bool {
        *self == 0
    }
}

/// For `skip_serializing_if`.
pub(super) fn omit<T: Omit>(value: &T) -> bool {
    value.is_omitted()
}

/// Permission bits; serialise as octal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileMode(pub u32);

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("0{:o}", self.0))
    }
}

/// For `skip_serializing_if`: Go's `omitempty` on booleans.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

/// For `skip_serializing_if`: Go's `omitempty` on integers.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) fn is_zero(value: &i64) -> bool {
    *value == 0
}
