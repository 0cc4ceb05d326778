;; The core module of a map operator whose init accepts only if schema registry and
;; command invoker answer that they are not there: with the errors that their WIT
;; has for it. Made into unavailable.wasm by wasm-tools parse.
(module
  (import "wasm-graph:processor/schema-registry@1.1.0" "get"
    (func $get (param i32 i32 i32 i32 i64 i32 i32)))
  (import "wasm-graph:processor/command-invoker@1.1.0" "[constructor]command-invoker-options-builder"
    (func $builder (result i32)))
  (import "wasm-graph:processor/command-invoker@1.1.0" "[method]command-invoker-options-builder.command-name"
    (func $name (param i32 i32 i32 i32)))
  (import "wasm-graph:processor/command-invoker@1.1.0" "[method]command-invoker-options-builder.build"
    (func $build (param i32 i32)))
  (import "wasm-graph:processor/command-invoker@1.1.0" "new-invoker"
    (func $invoker (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "text")
  (global $top (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (local.get 3))))
  ;; case returns the case of the error at $at, or -1 where there is none.
  (func $case (param $at i32) (result i32)
    (if (result i32) (i32.eq (i32.load8_u (local.get $at)) (i32.const 1))
      (then (i32.load8_u (i32.add (local.get $at) (i32.const 4))))
      (else (i32.const -1))))
  (func (export "wasm-graph:processor/map@1.1.0#init") (param i32 i32 i32 i32) (result i32)
    (call $get (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4) (i64.const 1) (i32.const 0) (i32.const 128))
    (if (i32.ne (call $case (i32.const 128)) (i32.const 4)) (then (return (i32.const 0)))) ;; not-available
    (call $name (call $builder) (i32.const 16) (i32.const 4) (i32.const 256))
    (if (i32.load8_u (i32.const 256)) (then (return (i32.const 0))))
    (call $build (i32.load (i32.const 260)) (i32.const 256))
    (if (i32.load8_u (i32.const 256)) (then (return (i32.const 0))))
    (call $invoker (i32.load (i32.const 260)) (i32.const 256))
    (i32.eq (call $case (i32.const 256)) (i32.const 3))) ;; client-error
  (func (export "wasm-graph:processor/map@1.1.0#process") (param i32) (result i32) unreachable))
