use std::fmt;
use std::str::FromStr;

use crate::serde_by_str;

/// The text is not a platform.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("\"{0}\": unknown operating system or architecture: invalid argument")]
pub struct InvalidPlatform(String);

/// What an image runs on: `os/architecture[/variant]`, in lower case (OCI image-spec, image-index.md).
///
/// Anything with two parts is accepted, as containerd does, so that `wasi/wasm` and its relatives pass through.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Builds a platform from an image configuration's fields.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let architecture = match architecture.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        let variant = variant.map(str::to_ascii_lowercase).filter(|v| !v.is_empty());
        // arm64 is v8 by definition; spelling it out or not must not make two platforms.
        let variant = variant.filter(|v| !(architecture == "arm64" && v == "v8"));
        Self { os: os.to_ascii_lowercase(), architecture, variant }
    }

    /// The machine this runs on.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// `wasi/wasm`, the pair that images and compose files agree on.
    pub fn wasi() -> Self {
        Self::new("wasi", "wasm", None)
    }

    /// Operating system, for example `linux` or `wasi`.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// Architecture, for example `amd64` or `wasm`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Variant, for example `v7`.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Whether this is one of the spellings of WebAssembly seen in the wild: os `wasi`, `wasip1`, `wasip2`, `wasm32` or
    /// architecture `wasm`, `wasm32`.
    pub fn is_wasm(&self) -> bool {
        matches!(self.architecture.as_str(), "wasm" | "wasm32") || self.os == "wasm32" || self.os.starts_with("wasi")
    }

    /// Whether an image of this platform satisfies a request for `wanted`: equal, or both WebAssembly.
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        self == wanted || (self.is_wasm() && wanted.is_wasm())
    }

    /// Whether this machine runs it: its own platform, or WebAssembly.
    pub fn runs_here(&self) -> bool {
        self.is_wasm() || *self == Self::host()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPlatform(text.chars().take(80).collect());
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.len() <= 32
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !parts.iter().all(word) {
            return Err(invalid());
        }
        match parts.as_slice() {
            [only] => match only.to_ascii_lowercase().as_str() {
                "linux" => Ok(Self::host()),
                "wasm" | "wasm32" | "wasi" => Ok(Self::wasi()),
                arch @ ("amd64" | "x86_64" | "arm64" | "aarch64" | "arm" | "386" | "riscv64" | "ppc64le" | "s390x") => {
                    Ok(Self::new("linux", arch, None))
                }
                _ => Err(invalid()),
            },
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(invalid()),
        }
    }
}

serde_by_str!(Platform);

/// The runtime name is none that drua knows.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("unknown or invalid runtime name: {0}")]
pub struct UnknownRuntime(String);

/// A set of Wasm host interfaces and a rule to find the entrypoint; what Docker Desktop had one shim each for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// WASI preview 1 and 2 and `wasi:http`, as `io.containerd.wasmtime.v1`.
    Wasmtime,
    /// WASI preview 1 with WasmEdge's socket extension, as `io.containerd.wasmedge.v1`.
    WasmEdge,
    /// Spin applications, as `io.containerd.spin.v2`.
    Spin,
    /// Slight applications, as `io.containerd.slight.v1`.
    Slight,
}

impl Flavor {
    /// Reads a `--runtime` value: `io.containerd.<flavor>.v<N>` or the short name.
    ///
    /// Returns `None` for the names of the Linux runtime (`runc`, `crun`, `io.containerd.runc.v2`, `drua`).
    ///
    /// # Errors
    /// [`UnknownRuntime`] for any other name.
    pub fn from_runtime(name: &str) -> Result<Option<Self>, UnknownRuntime> {
        let short = name
            .strip_prefix("io.containerd.")
            .and_then(|rest| rest.rsplit_once(".v"))
            .filter(|(_, version)| !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()))
            .map_or(name, |(short, _)| short);
        match short {
            "" | "runc" | "crun" | "drua" => Ok(None),
            "wasmtime" => Ok(Some(Self::Wasmtime)),
            "wasmedge" => Ok(Some(Self::WasmEdge)),
            "spin" => Ok(Some(Self::Spin)),
            "slight" => Ok(Some(Self::Slight)),
            _ => Err(UnknownRuntime(name.chars().take(80).collect())),
        }
    }

    /// The full runtime name, for example `io.containerd.wasmtime.v1`.
    pub fn runtime_name(self) -> &'static str {
        match self {
            Self::Wasmtime => "io.containerd.wasmtime.v1",
            Self::WasmEdge => "io.containerd.wasmedge.v1",
            Self::Spin => "io.containerd.spin.v2",
            Self::Slight => "io.containerd.slight.v1",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasmtime => "wasmtime",
            Self::WasmEdge => "wasmedge",
            Self::Spin => "spin",
            Self::Slight => "slight",
        })
    }
}

impl FromStr for Flavor {
    type Err = UnknownRuntime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_runtime(text)?.ok_or_else(|| UnknownRuntime(text.to_owned()))
    }
}

serde_by_str!(Flavor);
