//! The command line of the daemon role. The role itself is not here: `main` starts it with these arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};

/// Run the daemon in the foreground
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  drua daemon
  drua daemon --data-root /tmp/d/data --exec-root /tmp/d/run --host unix:///tmp/d/drua.sock")]
pub struct DaemonArgs {
    /// Directory of everything that lasts: images, volumes, containers
    #[arg(long, value_name = "DIR", default_value = DaemonArgs::DEFAULT_DATA_ROOT)]
    pub data_root: PathBuf,

    /// Directory of everything that a reboot may take: sockets, network namespaces
    #[arg(long, value_name = "DIR", default_value = DaemonArgs::DEFAULT_EXEC_ROOT)]
    pub exec_root: PathBuf,

    /// Address to serve the API on: unix:///path, tcp://host:port, or fd:// for systemd's; repeatable [default: <exec-root>/drua.sock]
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    pub host: Vec<String>,

    /// Group that may use the Unix socket
    #[arg(short = 'G', long, value_name = "GROUP", default_value = "drua")]
    pub group: String,

    /// Configuration file; one that does not exist is an error only if it was named here
    /// [default: /etc/drua/daemon.json]
    #[arg(long, visible_alias = "config", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Check the configuration and exit
    #[arg(long)]
    pub validate: bool,

    /// Log everything
    #[arg(short = 'D', long)]
    pub debug: bool,

    /// Serve TCP hosts with TLS, without asking clients for certificates
    #[arg(long)]
    pub tls: bool,

    /// Serve TCP hosts with TLS, for clients with a certificate of --tlscacert only
    #[arg(long)]
    pub tlsverify: bool,

    /// Certificates that a client's must be signed by
    #[arg(long, value_name = "FILE")]
    pub tlscacert: Option<PathBuf>,

    /// The daemon's certificate
    #[arg(long, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,

    /// The daemon's private key
    #[arg(long, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,

    /// Interface of the default bridge network
    #[arg(short = 'b', long, value_name = "NAME", default_value = "drua0")]
    pub bridge: String,

    /// Put before the names of interfaces and in the firewall table's, up to 3 letters or digits, for a second daemon
    #[arg(long, value_name = "PREFIX")]
    pub network_prefix: Option<String>,

    /// Addresses for networks without a subnet of their own: base=<CIDR>,size=<prefix length>; repeatable
    #[arg(long, value_name = "base=CIDR,size=N")]
    pub default_address_pool: Vec<String>,

    /// Cgroup under which those of the containers are made
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,

    /// Registry that may speak plain HTTP or have any certificate: host, host:port or a network; repeatable
    #[arg(long, value_name = "HOST")]
    pub insecure_registry: Vec<String>,

    /// Server to ask before Docker Hub, such as https://mirror.example; repeatable
    #[arg(long, value_name = "URL")]
    pub registry_mirror: Vec<String>,

    /// What to log: error, warn, info, debug, trace, or a filter such as `drua_engine=debug,info`
    #[arg(short = 'l', long, value_name = "LEVEL", env = drua_types::env::DRUA_LOG, default_value = "info")]
    pub log_level: String,

    /// Leave the terminal's session; the command line does so when it starts the daemon by itself
    #[arg(long, hide = true)]
    pub detached: bool,

    /// The options that were on the command line, by their long names.
    #[arg(skip)]
    pub given: Vec<String>,
}

impl DaemonArgs {
    /// Default of `--data-root`.
    pub const DEFAULT_DATA_ROOT: &str = "/var/lib/drua";
    /// Default of `--exec-root`.
    pub const DEFAULT_EXEC_ROOT: &str = "/run/drua";
    pub(crate) const DETACHED_FLAG: &str = "--detached";

    /// Whether a command line (with the program's name first) asks for the daemon role.
    pub fn is_daemon(args: &[OsString]) -> bool {
        args.get(1).is_some_and(|word| word == "daemon")
    }

    /// Reads a command line that [`DaemonArgs::is_daemon`] accepted.
    ///
    /// # Errors
    /// The exit code, when the command line is wrong or asks for help; the text has been printed.
    pub fn parse(args: &[OsString]) -> Result<Self, u8> {
        let parsed = crate::cli::Cli::command().try_get_matches_from(args).and_then(|matches| {
            let daemon = matches.subcommand_matches("daemon").expect("is_daemon() was asked");
            let typed = |id: &&clap::Id| daemon.value_source(id.as_str()) == Some(ValueSource::CommandLine);
            let given = daemon.ids().filter(typed).map(|id| id.as_str().replace('_', "-")).collect();
            Ok(Self { given, ..Self::from_arg_matches(daemon)? })
        });
        parsed.map_err(|error| crate::cli::usage(&error, drua_types::exit::USAGE))
    }

    /// Leaves the session of the terminal that started us, if we were started in the background. Call it first.
    ///
    /// # Errors
    /// `setsid(2)` fails when the process leads a group already; nothing is lost then.
    pub fn leave_session(&self) -> std::io::Result<()> {
        if self.detached {
            rustix::process::setsid()?;
        }
        Ok(())
    }
}
