;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse start.wat -o start.wasm
(module $starter
  (import "0" "call" (func $call (param i32) (result i32)))
  (global $result (export "result") (mut i32) (i32.const 0))
  (func $begin (global.set $result (call $call (i32.const 6))))
  (start $begin)
  (func (export "get") (result i32) (global.get $result)))
