//! Saying what is done, and running programs that must succeed.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "talking to the reader is this module's job")]

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// Announces a step on stderr.
pub(crate) fn say(what: &str) {
    eprintln!("==> {what}");
}

/// Prints a result on stdout.
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// Prints an error with its causes.
pub(crate) fn complain(err: &anyhow::Error) {
    eprintln!("error: {err}");
    for cause in err.chain().skip(1) {
        eprintln!("  Caused by: {cause}");
    }
}

/// Runs a program with our own stdout and stderr and these variables; anything but success is an error.
pub(crate) fn call(program: impl AsRef<Path>, args: &[&str], env: &[(&str, &str)], dir: &Path) -> Result<()> {
    let program = program.as_ref();
    let line = format!("{} {}", program.display(), args.join(" "));
    let status = Command::new(program).args(args).envs(env.iter().copied()).current_dir(dir).status();
    let status = status.with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Runs a program and returns its stdout; anything but success is an error with its stderr.
pub(crate) fn capture(program: impl AsRef<Path>, args: &[&str], dir: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&capture_bytes(program, args, dir)?).into_owned())
}

/// As [`capture`], for output that is no text.
pub(crate) fn capture_bytes(program: impl AsRef<Path>, args: &[&str], dir: &Path) -> Result<Vec<u8>> {
    let program = program.as_ref();
    let line = format!("{} {}", program.display(), args.join(" "));
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.with_context(|| format!("cannot start `{line}`"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}` ended with {}\n{}", output.status, stderr.trim());
    Ok(output.stdout)
}
