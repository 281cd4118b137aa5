//! What a daemon may leave on a machine, found and removed by the names that it was given.
//!
//! The tests use it both ways: [`Residue::find`] after an orderly end must find nothing, and [`Residue::clear`] tidies
//! up after a daemon that was killed on purpose.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

/// The names by which a daemon's traces are known.
#[derive(Clone, Debug)]
pub struct Traces {
    /// Its data root and exec root stand below this directory.
    pub root: PathBuf,
    /// The names of its interfaces begin so; its nftables table is called `drua-` and this.
    pub prefix: String,
    /// Its cgroups stand below this one, in every hierarchy.
    pub cgroup: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Residue {
    /// Processes that run from the root, with their command lines.
    pub processes: Vec<(i32, String)>,
    /// Mount points in this mount namespace, innermost first.
    pub mounts: Vec<PathBuf>,
    /// Network interfaces.
    pub links: Vec<String>,
    /// nftables tables, as `family name`.
    pub tables: Vec<String>,
    /// Cgroup directories, innermost first.
    pub cgroups: Vec<PathBuf>,
}

impl Residue {
    /// Looks for everything that carries the daemon's names.
    ///
    /// # Panics
    ///
    /// When a name is so short that it would match what others own.
    #[must_use]
    pub fn find(traces: &Traces) -> Self {
        let distinct = traces.prefix.len() > 2 && traces.cgroup.len() > 3 && traces.root.components().count() > 2;
        assert!(distinct, "the names {traces:?} are too short to be a daemon's own");
        let cgroups = cgroups(&traces.cgroup);
        Self {
            processes: processes(&traces.root, &cgroups),
            mounts: mounts(&traces.root),
            links: links(&traces.prefix),
            tables: tables(&traces.prefix),
            cgroups,
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
            && self.mounts.is_empty()
            && self.links.is_empty()
            && self.tables.is_empty()
            && self.cgroups.is_empty()
    }

    /// Removes what was found, as far as it goes. Only processes that carry the daemon's names are ended, by their id.
    pub fn clear(&self) {
        for (pid, _) in &self.processes {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for mount in &self.mounts {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        for link in &self.links {
            drop(Command::new("ip").args(["link", "delete", link]).output());
        }
        for table in &self.tables {
            drop(Command::new("nft").args(["delete", "table"]).args(table.split(' ')).output());
        }
        for cgroup in &self.cgroups {
            // A cgroup is busy until the last killed process is reaped.
            let _ = crate::wait::poll(std::time::Duration::from_secs(2), || fs::remove_dir(cgroup).ok());
        }
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pid, line) in &self.processes {
            writeln!(f, "process {pid}: {line}")?;
        }
        for path in self.mounts.iter().chain(&self.cgroups) {
            writeln!(f, "mount or cgroup {}", path.display())?;
        }
        for name in self.links.iter().chain(&self.tables) {
            writeln!(f, "interface or table {name}")?;
        }
        Ok(())
    }
}

fn processes(root: &Path, cgroups: &[PathBuf]) -> Vec<(i32, String)> {
    let root = root.to_string_lossy().into_owned();
    let members: Vec<i32> = cgroups
        .iter()
        .filter_map(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
        .collect();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != std::process::id().cast_signed())
        .filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
            let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            // A binary that was built anew meanwhile reads `drua (deleted)`.
            let drua = program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("drua"));
            let ours = drua && line.contains(&root);
            (ours || members.contains(&pid)).then_some((pid, line))
        })
        .collect()
}

fn mounts(root: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    // A later mount may stand on an earlier one, so the last comes first.
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(root) && point != root).collect();
    found.reverse();
    found
}

fn links(prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours = |name: &String| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| rest == "0" || rest.starts_with("br-") || rest.starts_with("veth"))
    };
    names.filter(ours).collect()
}

fn tables(prefix: &str) -> Vec<String> {
    let Ok(output) = Command::new("nft").args(["list", "tables"]).output() else { return Vec::new() };
    let name = format!("drua-{prefix}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.strip_prefix("table "));
    lines.filter(|line| line.split(' ').nth(1) == Some(&name)).map(str::to_owned).collect()
}

fn cgroups(parent: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![root.to_owned()];
    if let Ok(entries) = fs::read_dir(root) {
        hierarchies.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()));
    }
    let mut found = Vec::new();
    for hierarchy in hierarchies {
        let top = hierarchy.join(parent.trim_start_matches('/'));
        if top.is_dir() {
            walk(&top, &mut found);
        }
    }
    found
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    if let Ok(entries) = fs::read_dir(dir) {
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()) {
            walk(&path, found);
        }
    }
    found.push(dir.to_owned());
}
