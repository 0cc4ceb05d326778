;; SPDX-License-Identifier: Apache-2.0
;; wasm-tools parse data.wat -o data.wasm
(module $data
  (memory (export "memory") 3)
  (data (i32.const 10) "at the front")
  (data (i32.const 131072) "two pages on"))
