//! The command line of `drua wasm`, which needs no daemon. The work is not here: `main` does it with these arguments, since
//! the command line and the WebAssembly host do not know each other.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _};

/// Look into WebAssembly modules and run them, without a daemon
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  drua wasm inspect app.wasm
  drua wasm run --dir ./data:/data:ro app.wasm -- --help
  drua wasm run --allow net=db:3306 --addr 127.0.0.1:8080 service.wasm")]
pub struct WasmArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: WasmCommand,
}

/// What `drua wasm` can do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum WasmCommand {
    /// Show what a module may do, wants and gives, what made it and where its bytes go
    Inspect {
        /// The module or component
        file: PathBuf,
        /// Print JSON
        #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
        format: String,
    },
    /// Run a module here, with nothing but what is granted
    Run(Box<WasmRunArgs>),
    /// Compile a module into the cache, so that its first start is warm
    Compile {
        /// The module or component
        file: PathBuf,
        /// Directory of compiled modules
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
    },
    /// Print a component's interface as WIT
    Wit {
        /// The component
        file: PathBuf,
    },
    /// Look after compiled modules
    Cache {
        /// What to do.
        #[command(subcommand)]
        command: WasmCacheCommand,
    },
    /// Check a module against the specification
    Validate {
        /// The module or component
        file: PathBuf,
    },
    /// List the flavors, their versions and what they offer
    Runtimes {
        /// Print JSON
        #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
        format: String,
    },
}

/// What `drua wasm cache` can do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum WasmCacheCommand {
    /// List compiled modules
    Ls {
        /// Directory of compiled modules
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
    },
    /// Remove compiled modules that this version of drua cannot use
    Prune {
        /// All of them
        #[arg(short, long)]
        all: bool,
        /// Directory of compiled modules
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
    },
}

/// The options of `drua wasm run`.
#[derive(Debug, Clone, clap::Args)]
pub struct WasmRunArgs {
    /// Give the guest a directory: host path[:guest path][:ro]
    #[arg(long, value_name = "DIR")]
    pub dir: Vec<String>,
    /// Set an environment variable: NAME=value, or NAME to take it over from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Grant something: net, net=HOST[:PORT], listen=PORT, dns, http=HOST, all
    #[arg(long, visible_alias = "wasm-allow", value_name = "GRANT")]
    pub allow: Vec<String>,
    /// Take something away again
    #[arg(long, visible_alias = "wasm-deny", value_name = "GRANT")]
    pub deny: Vec<String>,
    /// Where an HTTP component listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub addr: String,
    /// Call this exported function instead
    #[arg(long, value_name = "FUNCTION")]
    pub invoke: Option<String>,
    /// End a command, or a request, after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<String>,
    /// Limit of an instance's memory, for example 64m
    #[arg(short, long, value_name = "BYTES")]
    pub memory: Option<drua_types::ByteSize>,
    /// Requests that an instance of an HTTP component serves before it is replaced
    #[arg(long, value_name = "N")]
    pub reuse: Option<u32>,
    /// Directory of compiled modules
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The module or component, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "FILE [ARG]")]
    pub file_and_args: Vec<String>,
}

impl WasmArgs {
    /// Whether a command line (with the program's name first) asks for this.
    pub fn is_wasm(args: &[OsString]) -> bool {
        args.get(1).is_some_and(|word| word == "wasm")
    }

    /// Reads a command line that [`WasmArgs::is_wasm`] accepted.
    ///
    /// # Errors
    /// The exit code, when the command line is wrong or asks for help; the text has been printed.
    pub fn parse(args: &[OsString]) -> Result<Self, u8> {
        let parsed = crate::cli::Cli::command().try_get_matches_from(args).and_then(|matches| {
            let wasm = matches.subcommand_matches("wasm").expect("is_wasm() was asked");
            Self::from_arg_matches(wasm)
        });
        parsed.map_err(|error| crate::cli::usage(&error, drua_types::exit::USAGE))
    }
}
