//! The compile role and the cache: what they refuse, and what they do not trust.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use drua_types::{Classify, ErrorKind};
use drua_wasm::{Compiler, Prepare, PrepareError, Target, prepare};
use libtest_mimic::Trial;

use crate::harness::{Fixture, finish, prepare_at};
use crate::test;

const HELLO: &str = include_str!("fixtures/hello.wat");

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("compile::the_second_time_is_cached", the_second_time_is_cached),
        test("compile::what_is_no_module_is_refused", what_is_no_module_is_refused),
        test("compile::huge_modules_are_refused", huge_modules_are_refused),
        test("compile::concurrent_compilations", concurrent_compilations),
        test("compile::damaged_artifacts_are_made_again", damaged_artifacts_are_made_again),
        test("compile::foreign_artifacts_are_made_again", foreign_artifacts_are_made_again),
        test("compile::unsafe_directories_are_refused", unsafe_directories_are_refused),
        test("compile::a_compiler_that_fails", a_compiler_that_fails),
        test("compile::a_compiler_that_writes_rubbish", a_compiler_that_writes_rubbish),
        test("compile::the_role_is_confined", the_role_is_confined),
    ]
}

fn the_second_time_is_cached() {
    let fixture = Fixture::new(HELLO);
    let first = prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect("compiles");
    assert!(!first.was_cached());
    assert_eq!(first.target(), Target::Command);
    let second = prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect("loads");
    assert!(second.was_cached());
    assert_eq!(first.digest(), second.digest());
    let artifact = artifact(&fixture);
    assert_eq!(fs::metadata(&artifact).expect("stat").mode() & 0o7777, 0o444);
    let directory = artifact.parent().expect("a parent");
    assert_eq!(fs::metadata(directory).expect("stat").mode() & 0o7777, 0o700);
    assert_eq!(fs::read_dir(directory).expect("listing").count(), 1, "no temporary file stays");
}

/// The only artifact in a fixture's cache.
fn artifact(fixture: &Fixture) -> PathBuf {
    let only =
        |directory: PathBuf| fs::read_dir(directory).expect("listing").next().expect("one").expect("entry").path();
    only(only(fixture.aot()))
}

#[track_caller]
fn refused(bytes: &[u8], expect: &str) {
    let fixture = Fixture::empty();
    fs::write(fixture.module(), bytes).expect("writing");
    let error = prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect_err("must be refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(expect), "{error}");
}

fn what_is_no_module_is_refused() {
    let module = wat::parse_str(HELLO).expect("valid");
    refused(b"", "not a WebAssembly module: it begins with nothing");
    refused(b"\x7fELF\x02\x01\x01\0garbage", "not a WebAssembly module: it begins with `\\x7fELF");
    refused(b"\0asm", "not a WebAssembly module: unexpected end");
    refused(b"\0asm\x07\0\0\0", "not a WebAssembly module: unknown binary version");
    refused(&module[..module.len() / 2], "(at offset 0x");
    refused(b"(module)", "is WebAssembly text");
    let mut damaged = module;
    damaged.iter_mut().skip(60).for_each(|byte| *byte ^= 0xff);
    refused(&damaged, "(at offset 0x");
    let invalid = wat::parse_str("(module (func (result i32) i64.const 0))").expect("well-formed");
    refused(&invalid, "type mismatch");
}

fn huge_modules_are_refused() {
    let fixture = Fixture::empty();
    fs::write(fixture.module(), b"\0asm\x01\0\0\0").expect("writing");
    OpenOptions::new()
        .write(true)
        .open(fixture.module())
        .and_then(|file| file.set_len((512 << 20) + 1))
        .expect("sparse");
    let error = prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect_err("must be refused");
    assert!(matches!(error, PrepareError::TooLarge { .. }), "{error}");
}

fn concurrent_compilations() {
    let fixture = Fixture::new(HELLO);
    let guests: Vec<_> = (0..6).map(|_| fixture.command(&["/app.wasm"], &[]).spawn().expect("starting")).collect();
    for guest in guests {
        let output = finish(guest);
        assert_eq!(output.stdout, b"hello from wasm\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(fs::read_dir(artifact(&fixture).parent().expect("a parent")).expect("listing").count(), 1);
}

/// Compiles, lets somebody meddle with the artifact, and expects that it is compiled again and runs.
#[track_caller]
fn made_again(meddle: impl Fn(&PathBuf)) {
    let fixture = Fixture::new(HELLO);
    prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect("compiles");
    meddle(&artifact(&fixture));
    assert!(!prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect("compiles").was_cached());
    assert!(prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect("loads").was_cached());
    assert_eq!(fixture.run(&["/app.wasm"]).stdout, b"hello from wasm\n");
}

fn damaged_artifacts_are_made_again() {
    let truncate = |path: &PathBuf, length| {
        OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(length)).expect("truncating");
    };
    made_again(|path| truncate(path, 0));
    made_again(|path| truncate(path, 10));
    made_again(|path| truncate(path, fs::metadata(path).expect("stat").len() - 1));
    made_again(|path| {
        fs::write(path, "not an artifact at all, but long enough for a trailer of its own").expect("write");
    });
}

fn foreign_artifacts_are_made_again() {
    made_again(|path| chown(path, Some(12345), None).expect("chown"));
    made_again(|path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("chmod"));
    made_again(|path| {
        let elsewhere = path.with_extension("elsewhere");
        fs::rename(path, &elsewhere).expect("rename");
        std::os::unix::fs::symlink(&elsewhere, path).expect("symlink");
    });
}

fn unsafe_directories_are_refused() {
    type Meddle = fn(&PathBuf);
    let meddles: [Meddle; 2] = [
        |path| chown(path, Some(12345), None).expect("chown"),
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod"),
    ];
    for meddle in meddles {
        for below in [false, true] {
            let fixture = Fixture::new(HELLO);
            prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect("compiles");
            meddle(&if below { artifact(&fixture).parent().expect("a parent").to_owned() } else { fixture.aot() });
            let error = prepare_at(&fixture.module(), &fixture.aot(), "/app.wasm").expect_err("must be refused");
            assert!(drua_types::error_chain(&error).contains("is not safe"), "{error}");
        }
    }
}

/// What a compiler other than ours leads to.
fn with_compiler(program: &str, args: &[&str]) -> PrepareError {
    let fixture = Fixture::new(HELLO);
    let compiler = Compiler { program: program.into(), args: args.iter().map(Into::into).collect() };
    let module = fs::File::open(fixture.module()).expect("opening");
    let error =
        prepare(Prepare { module, flavor: None, entrypoint: "/a", aot_dir: &fixture.aot(), compiler: &compiler })
            .expect_err("must fail");
    let left = fs::read_dir(fs::read_dir(fixture.aot()).expect("ls").next().expect("one").expect("entry").path());
    assert_eq!(left.expect("ls").count(), 0, "nothing stays in the cache");
    error
}

fn a_compiler_that_fails() {
    let error = with_compiler("/bin/sh", &["-c", "echo boom >&2; exit 3"]);
    assert_eq!(error.to_string(), "the compiler ended with exit status: 3: boom");
    let error = with_compiler("/bin/sh", &["-c", "kill -9 $$"]);
    assert!(error.to_string().contains("it reached a limit"), "{error}");
    assert!(matches!(with_compiler("/nonexistent", &[]), PrepareError::Compiler { action: "start", .. }));
}

fn a_compiler_that_writes_rubbish() {
    assert!(matches!(with_compiler("/bin/cat", &[]), PrepareError::Output(_)));
    assert!(matches!(with_compiler("/bin/true", &[]), PrepareError::Output(_)));
}

/// Looks at the role from outside while it waits for its module.
fn the_role_is_confined() {
    let mut role = Command::new(std::env::current_exe().expect("this binary"))
        .arg("wasm-compile")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting");
    let proc = PathBuf::from(format!("/proc/{}", role.id()));
    let status = crate::harness::eventually("no_new_privs", || {
        fs::read_to_string(proc.join("status")).ok().filter(|status| status.contains("NoNewPrivs:\t1"))
    });
    assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{status}");
    assert!(status.contains("Groups:\t \n") || status.contains("Groups:\t\n"), "{status}");
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    let net = |path: PathBuf| fs::read_link(path).expect("reading the link");
    assert_ne!(net(proc.join("ns/net")), net("/proc/self/ns/net".into()));
    assert_eq!(fs::read_dir(proc.join("fd")).expect("listing").count(), 3);
    drop(role.stdin.take());
    let output = finish(role);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "not a WebAssembly module: it begins with nothing: the file is empty\n"
    );
}
