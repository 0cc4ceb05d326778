;; Keeps a number in its memory: add(n) adds to it, and returns the sum. fail() traps.
(component
  (core module $m
    (memory 1)
    (func (export "add") (param $n i32) (result i32)
      (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get $n)))
      (i32.load (i32.const 8)))
    (func (export "fail") unreachable))
  (core instance $i (instantiate $m))
  (func (export "add") (param "n" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "fail") (canon lift (core func $i "fail"))))
