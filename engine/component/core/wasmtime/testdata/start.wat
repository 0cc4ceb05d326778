;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse start.wat -o start.wasm
(module $start
  (import "0" "call" (func $call (param i32) (result i32)))
  (memory (export "memory") 2)
  (func $begin (drop (call $call (i32.const 7))))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (start $begin))
