;; A whole Wasm program for WASI preview 1: it writes one line to stdout and ends.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "Hello from the light hull (Wasm)\n")
  (func (export "_start")
    ;; One buffer, described at address 0: where it begins and how long it is. The count written goes to address 8.
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 33))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
