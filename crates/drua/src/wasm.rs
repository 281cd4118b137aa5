//! `drua wasm`: the arguments are the command line's, the work is the WebAssembly host's.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use drua_cli::{WasmArgs, WasmCacheCommand, WasmCommand, WasmRunArgs};
use drua_types::grants::Grants;
use drua_types::{ByteSize, Hint, error_chain, exit};
use drua_wasm::tool::{self, Inspection, Part};
use drua_wasm::{Compiler, Directory, Prepare, Prepared, Settings, Target, WasmRun};

/// Why a command failed, and what to do about it.
struct Failed(String, Vec<String>);

impl<E: std::error::Error + Hint + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error_chain(&error), error.hints())
    }
}

/// Runs a command line and returns the exit code.
pub(crate) fn main(args: WasmArgs) -> u8 {
    match run(args.command) {
        Ok(code) => code,
        Err(Failed(message, hints)) => super::fail(&message, &hints),
    }
}

fn run(command: WasmCommand) -> Result<u8, Failed> {
    let text = match command {
        WasmCommand::Inspect { file, format } => {
            let found = tool::inspect(&tool::read(&file)?)?;
            if format == "json" { json(&found) } else { describe(&file, &found) }
        }
        WasmCommand::Wit { file } => tool::wit(&file, &tool::read(&file)?)?,
        WasmCommand::Validate { file } => {
            tool::validate(&tool::read(&file)?)?;
            format!("{} is valid\n", file.display())
        }
        WasmCommand::Compile { file, cache } => {
            let prepared = prepare(&file, &file.to_string_lossy(), &directory(cache))?;
            let how = if prepared.was_cached() { "was compiled already" } else { "compiled" };
            format!("{} {how}\n", prepared.digest())
        }
        WasmCommand::Cache { command: WasmCacheCommand::Ls { cache } } => {
            listing(&drua_wasm::list_cache(&directory(cache)).map_err(plain)?)
        }
        WasmCommand::Cache { command: WasmCacheCommand::Prune { all, cache } } => {
            let removed = drua_wasm::prune_cache(&directory(cache), all).map_err(plain)?;
            let bytes: u64 = removed.iter().map(|entry| entry.bytes).sum();
            format!("{} removed, {} freed\n", removed.len(), size(bytes))
        }
        WasmCommand::Runtimes { format } if format == "json" => json(&tool::offers()),
        WasmCommand::Runtimes { .. } => {
            let lines = tool::offers().into_iter().map(|offer| {
                format!(
                    "{:<10}{:<28}{}\n    {}\n",
                    offer.name,
                    offer.runtime,
                    offer.version,
                    offer.interfaces.join("\n    ")
                )
            });
            lines.collect()
        }
        WasmCommand::Run(args) => return run_module(*args),
    };
    // Whoever reads may have gone.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(exit::OK)
}

fn plain(error: impl std::error::Error + 'static) -> Failed {
    Failed(error_chain(&error), Vec::new())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).decimal()
}

/// The system's cache for root, which the daemon shares, and the user's own for others.
fn directory(cache: Option<PathBuf>) -> PathBuf {
    cache.unwrap_or_else(|| {
        if rustix::process::geteuid().is_root() {
            return "/var/lib/drua/aot".into();
        }
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
        std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("drua/aot")
    })
}

fn prepare(file: &Path, entrypoint: &str, aot_dir: &Path) -> Result<Prepared, Failed> {
    let module =
        File::open(file).map_err(|error| Failed(format!("cannot read `{}`: {error}", file.display()), Vec::new()))?;
    let compiler = Compiler::this_binary();
    Ok(drua_wasm::prepare(Prepare { module, flavor: None, entrypoint, aot_dir, compiler: &compiler })?)
}

fn run_module(args: WasmRunArgs) -> Result<u8, Failed> {
    let (file, _) = args.file_and_args.split_first().expect("clap requires the file");
    let file = PathBuf::from(file);
    let entrypoint = match &args.invoke {
        Some(function) => format!("{}#{function}", file.display()),
        None => file.display().to_string(),
    };
    let prepared = prepare(&file, &entrypoint, &directory(args.cache.clone()))?;
    let mut env: Vec<String> = args.env.iter().filter_map(|entry| variable(entry)).collect();
    let serves = prepared.target() == Target::Serve;
    if serves {
        env.push(format!("{}={}", drua_types::env::WASMTIME_HTTP_PROXY_SOCKET_ADDR, args.addr));
    }
    let mut allow = args.allow.clone();
    allow.push("env".to_owned());
    if serves {
        allow.push("listen".to_owned());
    }
    let deny = [vec!["all".to_owned()], args.deny.clone()].concat();
    let grants = Grants::parse(&allow.join(","), &deny.join(","))?;
    let timeout = args.timeout.as_deref().map(|text| {
        let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok().filter(|s| (0.001..=1e9).contains(s));
        seconds
            .map(Duration::from_secs_f64)
            .ok_or_else(|| Failed(format!("`{text}` is not a number of seconds"), Vec::new()))
    });
    let settings = Settings {
        grants,
        memory: args.memory.map(ByteSize::bytes),
        timeout: timeout.transpose()?,
        reuse: args.reuse,
        directories: Some(args.dir.iter().map(|text| given(text)).collect()),
        ..Settings::default()
    };
    let cwd = PathBuf::from("/");
    let run = WasmRun { prepared, args: args.file_and_args, env, cwd, settings };
    // Threads of the guest may still run, and nothing is buffered.
    Ok(u8::try_from(run.run() & 0xff).unwrap_or(exit::FAILURE))
}

fn variable(entry: &str) -> Option<String> {
    if entry.contains('=') {
        Some(entry.to_owned())
    } else {
        std::env::var(entry).ok().map(|value| format!("{entry}={value}"))
    }
}

/// `host[:guest][:ro]`
fn given(text: &str) -> Directory {
    let (text, read_only) = text.strip_suffix(":ro").map_or((text, false), |text| (text, true));
    let (host, guest) = text.split_once(':').unwrap_or((text, text));
    Directory { host: host.into(), guest: guest.to_owned(), read_only }
}

fn listing(entries: &[drua_wasm::Entry]) -> String {
    let mut text = format!("{:<16}{:<12}{:<10}{:<8}ENGINE\n", "MODULE", "SIZE", "AGE", "USABLE");
    for entry in entries {
        let age = SystemTime::now().duration_since(entry.modified).unwrap_or_default().as_secs();
        let age = if age < 3600 { format!("{} min", age / 60) } else { format!("{} h", age / 3600) };
        let usable = if entry.usable { "yes" } else { "no" };
        let module = entry.module.get(..12).unwrap_or(&entry.module);
        let _ = writeln!(text, "{module:<16}{:<12}{age:<10}{usable:<8}{}", size(entry.bytes), entry.engine);
    }
    text
}

fn describe(file: &Path, found: &Inspection) -> String {
    let mut text = format!("{}: {}, {}\n", file.display(), found.kind, size(found.bytes));
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}:");
            text.extend(lines.iter().map(|line| format!("  {line}\n")));
        }
    };
    section("It may", found.capabilities.iter().map(|(what, by)| format!("{what}  ({})", shorten(by))).collect());
    section("Imports", found.imports.clone());
    section("Exports", found.exports.clone());
    section("Made by", found.producers.clone());
    let mut parts = Vec::new();
    if let Some(tree) = &found.tree {
        tree.parts.iter().for_each(|part| outline(part, 0, &mut parts));
    }
    section("Parts", parts);
    let shares = |list: &[tool::Share]| {
        list.iter().take(15).map(|share| format!("{:>10}  {}", size(share.bytes), share.name)).collect()
    };
    section("Bytes by section", shares(&found.sections));
    section("Code by crate", shares(&found.crates));
    text
}

fn shorten(imports: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = imports.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if imports.len() > SHOWN {
        let _ = write!(text, " and {} more", imports.len() - SHOWN);
    }
    text
}

fn outline(part: &Part, depth: usize, lines: &mut Vec<String>) {
    let name = if part.name.is_empty() { "(unnamed)" } else { &part.name };
    lines.push(format!("{}{name}: {}, {}", "  ".repeat(depth), part.kind, size(part.bytes)));
    part.parts.iter().for_each(|part| outline(part, depth + 1, lines));
}
