;; Canonical definitions: their options and core types.

(assert_invalid (component (func (canon lift (core func 0)))) "no core function")
(assert_invalid (component (type $t u8) (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (func (type $t) (canon lift (core func $i "f")))) "no function type")
(assert_invalid (component (core func (canon lower (func 0)))) "no function")
(assert_invalid
  (component (core module $m (func (export "f") (param i32))) (core instance $i (instantiate $m)) (func (canon lift (core func $i "f"))))
  "core parameters")
(assert_invalid
  (component (core module $m (func (export "f") (result i32) unreachable)) (core instance $i (instantiate $m)) (func (result u64) (canon lift (core func $i "f"))))
  "core result")
(component definition
  (core module $m (func (export "f") (param i32 i64 f32 f64 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (param "a" bool) (param "b" s64) (param "c" f32) (param "d" f64) (param "e" char) (result u8) (canon lift (core func $i "f"))))
;; Cases share core values: f32 and u64 travel as i64.
(component definition
  (core module $m (func (export "f") (param i32 i64)))
  (core instance $i (instantiate $m))
  (type $v (variant (case "a" f32) (case "b" u64)))
  (export $w "v" (type $v))
  (func (param "v" $w) (canon lift (core func $i "f"))))

;; Lifting: parameters with pointers, or too many, need realloc; results memory.
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "f") (param i32 i32)))
    (core instance $i (instantiate $m))
    (func (param "s" string) (canon lift (core func $i "f") (memory (core memory $i "m")))))
  "realloc")
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "f") (param i32)))
    (core instance $i (instantiate $m))
    (type $t (tuple u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32))
    (func (param "t" $t) (canon lift (core func $i "f") (memory (core memory $i "m")))))
  "realloc")
(assert_invalid
  (component
    (core module $m (func (export "f") (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func (result string) (canon lift (core func $i "f"))))
  "memory")
(assert_invalid
  (component
    (core module $m (func (export "f") (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func (result (tuple u8 u8)) (canon lift (core func $i "f"))))
  "memory")
(component definition
  (core module $m (memory (export "m") 1) (func (export "f") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (result string) (canon lift (core func $i "f") (memory (core memory $i "m")))))

;; Lowering: parameters with pointers need memory; results with pointers realloc.
(assert_invalid (component (import "f" (func $f (param "s" string))) (core func (canon lower (func $f)))) "memory")
(assert_invalid
  (component
    (import "f" (func $f (result string)))
    (core module $m (memory (export "m") 1))
    (core instance $i (instantiate $m))
    (core func (canon lower (func $f) (memory (core memory $i "m")))))
  "realloc")
(assert_invalid (component (import "f" (func $f (result (tuple u8 u8)))) (core func (canon lower (func $f)))) "memory")
(component definition
  (import "f" (func $f (param "s" string)))
  (core module $m (memory (export "m") 1))
  (core instance $i (instantiate $m))
  (core func (canon lower (func $f) (memory (core memory $i "m")))))

;; Options.
(assert_invalid (component (import "f" (func $f)) (core func (canon lower (func $f) string-encoding=utf8 string-encoding=utf8))) "twice")
(assert_invalid (component (import "f" (func $f)) (core func (canon lower (func $f) string-encoding=utf8 string-encoding=utf16))) "twice")
(assert_invalid (component (import "f" (func $f)) (core func (canon lower (func $f) (memory (core memory 0))))) "no memory")
(assert_invalid
  (component
    (import "f" (func $f))
    (core module $m (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (core func (canon lower (func $f) (realloc (core func $i "r")))))
  "realloc without memory")
(assert_invalid
  (component
    (import "f" (func $f))
    (core module $m (memory (export "m") 1) (func (export "r") (param i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (core func (canon lower (func $f) (memory (core memory $i "m")) (realloc (core func $i "r")))))
  "type of realloc")
(assert_invalid
  (component
    (import "f" (func $f))
    (core module $m (func (export "p")))
    (core instance $i (instantiate $m))
    (core func (canon lower (func $f) (post-return (core func $i "p")))))
  "post-return of a lower")
(assert_invalid
  (component
    (core module $m (func (export "f") (result i32) unreachable) (func (export "p")))
    (core instance $i (instantiate $m))
    (func (result u32) (canon lift (core func $i "f") (post-return (core func $i "p")))))
  "type of post-return")
(assert_invalid
  (component
    (core module $m (memory (export "m") 1) (func (export "f")))
    (core instance $i (instantiate $m))
    (func (canon lift (core func $i "f") (memory (core memory $i "m")) (memory (core memory $i "m")))))
  "memory twice")

;; Asynchronous functions.
(assert_invalid (component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (func (canon lift (core func $i "f") async))) "function is not async")
(assert_invalid (component (import "f" (func $f)) (core func (canon lower (func $f) async))) "function is not async")
(assert_invalid
  (component
    (core module $m (func (export "f")) (func (export "p")))
    (core instance $i (instantiate $m))
    (func async (canon lift (core func $i "f") async (post-return (core func $i "p")))))
  "post-return and async")
(assert_invalid
  (component
    (core module $m (func (export "f")) (func (export "c") (param i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func async (canon lift (core func $i "f") (callback (core func $i "c")))))
  "callback without async")
(assert_invalid
  (component
    (core module $m (func (export "f") (result i32) unreachable) (func (export "c")))
    (core instance $i (instantiate $m))
    (func async (canon lift (core func $i "f") async (callback (core func $i "c")))))
  "type of callback")
(assert_invalid (component (type $t (stream u8)) (core func (canon future.new $t))) "no future")
(assert_invalid (component (type $t u8) (core func (canon stream.new $t))) "no stream")
(assert_invalid (component (type $t (stream u8)) (core func (canon stream.read $t))) "memory")
(assert_invalid (component (type (stream char))) "stream of char")
(assert_invalid (component (import "r" (type $r (sub resource))) (type (future (borrow $r)))) "borrow")
(assert_invalid (component (core func (canon context.get i32 2))) "slot")
(assert_invalid (component (core func (canon context.set f32 0))) "type")
(assert_invalid (component (import "r" (type $r (sub resource))) (core func (canon task.return (result (borrow $r))))) "borrow")
(assert_invalid (component (core func (canon task.return (result string)))) "memory")
(assert_invalid (component (core func (canon waitable-set.wait (memory (core memory 0))))) "no memory")
(assert_invalid (component (core func (canon error-context.new))) "memory")
