;; SPDX-License-Identifier: Apache-2.0
;; Passes the same three megabytes of memory as every string of a list: to its caller,
;; and to the host.
(component
  (import "take" (func $take (param "l" (list string))))
  (core module $memory (memory (export "memory") 64))
  (core instance $memory (instantiate $memory))
  (core func $take (canon lower (func $take) (memory (core memory $memory "memory"))))
  (core module $m
    (import "memory" "memory" (memory 64))
    (import "host" "take" (func $take (param i32 i32)))
    (func $fill (param $n i32)
      (local $at i32)
      (i32.store (i32.const 0) (i32.const 8))
      (i32.store (i32.const 4) (local.get $n))
      (local.set $at (i32.const 8))
      (loop $next
        (i32.store (local.get $at) (i32.const 0x80000))
        (i32.store offset=4 (local.get $at) (i32.const 0x300000))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "get") (param $n i32) (result i32)
      (call $fill (local.get $n))
      (i32.const 0))
    (func (export "give") (param $n i32) (param $times i32)
      (call $fill (local.get $n))
      (loop $again
        (call $take (i32.const 8) (local.get $n))
        (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))
  (core instance $m (instantiate $m
    (with "memory" (instance $memory))
    (with "host" (instance (export "take" (func $take))))))
  (func (export "get") (param "n" u32) (result (list string))
    (canon lift (core func $m "get") (memory (core memory $memory "memory"))))
  (func (export "give") (param "n" u32) (param "times" u32)
    (canon lift (core func $m "give"))))
