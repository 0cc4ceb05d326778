;; Where flattening ends: 16 core parameters, and one core result.

(component
  ;; Sixteen parameters travel one by one,
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 256))
    (func (export "sixteen") (param i32 i32 i32 i64 i32 i32 i32 i64 f32 f64 i32 i32 i32 i32 i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 15)))
    ;; seventeen in memory,
    (func (export "seventeen") (param i32) (result i32)
      (i32.add (i32.load8_u (local.get 0)) (i32.load8_u offset=16 (local.get 0))))
    ;; one result is returned, a tuple of one is one, and two lie in memory.
    (func (export "one") (result i32) (i32.const 7))
    (func (export "two") (result i32)
      (i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 65) (i32.const 2)) (i32.const 64))
    ;; An option has two core values: its case and what is in it.
    (func (export "option") (result i32)
      (i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 65) (i32.const 9)) (i32.const 64))
    ;; What u64 and f32 share is an i64.
    (func (export "shared") (param i32 i64) (result i64)
      (if (result i64) (i32.eq (local.get 0) (i32.const 1))
        (then (i64.extend_i32_u (i32.trunc_f32_u (f32.reinterpret_i32 (i32.wrap_i64 (local.get 1))))))
        (else (local.get 1)))))
  (core instance $i (instantiate $m))
  (func (export "sixteen")
    (param "a" u8) (param "b" u16) (param "c" u32) (param "d" u64) (param "e" s8) (param "f" s16) (param "g" s32) (param "h" s64)
    (param "i" f32) (param "j" f64) (param "k" bool) (param "l" char) (param "m" u8) (param "n" u8) (param "o" u8) (param "p" u8)
    (result u32) (canon lift (core func $i "sixteen")))
  (func (export "seventeen")
    (param "a" u8) (param "b" u8) (param "c" u8) (param "d" u8) (param "e" u8) (param "f" u8) (param "g" u8) (param "h" u8)
    (param "i" u8) (param "j" u8) (param "k" u8) (param "l" u8) (param "m" u8) (param "n" u8) (param "o" u8) (param "p" u8)
    (param "q" u8) (result u32)
    (canon lift (core func $i "seventeen") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "one") (result u8) (canon lift (core func $i "one")))
  (func (export "one-of-one") (result (tuple u8)) (canon lift (core func $i "one")))
  (func (export "two") (result (tuple u8 u8)) (canon lift (core func $i "two") (memory (core memory $i "memory"))))
  (func (export "option") (result (option u8)) (canon lift (core func $i "option") (memory (core memory $i "memory"))))
  (func (export "shared") (param "x" (result u64 (error f32))) (result u64) (canon lift (core func $i "shared"))))
(assert_return (invoke "sixteen" (u8.const 1) (u16.const 2) (u32.const 3) (u64.const 4) (s8.const 5) (s16.const 6) (s32.const 7) (s64.const 8)
  (f32.const 9) (f64.const 10) (bool.const true) (char.const "l") (u8.const 13) (u8.const 14) (u8.const 15) (u8.const 16)) (u32.const 17))
(assert_return (invoke "seventeen" (u8.const 1) (u8.const 2) (u8.const 3) (u8.const 4) (u8.const 5) (u8.const 6) (u8.const 7) (u8.const 8) (u8.const 9) (u8.const 10) (u8.const 11) (u8.const 12) (u8.const 13) (u8.const 14) (u8.const 15) (u8.const 16) (u8.const 17)) (u32.const 18))
(assert_return (invoke "one") (u8.const 7))
(assert_return (invoke "one-of-one") (tuple.const (u8.const 7)))
(assert_return (invoke "two") (tuple.const (u8.const 1) (u8.const 2)))
(assert_return (invoke "option") (option.some (u8.const 9)))
(assert_return (invoke "shared" (result.ok (u64.const 0x123456789))) (u64.const 0x123456789))
(assert_return (invoke "shared" (result.err (f32.const 42))) (u64.const 42))

;; What a lift needs on either side of the borders.
(component definition
  (core module $m (func (export "f") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (core instance $i (instantiate $m))
  (func (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (canon lift (core func $i "f"))))
(assert_invalid
  (component
    (core module $m (func (export "f") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (core instance $i (instantiate $m))
    (func (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (param "p16" u8) (canon lift (core func $i "f"))))
  "memory")
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "f") (param i32)))
    (core instance $i (instantiate $m))
    (func (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (param "p16" u8) (canon lift (core func $i "f") (memory (core memory $i "m")))))
  "realloc")
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable) (func (export "f") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (core instance $i (instantiate $m))
    (func (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (param "p16" u8) (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "r")))))
  "core type")
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable) (func (export "f") (param i32)))
    (core instance $i (instantiate $m))
    (func (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "r")))))
  "core type")
(assert_invalid
  (component
    (core module $m (func (export "f") (result i32 i32) unreachable))
    (core instance $i (instantiate $m))
    (func (result (tuple u8 u8)) (canon lift (core func $i "f"))))
  "memory")
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "f") (result i32 i32) unreachable))
    (core instance $i (instantiate $m))
    (func (result (tuple u8 u8)) (canon lift (core func $i "f") (memory (core memory $i "m")))))
  "core type")

;; What a lower needs: memory for what is not flat, and no realloc for numbers.
(component definition
  (import "f" (func $f (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (result u8)))
  (core func (canon lower (func $f))))
(assert_invalid (component (import "f" (func $f (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (param "p16" u8))) (core func (canon lower (func $f)))) "memory")
(component definition
  (import "f" (func $f (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (param "p16" u8) (result (tuple u8 u8))))
  (core module $m (memory (export "m") 1))
  (core instance $i (instantiate $m))
  (core func $f' (canon lower (func $f) (memory (core memory $i "m"))))
  (core module $n (import "" "f" (func (param i32 i32))))
  (core instance (instantiate $n (with "" (instance (export "f" (func $f')))))))
(assert_invalid
  (component
    (import "f" (func $f (param "p0" u8) (param "p1" u8) (param "p2" u8) (param "p3" u8) (param "p4" u8) (param "p5" u8) (param "p6" u8) (param "p7" u8) (param "p8" u8) (param "p9" u8) (param "p10" u8) (param "p11" u8) (param "p12" u8) (param "p13" u8) (param "p14" u8) (param "p15" u8) (param "p16" u8)))
    (core module $m (memory (export "m") 1))
    (core instance $i (instantiate $m))
    (core func $f' (canon lower (func $f) (memory (core memory $i "m"))))
    (core module $n (import "" "f" (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32))))
    (core instance (instantiate $n (with "" (instance (export "f" (func $f')))))))
  "core type")

;; What resource built-ins are called with, and post-return: the core results.
(component definition
  (core module $m (memory (export "m") 1) (func (export "f") (result i32) unreachable) (func (export "p") (param i32)))
  (core instance $i (instantiate $m))
  (func (result (tuple u8 u8)) (canon lift (core func $i "f") (memory (core memory $i "m")) (post-return (core func $i "p")))))
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "f") (result i32) unreachable) (func (export "p") (param i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func (result (tuple u8 u8)) (canon lift (core func $i "f") (memory (core memory $i "m")) (post-return (core func $i "p")))))
  "type of post-return")
(assert_invalid
  (component
    (core module $m (func (export "f") (result f32) unreachable) (func (export "p") (param i32)))
    (core instance $i (instantiate $m))
    (func (result f32) (canon lift (core func $i "f") (post-return (core func $i "p")))))
  "type of post-return")
(assert_invalid
  (component
    (core module $m (import "" "new" (func (param i64) (result i32))))
    (type $r (resource (rep i32)))
    (core func $new (canon resource.new $r))
    (core instance (instantiate $m (with "" (instance (export "new" (func $new)))))))
  "core type")
