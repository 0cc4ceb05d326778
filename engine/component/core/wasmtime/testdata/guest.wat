;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse guest.wat -o guest.wasm
(module $guest
  (import "0" "call" (func $call (param i32) (result i32)))
  (memory (export "memory") 16)
  (table (export "table") 4 funcref)
  (func (export "call") (param i32) (result i32) (call $call (local.get 0)))
  (func (export "nothing"))
  (func (export "touch") (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x100000)))
  (func (export "reference") (result funcref) (table.get 0 (i32.const 0)))
  (func (export "vector") (result v128) (v128.const i64x2 1 2))
  (func (export "get") (param i32) (table.set 0 (i32.const 9) (ref.null func))))
