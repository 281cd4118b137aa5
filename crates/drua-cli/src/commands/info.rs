use std::fmt::Write as _;

use anyhow::Context as _;
use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Escape, Json, Mode, Template};
use crate::ui::binary_size;

/// Display system-wide information
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Info {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let raw = ctx.client().await?.info_raw().await?;
        let info: Json = serde_json::from_slice(&raw).context("the daemon's answer is not JSON")?;
        match self.format.as_deref() {
            None => {
                let client = format!(
                    "Client:\n Version:    {}\n Context:    default\n Debug Mode: false\n",
                    env!("CARGO_PKG_VERSION")
                );
                ctx.ui.data(format!("{client}\nServer:\n{}\n", Report::new(&info).text()).as_bytes())?;
                for warning in list(info.get("Warnings")) {
                    ctx.ui.note(&warning);
                }
            }
            Some("json") => ctx.ui.line(&info.compact(Escape::Html))?,
            Some(template) => {
                let parsed =
                    Template::parse(template).with_context(|| format!("`--format {template}` is not a template"))?;
                ctx.ui.line(&parsed.render(&info, Mode::Values, &|_, _| None)?)?;
            }
        }
        Ok(exit::OK)
    }
}

/// The daemon's half of `docker info`, line by line in Docker's order.
///
/// It reads the JSON instead of the typed answer: one new enum value in some field must not cost the whole report.
struct Report<'a> {
    info: &'a Json,
    text: String,
}

impl<'a> Report<'a> {
    fn new(info: &'a Json) -> Self {
        Self { info, text: String::new() }
    }

    fn text(mut self) -> String {
        self.counts();
        self.storage();
        self.plugins();
        self.runtimes();
        self.security();
        self.machine();
        self.settings();
        self.text
    }

    fn line(&mut self, label: &str, value: &str) {
        let _ = writeln!(self.text, " {label}: {value}");
    }

    /// A field as it is, always.
    fn field(&mut self, label: &str, key: &str) {
        let value = self.value(key);
        self.line(label, &value);
    }

    /// A field, if it says something.
    fn optional(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.line(label, value);
        }
    }

    fn value(&self, key: &str) -> String {
        match self.info.get(key) {
            None | Some(Json::Null) => String::new(),
            Some(value) => value.go_string(),
        }
    }

    fn block(&mut self, label: &str, lines: &[String]) {
        if !lines.is_empty() {
            let _ = writeln!(self.text, " {label}:");
            for line in lines {
                let _ = writeln!(self.text, "  {line}");
            }
        }
    }

    fn counts(&mut self) {
        self.field("Containers", "Containers");
        self.field(" Running", "ContainersRunning");
        self.field(" Paused", "ContainersPaused");
        self.field(" Stopped", "ContainersStopped");
        self.field("Images", "Images");
        self.optional("Server Version", &self.value("ServerVersion"));
    }

    fn storage(&mut self) {
        self.field("Storage Driver", "Driver");
        if let Some(Json::Array(pairs)) = self.info.get("DriverStatus") {
            for pair in pairs {
                if let [name, value] = list(Some(pair)).as_slice() {
                    self.line(&format!(" {name}"), value);
                }
            }
        }
        self.optional("Logging Driver", &self.value("LoggingDriver"));
        self.optional("Cgroup Driver", &self.value("CgroupDriver"));
        self.optional("Cgroup Version", &self.value("CgroupVersion"));
    }

    fn plugins(&mut self) {
        let _ = writeln!(self.text, " Plugins:");
        for kind in ["Volume", "Network", "Authorization", "Log"] {
            let names = list(self.info.get("Plugins").and_then(|plugins| plugins.get(kind)));
            if !names.is_empty() {
                self.line(&format!(" {kind}"), &names.join(" "));
            }
        }
        self.block("CDI spec directories", &list(self.info.get("CDISpecDirs")));
        let swarm = self.info.get("Swarm").and_then(|swarm| swarm.get("LocalNodeState"));
        self.optional("Swarm", &swarm.map(Json::go_string).unwrap_or_default());
    }

    fn runtimes(&mut self) {
        if let Some(Json::Object(runtimes)) = self.info.get("Runtimes") {
            let names: Vec<&str> = Json::sorted_entries(runtimes).into_iter().map(|(name, _)| name.as_str()).collect();
            self.line("Runtimes", &names.join(" "));
            self.field("Default Runtime", "DefaultRuntime");
        }
        self.optional("Init Binary", &self.value("InitBinary"));
        for (label, key) in
            [("containerd version", "ContainerdCommit"), ("runc version", "RuncCommit"), ("init version", "InitCommit")]
        {
            let id = self.info.get(key).and_then(|commit| commit.get("ID")).map(Json::go_string).unwrap_or_default();
            self.optional(label, &id);
        }
    }

    /// `name=seccomp,profile=builtin` becomes a line for the name and one, further in, for each other key.
    fn security(&mut self) {
        let mut lines = Vec::new();
        for option in list(self.info.get("SecurityOptions")) {
            for (key, value) in option.split(',').filter_map(|field| field.split_once('=')) {
                match key {
                    "name" => lines.push(value.to_owned()),
                    "profile" => lines.push(format!(" Profile: {value}")),
                    other => lines.push(format!(" {other}: {value}")),
                }
            }
        }
        self.block("Security Options", &lines);
    }

    fn machine(&mut self) {
        self.field("Kernel Version", "KernelVersion");
        self.field("Operating System", "OperatingSystem");
        self.field("OSType", "OSType");
        self.field("Architecture", "Architecture");
        self.field("CPUs", "NCPU");
        let memory = self.value("MemTotal").parse().unwrap_or_default();
        self.line("Total Memory", &binary_size(memory));
        self.field("Name", "Name");
        self.field("ID", "ID");
        self.field("Docker Root Dir", "DockerRootDir");
        self.field("Debug Mode", "Debug");
    }

    fn settings(&mut self) {
        self.optional("HTTP Proxy", &self.value("HttpProxy"));
        self.optional("HTTPS Proxy", &self.value("HttpsProxy"));
        self.optional("No Proxy", &self.value("NoProxy"));
        self.block("Labels", &list(self.info.get("Labels")));
        self.field("Experimental", "ExperimentalBuild");
        let registry = self.info.get("RegistryConfig");
        self.block("Insecure Registries", &list(registry.and_then(|registry| registry.get("InsecureRegistryCIDRs"))));
        self.field("Live Restore Enabled", "LiveRestoreEnabled");
        self.optional("Product License", &self.value("ProductLicense"));
        if let Some(Json::Array(pools)) = self.info.get("DefaultAddressPools") {
            let part = |pool: &Json, key: &str| pool.get(key).map(Json::go_string).unwrap_or_default();
            let lines: Vec<String> = pools
                .iter()
                .map(|pool| format!(" Base: {}, Size: {}", part(pool, "Base"), part(pool, "Size")))
                .collect();
            self.block("Default Address Pools", &lines);
        }
    }
}

/// The items of a list as text; none where there is no list.
fn list(value: Option<&Json>) -> Vec<String> {
    match value {
        Some(Json::Array(items)) => items.iter().map(Json::go_string).collect(),
        _ => Vec::new(),
    }
}
