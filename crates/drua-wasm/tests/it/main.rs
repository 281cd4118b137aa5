//! drua-wasm from outside: real modules in processes of their own, as the shim and the container's init run them.
//!
//! This binary is also the roles under test, so `main` looks for one first, while no thread exists.

mod commands;
mod compile;
mod harness;
mod serve;
mod wasmedge;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("wasm-compile") => return drua_wasm::compile_main(),
        Some("guest") => return harness::guest_main(&args[1..]),
        _ => {}
    }
    let trials = [commands::tests(), compile::tests(), serve::tests(), wasmedge::tests()].concat_trials();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A named test that fails by panicking.
fn test(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}

trait ConcatTrials {
    fn concat_trials(self) -> Vec<Trial>;
}

impl<const N: usize> ConcatTrials for [Vec<Trial>; N] {
    fn concat_trials(self) -> Vec<Trial> {
        self.into_iter().flatten().collect()
    }
}
