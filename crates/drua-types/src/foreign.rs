use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a container's shim is run that is not drua's own. The engine leaves it in the bundle as [`ForeignShim::FILE`]; drua's
/// shim, finding it there, drives that shim instead of running the container itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignShim {
    /// Version of the format, [`ForeignShim::VERSION`].
    pub version: u32,
    /// The shim's program, an absolute path: `containerd-shim-<name>-<version>`.
    pub program: PathBuf,
    /// What the runtime is told about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<ShimOptions>,
}

/// A runtime's options as containerd packs them: a protobuf message and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimOptions {
    /// Full name of the message, for example `containerd.runc.v1.Options`.
    pub type_url: String,
    /// The encoded message.
    pub value: Vec<u8>,
}

impl ForeignShim {
    /// Name of the file in the bundle, JSON.
    pub const FILE: &str = "runtime.json";
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// A shim without options.
    pub fn new(program: PathBuf) -> Self {
        Self { version: Self::VERSION, program, options: None }
    }
}
