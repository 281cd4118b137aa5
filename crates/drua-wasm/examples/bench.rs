//! Measures what a start costs: `prepare` with a warm cache, and a hello guest from fork to exit.
//!
//! `cargo run --release -p drua-wasm --example bench [module.wasm]`; needs root, as the cache does.

#![expect(clippy::print_stdout, reason = "its output is the figures")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use drua_wasm::{Compiler, Prepare, Prepared, WasmRun, prepare};

const HELLO: &str = include_str!("../tests/it/fixtures/hello.wat");
const ROUNDS: usize = 200;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("wasm-compile") => return Ok(drua_wasm::compile_main()),
        Some("guest") => return guest(&args[1], &args[2], args.len() > 3),
        Some("nothing") => return Ok(ExitCode::SUCCESS),
        _ => {}
    }
    let directory = tempfile::tempdir()?;
    let (module, aot) = (directory.path().join("hello.wasm"), directory.path().join("aot"));
    match args.first() {
        Some(path) => drop(std::fs::copy(path, &module)?),
        None => std::fs::write(&module, wat::parse_str(HELLO)?)?,
    }
    let begun = Instant::now();
    ready(&module, &aot)?;
    println!("prepare, cold        {:>9.1?}", begun.elapsed());
    report("prepare, warm", || ready(&module, &aot).map(drop))?;
    let itself = std::env::current_exe()?;
    report("process that does nothing", || run(Command::new(&itself).arg("nothing")))?;
    report("process that is the guest", || run(Command::new(&itself).arg("guest").arg(&module).arg(&aot)))?;
    // And three that tell how their time divides.
    for _ in 0..3 {
        Command::new(&itself).arg("guest").arg(&module).arg(&aot).arg("tell").status()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn guest(module: &str, aot: &str, tell: bool) -> Result<ExitCode> {
    let begun = Instant::now();
    let prepared = ready(module.as_ref(), aot.as_ref())?;
    let after = Instant::now();
    let run = WasmRun {
        prepared,
        args: vec![module.to_owned()],
        env: Vec::new(),
        cwd: "/".into(),
        settings: drua_wasm::Settings::default(),
    };
    let status = run.run();
    if tell {
        println!("prepare {:?}, run {:?}", after - begun, after.elapsed());
    }
    Ok(ExitCode::from(u8::try_from(status)?))
}

fn ready(module: &Path, aot: &Path) -> Result<Prepared> {
    let module = File::open(module)?;
    let compiler = Compiler::this_binary();
    Ok(prepare(Prepare { module, flavor: None, entrypoint: "hello.wasm", aot_dir: aot, compiler: &compiler })?)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("starting")?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn report(what: &str, mut body: impl FnMut() -> Result<()>) -> Result<()> {
    let mut times = Vec::with_capacity(ROUNDS);
    // The first round fills caches.
    for _ in 0..=ROUNDS {
        let begun = Instant::now();
        body()?;
        times.push(begun.elapsed());
    }
    times.remove(0);
    times.sort_unstable();
    let at = |percent: usize| -> Duration { times[(times.len() - 1) * percent / 100] };
    println!("{what:<26} min {:>8.2?}  p50 {:>8.2?}  p99 {:>8.2?}", at(0), at(50), at(99));
    Ok(())
}
