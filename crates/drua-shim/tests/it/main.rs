//! Drives real shims over ttrpc, as the engine does. Needs root, namespaces, overlayfs and cgroups.
//!
//! The binary plays three roles: `shim` and `wasm-compile` as the real one does, and else the tests.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, though without libtest's harness")]

mod attach;
mod bench;
#[path = "../../../drua-runtime/tests/it/busybox.rs"]
mod busybox;
mod containerd;
mod exec;
mod faults;
mod lifecycle;
mod logs;
mod wasm;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use bench::Bench;

/// No test takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    match words.next().as_ref().and_then(|word| word.to_str()) {
        Some("shim") => drua_shim::main(words),
        Some("wasm-compile") => drua_wasm::compile_main(),
        _ => test(),
    }
}

fn test() -> ExitCode {
    let modules = [
        lifecycle::tests(),
        attach::tests(),
        exec::tests(),
        logs::tests(),
        faults::tests(),
        containerd::tests(),
        wasm::tests(),
    ];
    let skip = !busybox::available();
    let trials = modules.into_iter().flatten().map(|trial| trial.with_ignored_flag(skip)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test with a bench of its own.
fn test_case<F>(name: &'static str, body: fn(Bench) -> F) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let body = tokio::time::timeout(PATIENCE, body(Bench::new()));
            body.await.map_err(|_| Failed::from("took too long"))
        })
    })
}

/// The tests of a module, named after it.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            let module = module_path!().rsplit("::").next().expect("a path has a last part");
            vec![$($crate::test_case(Box::leak(format!("{module}::{}", stringify!($name)).into_boxed_str()), $name)),*]
        }
    };
}
