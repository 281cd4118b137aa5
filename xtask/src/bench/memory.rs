//! Memory of what only waits: proportional set size, so that shared pages count once.

use anyhow::{Context as _, Result};
use drua_e2e::{Daemon, Image, Rootfs, guest, residue::Residue};
use serde_json::json;

use super::{succeed, table::Row};

/// What a container of each kind and the daemon hold while nothing happens.
pub(super) fn idle(daemon: &Daemon, count: usize) -> Result<Vec<Row>> {
    let image = Image::wasi("bench/http:latest").rootfs(Rootfs::new().file("app.wasm", 0o755, guest::http()?));
    let image = image.config("Entrypoint", json!(["/app.wasm"]));
    succeed(daemon.drua(["load", "--quiet"]).input(image.to_bytes()))?;
    let before = pss(daemon.pid())?;
    let linux = per_container(daemon, count, &["bench/linux", "/bin/sleep", "100000"])?;
    let wasm = per_container(daemon, count, &["bench/http"])?;
    Ok(vec![
        Row::kibibytes("idle container, Linux (sleep), all processes", linux),
        Row::kibibytes("idle container, Wasm (HTTP server), all processes", wasm),
        Row::kibibytes("idle daemon, PSS", before),
        Row::kibibytes("idle daemon, RSS", field(daemon.pid(), "status", "VmRSS:")?),
    ])
}

fn per_container(daemon: &Daemon, count: usize, command: &[&str]) -> Result<u64> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = succeed(daemon.drua(["run", "-d", "--network", "none"]).args(command))?;
        ids.push(id.trim().to_owned());
    }
    let processes = Residue::find(&daemon.options.traces()).processes;
    let others = processes.iter().filter(|(pid, _)| pid.cast_unsigned() != daemon.pid());
    let total: u64 = others.map(|(pid, _)| pss(pid.cast_unsigned())).sum::<Result<u64>>()?;
    for id in &ids {
        succeed(daemon.drua(["rm", "-f", id]))?;
    }
    Ok(total / count as u64)
}

fn pss(pid: u32) -> Result<u64> {
    field(pid, "smaps_rollup", "Pss:")
}

/// A line of a file in `/proc/<pid>`, in KiB.
pub(super) fn field(pid: u32, file: &str, key: &str) -> Result<u64> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.trim().parse().ok());
    number.with_context(|| format!("no `{key}` in /proc/{pid}/{file}"))
}
