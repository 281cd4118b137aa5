//! The hidden role `wasm-precompile <aot cache> <entrypoint>`: compiles the module on stdin into the cache, so that its
//! first container starts as fast as the next ones. The daemon starts it when an image comes in, and never waits for it.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use drua_types::{error_chain, exit};
use drua_wasm::{Compiler, Prepare, prepare};

/// Well behind everything that somebody waits for.
const NICENESS: i32 = 15;

/// Runs the role; call it before any thread exists.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    // With the daemon goes the reason to do this ahead of time. Neither call can do harm by failing.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let [aot_dir, entrypoint] = args else {
        return ExitCode::from(crate::fail("expected an AOT cache and an entrypoint", &[]));
    };
    let module = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(stdin) => File::from(stdin),
        Err(error) => return ExitCode::from(crate::fail(&format!("cannot read stdin: {error}"), &[])),
    };
    let request = Prepare {
        module,
        flavor: None,
        entrypoint: &entrypoint.to_string_lossy(),
        aot_dir: Path::new(aot_dir),
        compiler: &Compiler::this_binary(),
    };
    match prepare(request) {
        Ok(_) => ExitCode::from(exit::OK),
        Err(error) => ExitCode::from(crate::fail(&error_chain(&error), &[])),
    }
}
