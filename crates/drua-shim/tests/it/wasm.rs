//! The light hull: a module in the root file system runs in the container's init.

use crate::bench::{Bench, Line, code};

crate::tests![a_module_runs_in_the_container, a_broken_module_is_refused, a_module_that_loops_can_be_killed];

/// Prints one line and exits with 3.
const HELLO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "hello from wasm\n")
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 8))
        (i32.store (i32.const 4) (i32.const 16))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
        (call $exit (i32.const 3))))"#;

const LOOP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))"#;

fn install(bench: &Bench, text: &str) {
    std::fs::write(bench.path("lower/app.wasm"), wat::parse_str(text).unwrap()).unwrap();
}

async fn a_module_runs_in_the_container(bench: Bench) {
    install(&bench, HELLO);
    let shim = bench.create(&bench.spec(&["app.wasm"])).await;
    assert_eq!(shim.run().await, 3);
    assert_eq!(bench.log(), [Line { stream: "stdout".to_owned(), log: "hello from wasm\n".to_owned() }]);
}

async fn a_broken_module_is_refused(bench: Bench) {
    std::fs::write(bench.path("lower/app.wasm"), b"\0asm\x01\0\0\0garbage").unwrap();
    let shim = bench.start_shim(&bench.spec(&["/app.wasm"])).await;
    let (_, message) = code(shim.create(&bench.create_request()).await);
    assert!(message.starts_with("unable to start container process: `/app.wasm`"), "{message}");
}

async fn a_module_that_loops_can_be_killed(bench: Bench) {
    install(&bench, LOOP);
    let shim = bench.create(&bench.spec(&["/app.wasm"])).await;
    shim.start().await.unwrap();
    shim.kill(9).await.unwrap();
    assert_eq!(shim.wait().await.unwrap(), 137);
}
