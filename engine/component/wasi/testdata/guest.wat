;; SPDX-License-Identifier: Apache-2.0
;;
;; Calls WASI as a compiled guest would. Built by
;;
;;     wasm-tools parse guest.wat -o guest.wasm
(module
  (import "wasi:cli/exit@0.2.12" "exit-with-code" (func $exit (param i32)))
  (import "wasi:cli/stdin@0.2.12" "get-stdin" (func $stdin (result i32)))
  (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
  (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $after (param i64) (result i32)))
  (import "wasi:io/poll@0.2.12" "poll" (func $poll (param i32 i32 i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-splice" (func $splice (param i32 i32 i64 i32)))
  (import "wasi:io/streams@0.2.12" "[resource-drop]input-stream" (func $drop_input (param i32)))
  (import "wasi:io/streams@0.2.12" "[resource-drop]output-stream" (func $drop_output (param i32)))

  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))

  (func (export "exit") (param $code i32) (call $exit (local.get $code)))

  ;; Waits, and returns how many pollables are ready: 1, if all is well.
  (func (export "sleep") (param $duration i64) (result i32)
    (i32.store (i32.const 0) (call $after (local.get $duration)))
    (call $poll (i32.const 0) (i32.const 1) (i32.const 8))
    (call $drop_pollable (i32.load (i32.const 0)))
    (i32.load (i32.const 12)))

  ;; Copies standard input to standard output, and returns how many bytes.
  (func (export "copy") (result i64)
    (local $in i32) (local $out i32) (local $sum i64)
    (local.set $in (call $stdin))
    (local.set $out (call $stdout))
    (loop $again
      (call $splice (local.get $out) (local.get $in) (i64.const -1) (i32.const 16))
      (if (i32.eqz (i32.load8_u (i32.const 16)))
        (then
          (local.set $sum (i64.add (local.get $sum) (i64.load (i32.const 24))))
          (br $again))))
    (call $drop_input (local.get $in))
    (call $drop_output (local.get $out))
    (local.get $sum)))
