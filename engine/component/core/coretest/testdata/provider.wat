;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse provider.wat -o provider.wasm
(module $provider
  (memory (export "memory") 1 8)
  (table (export "table") 4 4 funcref)
  (global (export "global") (mut i32) (i32.const 10))
  (global (export "constant") i32 (i32.const 5))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "global.get") (result i32) (global.get 0))
  (func (export "call") (param i32 i32) (result i32) (call_indirect (param i32) (result i32) (local.get 1) (local.get 0)))
  (func (export "floats") (param f32 f64) (result f64 f32) (local.get 1) (local.get 0))
  (func (export "many") (param i32 i64) (result i64 i32 i64)
    (i64.add (local.get 1) (i64.const 1)) (local.get 0) (i64.const -1))
  (func (export "sink") (param i32 i32 i32))
  (func (export "_start") (global.set 0 (i32.const -1)))
  (func (export "_initialize") (global.set 0 (i32.const -1))))
