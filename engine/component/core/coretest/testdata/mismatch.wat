;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse mismatch.wat -o mismatch.wasm
(module (import "1" "add" (func (param i64 i32) (result i32))))
