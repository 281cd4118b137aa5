//! The options that `run` and `create` have in common, and what the API gets of them.

mod request;

use drua_types::env::DOCKER_DEFAULT_PLATFORM;

use super::health::HealthArgs;
use super::host::HostArgs;
use super::limits::LimitArgs;
use super::network::NetworkArgs;

pub(crate) use request::{CreateRequest, Streams};

/// When to pull an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullPolicy {
    /// Before each use.
    Always,
    /// When it is not there.
    #[default]
    Missing,
    /// Never.
    Never,
}

/// What `run` and `create` have in common
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ContainerArgs {
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove the container and its anonymous volumes when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Attach to stdin, stdout or stderr only
    #[arg(short, long, value_name = "STREAM")]
    pub(crate) attach: Vec<String>,
    /// Set an environment variable: NAME=value, or NAME to take it over from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User: name or id, with an optional group (user[:group])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Overwrite the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Platform, for example linux/amd64 or wasi/wasm
    #[arg(long, value_name = "OS/ARCH", env = DOCKER_DEFAULT_PLATFORM, hide_env = true)]
    platform: Option<String>,
    /// Runtime, for example io.containerd.wasmtime.v1
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// What to do when the container exits: no, always, unless-stopped, on-failure[:max-retries]
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: String,
    /// Signal to stop the container
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds until a container that does not stop is killed
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    stop_timeout: Option<i64>,
    /// Run a small init inside the container that forwards signals and reaps processes
    #[arg(long)]
    init: bool,
    /// Set a label
    #[arg(short, long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    label_file: Vec<String>,
    /// Pull the image before running
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = PullPolicy::Missing)]
    pub(crate) pull: PullPolicy,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write the container's id to a file that does not exist yet
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<std::path::PathBuf>,
    /// Logging driver
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Option of the logging driver
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,

    /// Mount a volume or a directory: [source:]target[:options]
    #[arg(short, long, value_name = "VOLUME", help_heading = "Storage")]
    volume: Vec<String>,
    /// Mount something: type=bind|volume|tmpfs,source=…,target=…
    #[arg(long, value_name = "MOUNT", help_heading = "Storage")]
    mount: Vec<String>,
    /// Mount a tmpfs: directory[:options]
    #[arg(long, value_name = "DIR", help_heading = "Storage")]
    tmpfs: Vec<String>,
    /// Mount the volumes of another container
    #[arg(long, value_name = "CONTAINER", help_heading = "Storage")]
    volumes_from: Vec<String>,
    /// Mount the container's root file system read-only
    #[arg(long, help_heading = "Storage")]
    read_only: bool,

    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    health: HealthArgs,
    #[command(flatten)]
    host: HostArgs,

    /// Give the container all privileges
    #[arg(long, help_heading = "Security")]
    privileged: bool,
    /// Add a Linux capability
    #[arg(long, value_name = "CAPABILITY", help_heading = "Security")]
    cap_add: Vec<String>,
    /// Drop a Linux capability
    #[arg(long, value_name = "CAPABILITY", help_heading = "Security")]
    cap_drop: Vec<String>,
    /// Security option
    #[arg(long, value_name = "OPTION", help_heading = "Security")]
    security_opt: Vec<String>,
    /// Set a sysctl in the container
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Security")]
    sysctl: Vec<String>,
    /// Allow a WebAssembly guest something: all, dir=/data:ro, env=NAME, net=db:3306, listen=8080, dns, http=HOST
    #[arg(long, value_name = "GRANT", help_heading = "Security")]
    wasm_allow: Vec<String>,
    /// Deny a WebAssembly guest something, in the same words; the more specific wins
    #[arg(long, value_name = "GRANT", help_heading = "Security")]
    wasm_deny: Vec<String>,
    /// Add an annotation of the OCI runtime specification
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Add a group for the process
    #[arg(long, value_name = "GROUP", help_heading = "Security")]
    group_add: Vec<String>,
    /// Add a host device: path[:container-path[:permissions]]
    #[arg(long, value_name = "DEVICE", help_heading = "Security")]
    device: Vec<String>,
    /// PID namespace: host or container:<name>
    #[arg(long, value_name = "MODE", help_heading = "Security")]
    pid: Option<String>,
    /// IPC namespace: none, private, shareable, host or container:<name>
    #[arg(long, value_name = "MODE", help_heading = "Security")]
    ipc: Option<String>,
    /// UTS namespace: host
    #[arg(long, value_name = "MODE", help_heading = "Security")]
    uts: Option<String>,
    /// User namespace: host
    #[arg(long, value_name = "MODE", help_heading = "Security")]
    userns: Option<String>,
    /// Cgroup namespace: host or private
    #[arg(long, value_name = "MODE", help_heading = "Security")]
    cgroupns: Option<String>,

    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// Image, and the command to run in it
    // One list, so that everything after the image belongs to the command, also what looks like an option.
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    image_and_command: Vec<String>,
}
