;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse traps.wat -o traps.wasm
(module $traps
  (memory 1)
  (table 2 funcref)
  (elem (offset (i32.const 0)) func $deeper)
  (func $crash (unreachable))
  (func $deeper (call $crash))
  (func (export "unreachable") (call $deeper))
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "truncate") (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "mismatch") (call_indirect (param i32) (i32.const 1) (i32.const 0)))
  (func $recurse (export "recurse") (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
  (func (export "seven") (result i32) (i32.const 7)))
