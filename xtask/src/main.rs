//! Automation: `cargo xtask <task>`.
//!
//! Everything that CI or the Makefile does with more than one command is a task here.

mod bench;
mod ci;
mod demo;
mod steps;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <task>

  tidy             check the arrows between crates, the owners of heavy dependencies, the sizes of files
  demo-images      build the images of the demo into target/demo
  init-images      build base images with real toolchains, for the tests of `drua init`
  demo             start a daemon of its own, bring examples/side-by-side up and prove it (root)
  demo-down        remove everything that the demo made (root)
  bench [ROUNDS]   measure drua beside its peers, print the table and write it to docs/performance.md (root)
  bench images [ROUNDS]  pulls, pushes and archives alone; writes them there, too (root)
  bench living [ROUNDS]  exec, start, stop, logs, events and listings alone; prints them (root)
  bench init       `drua init` on large repositories alone; prints it
  oracle           run the tests that walk all verbs against Docker's own daemon, dockerd (root)
  bench lint DIR   lints the Dockerfiles of a folder with drua and hadolint, and writes docs/lint.md
  lint             rustfmt, clippy with warnings as errors, tidy
  ci               lint, then every test
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            steps::complain(&err);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["tidy"] => tidy::run(),
        ["demo-images"] => demo::images::build(),
        ["init-images"] => demo::toolchains::build(),
        ["demo"] => demo::up(),
        ["demo-down"] => demo::down(),
        ["bench", "living"] => bench::run_living(bench::DEFAULT_ROUNDS),
        ["bench", "living", rounds] => bench::run_living(rounds.parse()?),
        ["bench"] => bench::run(bench::DEFAULT_ROUNDS),
        ["bench", "images"] => bench::images(bench::IMAGE_ROUNDS),
        ["bench", "images", rounds] => bench::images(rounds.parse()?),
        ["bench", rounds] => bench::run(rounds.parse()?),
        ["oracle"] => ci::oracle(),
        ["bench", "init"] => bench::init_only(bench::DEFAULT_ROUNDS),
        ["bench", "lint", folder] => bench::lint::run(folder.as_ref()),
        ["lint"] => ci::lint(),
        ["ci"] => ci::run(),
        _ => bail!("unknown task\n\n{USAGE}"),
    }
}
