//! Commands: what they are given, how they end, and that signals end them.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{self, Fixture, UNPRIVILEGED, eventually, finish, wait};
use crate::test;

const HELLO: &str = include_str!("fixtures/hello.wat");
const ECHO: &str = include_str!("fixtures/echo.wat");
const CAT: &str = include_str!("fixtures/cat.wat");
const FILES: &str = include_str!("fixtures/files.wat");
const SPIN: &str = r#"(module (func (export "_start") (loop $spin (br $spin))))"#;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("commands::hello", hello),
        test("commands::a_named_function", a_named_function),
        test("commands::a_component_or_an_old_module", a_component_or_an_old_module),
        test("commands::a_component_looks_up_a_name", a_component_looks_up_a_name),
        test("commands::exit_codes", exit_codes),
        test("commands::arguments_and_environment", arguments_and_environment),
        test("commands::stdin_to_stdout", stdin_to_stdout),
        test("commands::files_of_the_root", files_of_the_root),
        test("commands::traps", traps),
        test("commands::imports_that_nobody_offers", imports_that_nobody_offers),
        test("commands::a_loop_ends_with_a_signal", a_loop_ends_with_a_signal),
        test("commands::a_blocked_read_ends_with_a_signal", a_blocked_read_ends_with_a_signal),
        test("commands::an_unprivileged_user", an_unprivileged_user),
        test("commands::limits_say_which", limits_say_which),
        test("commands::grants_narrow", grants_narrow),
    ]
}

/// Runs a module and compares its status, stdout and the beginning of stderr.
#[track_caller]
fn check(module: &str, args: &[&str], status: i32, stdout: &str, stderr: &str) {
    let output = Fixture::new(module).run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout);
    assert!(if stderr.is_empty() { text.is_empty() } else { text.starts_with(stderr) }, "stderr: {text}");
}

fn hello() {
    check(HELLO, &["/app.wasm"], 0, "hello from wasm\n", "");
}

fn a_named_function() {
    check(HELLO, &["/app.wasm#bye"], 0, "bye\n", "");
    check(HELLO, &["/app.wasm#nope"], 137, "", "error: `/app.wasm#nope` exports no function `nope`\n");
    check("(module)", &["/app.wasm"], 137, "", "error: `/app.wasm` exports no function `_start`\n");
}

fn a_component_or_an_old_module() {
    let component = r#"(component
        (core module $m (func (export "thunk")) (func (export "bad") unreachable))
        (core instance $i (instantiate $m))
        (func (export "thunk") (canon lift (core func $i "thunk")))
        (func (export "bad") (canon lift (core func $i "bad"))))"#;
    check(component, &["/app.wasm#thunk"], 0, "", "");
    check(component, &["/app.wasm#bad"], 137, "", "error: the guest trapped\n");
    check(component, &["/app.wasm"], 137, "", "error: `/app.wasm` exports no function `wasi:cli/run`\n");
    let old = HELLO.replace("wasi_snapshot_preview1", "wasi_unstable");
    check(&old, &["/app.wasm"], 0, "hello from wasm\n", "");
    let foreign = r#"(component (import "acme:rocket/launch@1.0.0" (instance (export "go" (func)))))"#;
    let missing = "error: the module imports what drua does not offer: `acme:rocket/launch@1.0.0`\n\nhint: nobody that drua knows";
    check(foreign, &["/app.wasm#x"], 137, "", missing);
}

/// With neither hosts nor resolv.conf, the C library does not know `localhost`: this is our look-up, and it fails when
/// wasmtime-wasi registers another version of the interface than the one that we replace.
fn a_component_looks_up_a_name() {
    let component = || harness::component(include_str!("fixtures/lookup.wat"), include_str!("fixtures/lookup.wit"));
    let output = Fixture::new(component()).run(&["/app.wasm"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let fixture = Fixture::new(component());
    fs::write(fixture.root().join("etc/hosts"), "10.0.0.1 localhost\n").expect("writing");
    assert_eq!(fixture.run(&["/app.wasm"]).status.code(), Some(1), "`wasi:cli/run` returned an error");
}

fn exit_codes() {
    for code in [0, 1, 42, 125, 126, 137, 255] {
        let module = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
                 (func (export "_start") (call $exit (i32.const {code}))))"#
        );
        check(&module, &["/app.wasm"], code, "", "");
    }
}

fn arguments_and_environment() {
    let fixture = Fixture::new(ECHO);
    let args = ["/app.wasm#_start", "", "two words", "näïve"];
    let output = finish(fixture.command(&args, &["A=1", "EMPTY=", "EQ=a=b"]).spawn().expect("starting"));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/app.wasm#_start\0\0two words\0näïve\0");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "A=1\0EMPTY=\0EQ=a=b\0");
}

fn stdin_to_stdout() {
    let fixture = Fixture::new(CAT);
    let mut guest = fixture.command(&["/app.wasm"], &[]).stdin(Stdio::piped()).spawn().expect("starting");
    let mut stdin = guest.stdin.take().expect("piped");
    let text: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let sent = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).expect("writing"));
    let output = finish(guest);
    writer.join().expect("the writer");
    assert!(output.stdout == text, "{} of {} bytes", output.stdout.len(), text.len());
}

fn files_of_the_root() {
    let fixture = Fixture::new(FILES);
    assert_eq!(fixture.run(&["/app.wasm"]).status.code(), Some(44), "ENOENT");
    fs::write(fixture.root().join("in.txt"), "some text").expect("writing");
    assert_eq!(fixture.run(&["/app.wasm"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(fixture.root().join("out.txt")).expect("reading"), "some text");
}

fn traps() {
    let trap = r#"(module (func $inner unreachable) (func (export "_start") (call $inner)))"#;
    let output = Fixture::new(trap).run(&["/app.wasm"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(137));
    assert!(text.contains("Caused by: wasm trap: wasm `unreachable` instruction executed"), "{text}");
    assert!(text.contains("!inner") && text.contains("\nhint: "), "{text}");
    let deep = r#"(module (func $f (export "_start") (call $f)))"#;
    let output = Fixture::new(deep).run(&["/app.wasm"]);
    assert_eq!(output.status.code(), Some(137));
    assert!(String::from_utf8_lossy(&output.stderr).contains("call stack exhausted"));
    let wild = r#"(module (memory 1) (func (export "_start") (drop (i32.load (i32.const -4)))))"#;
    let output = Fixture::new(wild).run(&["/app.wasm"]);
    assert_eq!(output.status.code(), Some(137));
    assert!(String::from_utf8_lossy(&output.stderr).contains("out of bounds memory access"));
}

fn imports_that_nobody_offers() {
    let module = r#"(module (import "env" "foo" (func)) (import "wasmedge_process" "run" (func))
        (func (export "_start")))"#;
    let expect = "error: the module imports what drua does not offer: `env` `foo`, `wasmedge_process` `run`\n\nhint: `foo` was left \
         for the linker: the module was built without a library, or for a browser; build it for wasm32-wasip1\nhint: \
         `wasmedge_process` is WasmEdge's plugin wasmedge_process, which drua does not have";
    check(module, &["/app.wasm"], 137, "", expect);
    let wrong_type = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (func (export "_start")))"#;
    check(
        wrong_type,
        &["/app.wasm"],
        137,
        "",
        "error: the module cannot be linked\n  Caused by: incompatible import type",
    );
}

fn a_loop_ends_with_a_signal() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::USR1, 138)] {
        let mut fixture = Fixture::new(SPIN);
        fixture.as_init = true;
        assert_eq!(ended_by(&fixture, Stdio::null(), signal), Some(status), "{signal:?}");
    }
}

fn a_blocked_read_ends_with_a_signal() {
    assert_eq!(ended_by(&Fixture::new(CAT), Stdio::piped(), Signal::TERM), Some(143));
}

/// The status of a guest that a signal ends, after it has begun to run.
fn ended_by(fixture: &Fixture, stdin: Stdio, signal: Signal) -> Option<i32> {
    let mut child = fixture.command(&["/app.wasm"], &[]).stdin(stdin).spawn().expect("starting");
    let first = Pid::from_child(&child);
    let guest = eventually("the guest's own thread", || {
        let pid = if fixture.as_init { only_child(first)? } else { first };
        threads(pid).contains(&"wasm".to_owned()).then_some(pid)
    });
    kill_process(guest, signal).expect("signalling");
    wait(&mut child).code()
}

fn only_child(pid: Pid) -> Option<Pid> {
    let pid = pid.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_ascii_whitespace().next()?.parse().ok()?)
}

fn threads(pid: Pid) -> Vec<String> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return Vec::new() };
    let name = |task: fs::DirEntry| Some(fs::read_to_string(task.path().join("comm")).ok()?.trim().to_owned());
    tasks.flatten().filter_map(name).collect()
}

fn an_unprivileged_user() {
    let component = r#"(component (core module $m (func (export "thunk")))
        (core instance $i (instantiate $m)) (func (export "thunk") (canon lift (core func $i "thunk"))))"#;
    for (module, entrypoint) in [(HELLO, "/app.wasm"), (component, "/app.wasm#thunk")] {
        // Without and with `/proc`, through which components are mapped.
        for as_init in [false, true] {
            let mut fixture = Fixture::new(module);
            fixture.as_init = as_init;
            let output = finish(fixture.command(&[entrypoint], &[UNPRIVILEGED]).spawn().expect("starting"));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn limits_say_which() {
    let check = |module: &str, env: &str, expect: &str| {
        let output = finish(Fixture::new(module).command(&["/app.wasm"], &[env]).spawn().expect("starting"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(137) && text.contains(expect), "{expect}: {text}");
    };
    let grows = r#"(module (memory 1) (func (export "_start") (drop (memory.grow (i32.const 4096)))))"#;
    check(
        grows,
        "TEST_MEMORY=67108864",
        "the guest asked for 256.1 MiB of memory, and the container's limit is 64.0 MiB",
    );
    check(
        "(module (memory 4096) (func (export \"_start\")))",
        "TEST_MEMORY=67108864",
        "the container's limit is 64.0 MiB",
    );
    check(r#"(module (table 4294967295 funcref) (func (export "_start")))"#, "A=1", "a table of 4294967295 elements");
    check(SPIN, "TEST_ANNOTATION_dev.drua.wasm.timeout=0.2", "the guest ran longer than its limit of 0.2 s");
}

fn grants_narrow() {
    let fixture = Fixture::new(ECHO);
    let env = ["A=1", "B=2", "TEST_ANNOTATION_dev.drua.wasm.allow=env=A", "TEST_ANNOTATION_dev.drua.wasm.deny=all"];
    let output = finish(fixture.command(&["/app.wasm"], &env).spawn().expect("starting"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "A=1\0");
    let fixture = Fixture::new(FILES);
    fs::write(fixture.root().join("in.txt"), "some text").expect("writing");
    let deny = "TEST_ANNOTATION_dev.drua.wasm.deny=dir";
    let output = finish(fixture.command(&["/app.wasm"], &[deny]).spawn().expect("starting"));
    assert_ne!(output.status.code(), Some(0), "it has no directory to open files in");
}
