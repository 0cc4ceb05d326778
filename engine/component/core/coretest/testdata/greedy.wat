;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse greedy.wat -o greedy.wasm
(module
  (memory (export "memory") 3)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1))))
