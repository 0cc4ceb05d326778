;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse host.wat -o host.wasm
(module $guest
  (import "0" "call" (func $call (param i32) (result i32)))
  (import "0" "swap" (func $swap (param i32 i64 f64) (result f64 i64 i32 i32)))
  (memory (export "memory") 1)
  (func $inner (export "call") (param i32) (result i32) (call $call (local.get 0)))
  (func $outer (export "outer") (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 1000)))
  (func (export "swap") (param i32 i64 f64) (result f64 i64 i32 i32)
    (call $swap (local.get 0) (local.get 1) (local.get 2)))
  (export "host" (func $call)))
