;; Core modules that throw and catch exceptions.

(component
  (core module $tags
    (tag (export "none"))
    (tag (export "number") (param i32))
    (tag (export "all") (param i32 i64 f32 f64)))
  (core instance $tags (instantiate $tags))
  (core module $thrower
    (import "tags" "none" (tag $none))
    (import "tags" "number" (tag $number (param i32)))
    (tag $own (param i32))
    (table (export "table") 2 funcref)
    (elem (i32.const 0) func $throw $quiet)
    (func $quiet (export "quiet") (param i32) (result i32) (local.get 0))
    (func $throw (export "throw") (param i32) (result i32)
      (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $none)))
      (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $own (i32.const 2))))
      (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
      (throw $number (local.get 0))))
  (core instance $thrower (instantiate $thrower (with "tags" (instance $tags))))
  ;; It knows nothing of exceptions, which pass through it.
  (core module $between
    (import "thrower" "throw" (func $throw (param i32) (result i32)))
    (global $passed (mut i32) (i32.const 0))
    (func (export "call") (param i32) (result i32)
      (call $throw (local.get 0))
      (global.set $passed (i32.add (global.get $passed) (i32.const 1))))
    (func (export "passed") (result i32) (global.get $passed)))
  (core instance $between (instantiate $between (with "thrower" (instance $thrower))))
  (core module $catcher
    (import "tags" "none" (tag $none))
    (import "tags" "number" (tag $number (param i32)))
    (import "tags" "all" (tag $all (param i32 i64 f32 f64)))
    (import "thrower" "throw" (func $throw (param i32) (result i32)))
    (import "thrower" "table" (table 2 funcref))
    (import "between" "call" (func $between (param i32) (result i32)))
    (type $call (func (param i32) (result i32)))

    ;; 100 is $none, 200 anything else that isn't $number.
    (func $try (export "try") (param i32) (result i32)
      (block $any
        (block $caught
          (block $number (result i32)
            (try_table (result i32) (catch $none $caught) (catch $number $number) (catch_all $any)
              (call $throw (local.get 0)))
            (return (i32.add (i32.const 1000))))
          (return))
        (return (i32.const 100)))
      (i32.const 200))
    (func (export "try-between") (param i32) (result i32)
      (block $h (try_table (catch_all $h) (return (call $between (local.get 0)))))
      (i32.const 7))
    (func (export "try-indirect") (param i32 i32) (result i32)
      (block $h (result i32)
        (try_table (catch $number $h) (return (call_indirect (type $call) (local.get 0) (local.get 1))))
        (unreachable)))
    ;; A tail call is not within the try_table any more.
    (func (export "try-tail") (param i32) (result i32)
      (block $h (try_table (catch_all $h) (return (call $tail (local.get 0)))))
      (i32.const 8))
    (func $tail (param i32) (result i32)
      (block $h (try_table (catch_all $h) (return_call $throw (local.get 0))))
      (i32.const 9))

    ;; A handler sees locals, globals and memory as they were when it was thrown.
    (func (export "locals") (result i32) (local $x i32)
      (block $h (try_table (catch_all $h)
        (local.set $x (i32.const 41))
        (drop (call $throw (i32.const 3)))
        (local.set $x (i32.const 0))))
      (i32.add (local.get $x) (i32.const 1)))
    ;; The payload, of all types, comes in order; what was on the stack is gone.
    (func (export "payload") (result f64)
      (local $i i32) (local $l i64) (local $f f32) (local $d f64)
      (f64.const 1000)
      (block $h (result i32 i64 f32 f64)
        (try_table (catch $all $h)
          (i32.const 99)
          (throw $all (i32.const -1) (i64.const -2) (f32.const 0.5) (f64.const 0.25)))
        (unreachable))
      (local.set $d) (local.set $f) (local.set $l) (local.set $i)
      (f64.add (f64.convert_i32_s (local.get $i)))
      (f64.add (f64.convert_i64_s (local.get $l)))
      (f64.add (f64.promote_f32 (local.get $f)))
      (f64.add (local.get $d)))
    ;; try_tables within each other, loops, parameters and results of try_tables.
    (func (export "nested") (param i32) (result i32)
      (block $outer (result i32)
        (try_table (catch $number $outer)
          (block $inner
            (try_table (catch $none $inner)
              (return (call $throw (local.get 0)))))
          ;; thrown in the handler, caught by the outer one
          (drop (call $throw (i32.const 55))))
        (i32.const 0)))
    (func (export "parameters") (param i32) (result i32)
      (block $lost
        (i32.const 10) (i32.const 20)
        (try_table (param i32 i32) (result i32 i32) (catch_all $lost)
          (i32.add (call $throw (local.get 0))))
        (return (i32.add)))
      (i32.const 3))
    (func (export "loop") (param $n i32) (result i32) (local $caught i32)
      (loop $again
        (block $h
          (try_table (catch_all $h)
            (drop (call $throw (i32.const 3)))))
        (local.set $caught (i32.add (local.get $caught) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $caught) (local.get $n))))
      (local.get $caught))
    ;; A catch clause may lead to a loop.
    (func (export "retry") (param $n i32) (result i32)
      (loop $again
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (try_table (catch_all $again)
          (if (i32.gt_s (local.get $n) (i32.const 0)) (then (throw $none)))))
      (local.get $n))
    ;; Branches out of a try_table, over it, and by a table.
    (func (export "branches") (param i32) (result i32)
      (block $two
        (block $one
          (try_table $t (catch_all $two)
            (block $in
              (try_table (catch $none $one)
                (br_table $in $t $one $two (local.get 0))))
            (return (i32.const 10)))
          (return (i32.const 20)))
        (return (i32.const 30)))
      (i32.const 40))
    ;; A sum over what is caught, in a loop with an innermost loop beside it.
    (func (export "sum") (param $n i32) (result i32) (local $sum i32) (local $i i32)
      (loop $next
        (local.set $i (i32.const 0))
        (loop $count
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $count (i32.lt_u (local.get $i) (i32.const 10))))
        (local.set $sum (i32.add (local.get $sum)
          (block $h (result i32) (try_table (catch $number $h) (throw $number (local.get $i))) (unreachable))))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $next (local.get $n)))
      (local.get $sum))
    ;; As deep as it goes, and back.
    (func $deep (param i32)
      (if (i32.eqz (local.get 0)) (then (throw $none)))
      (call $deep (i32.sub (local.get 0) (i32.const 1))))
    (func (export "deep") (param i32) (result i32)
      (block $h (try_table (catch $none $h) (call $deep (local.get 0))))
      (block $h (try_table (catch $none $h) (call $deep (local.get 0))))
      (i32.const 1))
    (func (export "uncaught") (param i32) (result i32) (call $throw (local.get 0))))
  (core instance $catcher (instantiate $catcher
    (with "tags" (instance $tags)) (with "thrower" (instance $thrower)) (with "between" (instance $between))))

  (func (export "try") (param "x" u32) (result u32) (canon lift (core func $catcher "try")))
  (func (export "try-between") (param "x" u32) (result u32) (canon lift (core func $catcher "try-between")))
  (func (export "passed") (result u32) (canon lift (core func $between "passed")))
  (func (export "try-indirect") (param "x" u32) (param "f" u32) (result u32) (canon lift (core func $catcher "try-indirect")))
  (func (export "try-tail") (param "x" u32) (result u32) (canon lift (core func $catcher "try-tail")))
  (func (export "locals") (result u32) (canon lift (core func $catcher "locals")))
  (func (export "payload") (result f64) (canon lift (core func $catcher "payload")))
  (func (export "nested") (param "x" u32) (result u32) (canon lift (core func $catcher "nested")))
  (func (export "parameters") (param "x" u32) (result u32) (canon lift (core func $catcher "parameters")))
  (func (export "loop") (param "n" u32) (result u32) (canon lift (core func $catcher "loop")))
  (func (export "retry") (param "n" u32) (result u32) (canon lift (core func $catcher "retry")))
  (func (export "branches") (param "x" u32) (result u32) (canon lift (core func $catcher "branches")))
  (func (export "sum") (param "n" u32) (result u32) (canon lift (core func $catcher "sum")))
  (func (export "deep") (param "n" u32) (result u32) (canon lift (core func $catcher "deep")))
  (func (export "uncaught") (param "x" u32) (result u32) (canon lift (core func $catcher "uncaught"))))

(assert_return (invoke "try" (u32.const 0)) (u32.const 1000))
(assert_return (invoke "try" (u32.const 1)) (u32.const 100))
(assert_return (invoke "try" (u32.const 2)) (u32.const 200))
(assert_return (invoke "try" (u32.const 3)) (u32.const 3))
(assert_return (invoke "try-between" (u32.const 0)) (u32.const 0))
(assert_return (invoke "try-between" (u32.const 3)) (u32.const 7))
(assert_return (invoke "passed") (u32.const 1))
(assert_return (invoke "try-indirect" (u32.const 3) (u32.const 0)) (u32.const 3))
(assert_return (invoke "try-indirect" (u32.const 3) (u32.const 1)) (u32.const 3))
(assert_return (invoke "try-tail" (u32.const 3)) (u32.const 8))
(assert_return (invoke "locals") (u32.const 42))
(assert_return (invoke "payload") (f64.const 997.75))
(assert_return (invoke "nested" (u32.const 0)) (u32.const 0))
(assert_return (invoke "nested" (u32.const 1)) (u32.const 55))
(assert_return (invoke "nested" (u32.const 4)) (u32.const 4))
(assert_return (invoke "parameters" (u32.const 0)) (u32.const 30))
(assert_return (invoke "parameters" (u32.const 1)) (u32.const 3))
(assert_return (invoke "loop" (u32.const 1000)) (u32.const 1000))
(assert_return (invoke "retry" (u32.const 10)) (u32.const 0))
(assert_return (invoke "branches" (u32.const 0)) (u32.const 10))
(assert_return (invoke "branches" (u32.const 1)) (u32.const 20))
(assert_return (invoke "branches" (u32.const 2)) (u32.const 30))
(assert_return (invoke "branches" (u32.const 3)) (u32.const 40))
(assert_return (invoke "sum" (u32.const 5)) (u32.const 50))
(assert_return (invoke "deep" (u32.const 1000)) (u32.const 1))
(assert_return (invoke "uncaught" (u32.const 0)) (u32.const 0))
(assert_trap (invoke "uncaught" (u32.const 3)) "uncaught exception")
(assert_trap (invoke "uncaught" (u32.const 0)) "poisoned")

;; An exception doesn't leave its component, not even for one that could catch it, and
;; not out of a start function.
(component
  (component $inner
    (core module $m (tag $t) (func (export "throw") (throw $t)))
    (core instance $m (instantiate $m))
    (func (export "throw") (canon lift (core func $m "throw"))))
  (instance $inner (instantiate $inner))
  (core func $throw (canon lower (func $inner "throw")))
  (core module $m
    (import "" "throw" (func $throw))
    (func (export "run") (block $h (try_table (catch_all $h) (call $throw)))))
  (core instance $m (instantiate $m (with "" (instance (export "throw" (func $throw))))))
  (func (export "run") (canon lift (core func $m "run"))))
(assert_trap (invoke "run") "uncaught exception")
(assert_trap
  (component
    (core module $m (tag $t) (start $s) (func $s (throw $t)))
    (core instance (instantiate $m)))
  "uncaught exception")

;; Traps are no exceptions.
(component
  (core module $m (func (export "run") (block $h (try_table (catch_all $h) (unreachable)))))
  (core instance $m (instantiate $m))
  (func (export "run") (canon lift (core func $m "run"))))
(assert_trap (invoke "run") "unreachable")

;; An exception out of realloc, post-return or a destructor is uncaught.
(component definition $aside
  (core module $m
    (tag $t)
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (throw $t))
    (func (export "post") (throw $t))
    (func (export "drop") (param i32) (throw $t))
    (func (export "take") (param i32 i32))
    (func (export "run")))
  (core instance $m (instantiate $m))
  (type $r (resource (rep i32) (dtor (core func $m "drop"))))
  (core func $new (canon resource.new $r))
  (core func $drop (canon resource.drop $r))
  (core module $n
    (import "" "new" (func $new (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "run") (block $h (try_table (catch_all $h) (call $drop (call $new (i32.const 1)))))))
  (core instance $n (instantiate $n (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (func (export "take") (param "s" string) (canon lift (core func $m "take") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
  (func (export "post") (canon lift (core func $m "run") (post-return (core func $m "post"))))
  (func (export "drop") (canon lift (core func $n "run"))))
(component instance $i $aside)
(assert_trap (invoke "take" (str.const "text")) "uncaught exception")
(component instance $i $aside)
(assert_trap (invoke "post") "uncaught exception")
(component instance $i $aside)
(assert_trap (invoke "drop") "uncaught exception")

;; Two instances of a module have tags of their own, one instance has one, whatever it
;; is called.
(component
  (core module $t (tag $t (export "a")) (export "b" (tag $t)))
  (core instance $one (instantiate $t))
  (core instance $two (instantiate $t))
  (core module $m
    (import "x" "a" (tag $x))
    (import "y" "b" (tag $y))
    (func (export "same") (result i32)
      (block $other (block $same (try_table (catch $y $same) (catch_all $other) (throw $x))) (return (i32.const 1)))
      (i32.const 0)))
  (core instance $same (instantiate $m (with "x" (instance $one)) (with "y" (instance $one))))
  (core instance $other (instantiate $m (with "x" (instance $one)) (with "y" (instance $two))))
  (func (export "same") (result bool) (canon lift (core func $same "same")))
  (func (export "other") (result bool) (canon lift (core func $other "same"))))
(assert_return (invoke "same") (bool.const true))
(assert_return (invoke "other") (bool.const false))

;; Tags in types.
(component
  (core type $t (module (import "a" "t" (tag (param i32))) (export "u" (tag)))))
(assert_invalid
  (component
    (core module $t (tag (export "t") (param i32)))
    (core instance $t (instantiate $t))
    (core module $m (import "t" "t" (tag)))
    (core instance (instantiate $m (with "t" (instance $t)))))
  "tag of another type")
(assert_invalid
  (component
    (core module $t (global (export "t") (mut i32) (i32.const 0)))
    (core instance $t (instantiate $t))
    (core module $m (import "t" "t" (tag)))
    (core instance (instantiate $m (with "t" (instance $t)))))
  "a global")
