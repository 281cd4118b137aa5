//! The vocabulary of drua: validated names, ids and kinds that every crate speaks.
//!
//! External text becomes one of these types once, at the boundary where it enters; below that boundary nobody checks it
//! again. The crate does no I/O and knows neither HTTP nor the disk.

pub mod annotations;
mod digest;
pub mod env;
mod error;
pub mod exit;
mod foreign;
pub mod grants;
mod id;
mod image_ref;
mod name;
mod platform;
mod port;
mod signal;
mod size;
pub mod wasm;

pub use digest::{Digest, InvalidDigest};
pub use error::{Classify, ErrorKind, Hint, error_chain};
pub use foreign::{ForeignShim, ShimOptions};
pub use id::{ContainerId, ExecId, InvalidId, NetworkId};
pub use image_ref::{ImageRef, InvalidImageRef};
pub use name::{ContainerName, InvalidName, NetworkName, VolumeName};
pub use platform::{Flavor, InvalidPlatform, Platform, UnknownRuntime};
pub use port::{InvalidPort, Port, Protocol};
pub use signal::{InvalidSignal, Signal};
pub use size::{ByteSize, InvalidSize};

/// Implements serde for a type by its `FromStr` and `Display`, so that deserialised values are always valid ones.
macro_rules! serde_by_str {
    ($($ty:ty),+ $(,)?) => {$(
        impl serde::Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_by_str;

#[cfg(test)]
mod tests;
