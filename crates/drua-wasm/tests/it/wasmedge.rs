//! WasmEdge's sockets, on real sockets.

use std::fs;

use libtest_mimic::Trial;

use crate::harness::{Fixture, finish};
use crate::test;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("wasmedge::sockets_of_both_versions", sockets_of_both_versions),
        test("wasmedge::as_many_sockets_as_there_are", as_many_sockets_as_there_are),
        test("wasmedge::what_is_not_granted", what_is_not_granted),
        test("wasmedge::plugins_are_named", plugins_are_named),
    ]
}

fn sockets() -> Fixture {
    let fixture = Fixture::new(include_str!("fixtures/sockets.wat"));
    fs::write(fixture.root().join("etc/hosts"), "10.2.3.7\tdb\n").expect("writing");
    fixture
}

#[track_caller]
fn ends_with(fixture: &Fixture, env: &[&str], status: i32) {
    let output = finish(fixture.command(&["/app.wasm"], env).spawn().expect("starting"));
    assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
}

fn sockets_of_both_versions() {
    ends_with(&sockets(), &[], 0);
}

fn as_many_sockets_as_there_are() {
    ends_with(&Fixture::new(include_str!("fixtures/many_sockets.wat")), &[], 0);
}

/// The guest exits with the number of the step that it was denied.
fn what_is_not_granted() {
    let fixture = sockets();
    let deny = |grants: &str| format!("TEST_ANNOTATION_dev.drua.wasm.deny={grants}");
    ends_with(&fixture, &[&deny("all")], 1);
    ends_with(&fixture, &[&deny("listen")], 4);
    ends_with(&fixture, &[&deny("net")], 9);
    ends_with(&fixture, &[&deny("net"), "TEST_ANNOTATION_dev.drua.wasm.allow=net=127.0.0.0/8"], 0);
    ends_with(&fixture, &[&deny("dns")], 40);
}

fn plugins_are_named() {
    let module = r#"(module (import "wasmedge_image" "load_jpg" (func)) (func (export "_start")))"#;
    let output = Fixture::new(module).run(&["/app.wasm"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(137) && text.contains("WasmEdge's plugin wasmedge_image"), "{text}");
}
