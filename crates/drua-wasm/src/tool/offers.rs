//! What each flavour offers, for `drua wasm runtimes`.

use crate::engine::WASMTIME_VERSION;

/// One flavour.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Offer {
    /// Its short name.
    pub name: &'static str,
    /// The name for `--runtime`.
    pub runtime: &'static str,
    /// The version of what it is compatible with, and of the engine below.
    pub version: String,
    /// Its interfaces.
    pub interfaces: Vec<&'static str>,
}

/// Every flavour of this binary.
pub fn offers() -> Vec<Offer> {
    let version = format!("wasmtime {WASMTIME_VERSION}");
    let wasi = ["wasi_snapshot_preview1", "wasi_unstable", "wasi@0.2.0-0.2.12", "wasi@0.3.0"];
    let http = ["wasi:http/incoming-handler@0.2", "wasi:http/handler@0.3.0"];
    let more = [
        "wasi:keyvalue@0.2.0-draft",
        "wasi:keyvalue@0.2.0-draft2",
        "wasi:config@0.2.0-draft",
        "wasi:config@0.2.0-rc.1",
    ];
    let sockets = ["wasi_snapshot_preview1 sock_* (WasmEdge, V1 and V2)", "epoll_oneoff"];
    let flavor =
        |name, runtime, interfaces: Vec<&'static str>| Offer { name, runtime, version: version.clone(), interfaces };
    vec![
        flavor("wasmtime", "io.containerd.wasmtime.v1", [&wasi[..], &http, &more].concat()),
        flavor("wasmedge", "io.containerd.wasmedge.v1", [&wasi[..], &sockets].concat()),
    ]
}
