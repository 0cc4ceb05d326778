;; Two components plugged into each other: $upper turns text into upper case, and
;; the outer one exports shout(text) = upper(text) + "!", made by $shouter.
(component
  (component $upper
    (core module $m
      (memory (export "memory") 1)
      (global $top (mut i32) (i32.const 64))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get 3))))
      (func (export "upper") (param $p i32) (param $n i32) (result i32) (local $i i32) (local $c i32)
        (block $done (loop $next
          (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
          (local.set $c (i32.load8_u (i32.add (local.get $p) (local.get $i))))
          (if (i32.lt_u (i32.sub (local.get $c) (i32.const 97)) (i32.const 26))
            (then (i32.store8 (i32.add (local.get $p) (local.get $i)) (i32.sub (local.get $c) (i32.const 32)))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))
        (i32.store (i32.const 8) (local.get $p))
        (i32.store (i32.const 12) (local.get $n))
        (i32.const 8)))
    (core instance $i (instantiate $m))
    (func (export "upper") (param "text" string) (result string)
      (canon lift (core func $i "upper") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $shouter
    (import "upper" (func $upper (param "text" string) (result string)))
    (core module $mem
      (memory (export "memory") 1)
      (global $top (mut i32) (i32.const 64))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (local $p i32)
        (local.set $p (i32.and (i32.add (global.get $top) (i32.const 3)) (i32.const -4)))
        (global.set $top (i32.add (local.get $p) (local.get 3)))
        (local.get $p)))
    (core instance $mem (instantiate $mem))
    (core func $upper' (canon lower (func $upper) (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")) string-encoding=utf16))
    (core module $m
      (import "" "memory" (memory 1))
      (import "" "upper" (func $upper (param i32 i32 i32)))
      (func (export "shout") (param $p i32) (param $n i32) (result i32)
        (call $upper (local.get $p) (local.get $n) (i32.const 8))
        (i32.store16 (i32.add (i32.load (i32.const 8)) (i32.shl (i32.load (i32.const 12)) (i32.const 1))) (i32.const 33))
        (i32.store (i32.const 12) (i32.add (i32.load (i32.const 12)) (i32.const 1)))
        (i32.const 8)))
    (core instance $i (instantiate $m (with "" (instance
      (export "memory" (memory $mem "memory")) (export "upper" (func $upper'))))))
    (func (export "shout") (param "text" string) (result string)
      (canon lift (core func $i "shout") (memory (core memory $mem "memory")) (realloc (core func $mem "realloc")) string-encoding=utf16)))
  (instance $u (instantiate $upper))
  (instance $s (instantiate $shouter (with "upper" (func $u "upper"))))
  (export "shout" (func $s "shout")))
