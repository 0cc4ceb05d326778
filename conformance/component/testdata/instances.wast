;; Instantiation, subtyping, aliases and exports.

(assert_invalid (component (instance (instantiate 0))) "no component")
(assert_invalid (component (component $c (import "f" (func))) (instance (instantiate $c))) "missing")
(assert_invalid (component (import "f" (func $f)) (component $c) (instance (instantiate $c (with "a" (func $f)) (with "a" (func $f))))) "twice")
(component definition (import "f" (func $f)) (component $c) (instance (instantiate $c (with "unused" (func $f)))))
(assert_invalid
  (component (import "f" (func $f (param "a" u8))) (component $c (import "f" (func))) (instance (instantiate $c (with "f" (func $f)))))
  "parameters")
(assert_invalid
  (component (import "f" (func $f (param "a" u8))) (component $c (import "f" (func (param "b" u8)))) (instance (instantiate $c (with "f" (func $f)))))
  "names of parameters")
(assert_invalid
  (component (import "f" (func $f (result u8))) (component $c (import "f" (func (result u16)))) (instance (instantiate $c (with "f" (func $f)))))
  "result")
(assert_invalid
  (component (import "f" (func $f async)) (component $c (import "f" (func))) (instance (instantiate $c (with "f" (func $f)))))
  "async")
(assert_invalid
  (component (import "f" (func $f)) (component $c (import "f" (instance))) (instance (instantiate $c (with "f" (func $f)))))
  "sort")
(component definition
  (import "i" (instance $i (export "f" (func)) (export "g" (func))))
  (component $c (import "i" (instance (export "g" (func)))))
  (instance (instantiate $c (with "i" (instance $i)))))
(assert_invalid
  (component
    (import "i" (instance $i (export "f" (func))))
    (component $c (import "i" (instance (export "g" (func)))))
    (instance (instantiate $c (with "i" (instance $i)))))
  "export is missing")
(assert_invalid
  (component
    (import "i" (instance $i (export "f" (func))))
    (component $c (import "i" (instance (export "f" (func (result u8))))))
    (instance (instantiate $c (with "i" (instance $i)))))
  "export's type")
(assert_invalid
  (component
    (type $t (record (field "a" u8)))
    (component $c (type $t (record (field "b" u8))) (import "t" (type (eq $t))))
    (instance (instantiate $c (with "t" (type $t)))))
  "type")

;; An instance that is imported through a type has no more than the type says.
(assert_invalid
  (component
    (component $c
      (import "i" (instance $i (export "f" (func))))
      (alias export $i "g" (func))))
  "no such export")

;; Components as arguments: less to import, more to export.
(component definition
  (component $c (component $d (import "a" (func $f)) (export "b" (func $f)) (export "c" (func $f))) (export "d" (component $d)))
  (component $e (import "d" (component (import "a" (func)) (import "z" (func)) (export "b" (func)))))
  (instance $i (instantiate $c))
  (instance (instantiate $e (with "d" (component $i "d")))))
(assert_invalid
  (component
    (component $d (import "a" (func $f)) (export "b" (func $f)))
    (component $e (import "d" (component (export "b" (func)))))
    (instance (instantiate $e (with "d" (component $d)))))
  "imports more than is given")
(assert_invalid
  (component
    (component $d)
    (component $e (import "d" (component (export "b" (func)))))
    (instance (instantiate $e (with "d" (component $d)))))
  "exports too little")
(component definition
  (component $d
    (import "r" (type $r (sub resource)))
    (import "f" (func $f (result (own $r))))
    (export "g" (func $f)))
  (component $e
    (import "d" (component
      (import "r" (type $r (sub resource)))
      (import "f" (func (result (own $r))))
      (export "g" (func (result (own $r)))))))
  (instance (instantiate $e (with "d" (component $d)))))

;; Core modules as arguments.
(component definition
  (core module $m (import "a" "f" (func)) (func (export "g") (result i32) unreachable) (memory (export "m") 2))
  (component $c (import "m" (core module (import "a" "f" (func)) (import "a" "h" (func)) (export "m" (memory 1)))))
  (instance (instantiate $c (with "m" (core module $m)))))
(assert_invalid
  (component
    (core module $m (import "a" "f" (func)))
    (component $c (import "m" (core module)))
    (instance (instantiate $c (with "m" (core module $m)))))
  "imports more than is given")
(assert_invalid
  (component
    (core module $m (memory (export "m") 1))
    (component $c (import "m" (core module (export "m" (memory 2)))))
    (instance (instantiate $c (with "m" (core module $m)))))
  "memory too small")
(assert_invalid
  (component
    (core module $m (global (export "g") i32 (i32.const 0)))
    (component $c (import "m" (core module (export "g" (global (mut i32))))))
    (instance (instantiate $c (with "m" (core module $m)))))
  "mutability")
(assert_invalid
  (component
    (core module $m (table (export "t") 1 funcref))
    (component $c (import "m" (core module (export "t" (table 1 externref)))))
    (instance (instantiate $c (with "m" (core module $m)))))
  "elements")
(assert_invalid (component (core type (module (import "a" "b" (func)) (import "a" "b" (func))))) "imported twice")
(assert_invalid (component (core type (module (export "a" (func)) (export "a" (memory 1))))) "exported twice")
(assert_invalid (component (core type (module (export "a" (memory 2 1))))) "limits")
(assert_invalid (component (core type (module (export "a" (memory 65537))))) "limits")

;; Core instances.
(assert_invalid (component (core instance (instantiate 0))) "no core module")
(assert_invalid (component (core module $m (import "a" "f" (func))) (core instance (instantiate $m))) "missing")
(assert_invalid (component (core module $m (import "a" "f" (func))) (core instance $e) (core instance (instantiate $m (with "a" (instance $e))))) "no export")
(assert_invalid
  (component
    (core module $m (import "a" "f" (func)))
    (core module $n (func (export "f") (param i32)))
    (core instance $n (instantiate $n))
    (core instance (instantiate $m (with "a" (instance $n)))))
  "type of a core function")
(assert_invalid
  (component
    (core module $m (import "a" "m" (memory 2)))
    (core module $n (memory (export "m") 1))
    (core instance $n (instantiate $n))
    (core instance (instantiate $m (with "a" (instance $n)))))
  "memory too small")
(assert_invalid
  (component
    (core module $m (import "a" "m" (memory 1 2)))
    (core module $n (memory (export "m") 1))
    (core instance $n (instantiate $n))
    (core instance (instantiate $m (with "a" (instance $n)))))
  "memory without maximum")
(assert_invalid
  (component
    (core module $m (import "a" "f" (func)) (import "a" "f" (func)))
    (core module $n (func (export "f")))
    (core instance $n (instantiate $n))
    (core instance (instantiate $m (with "a" (instance $n)))))
  "imported twice")
(assert_invalid (component (core module $m) (core instance $i (instantiate $m)) (core instance (instantiate $m (with "a" (instance $i)) (with "a" (instance $i))))) "twice")
(assert_invalid
  (component
    (core module $m (func (export "f")))
    (core instance $i (instantiate $m))
    (core instance (export "a" (func $i "f")) (export "a" (func $i "f"))))
  "exported twice")
(assert_invalid (component (core instance (export "a" (func 0)))) "no core function")

;; Aliases.
(assert_invalid (component (alias export 0 "a" (func))) "no instance")
(assert_invalid (component (import "i" (instance $i (export "f" (func)))) (alias export $i "g" (func))) "no export")
(assert_invalid (component (import "i" (instance $i (export "f" (func)))) (alias export $i "f" (instance))) "sort")
(assert_invalid (component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (alias core export $i "g" (core func))) "no export")
(assert_invalid (component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (alias core export $i "f" (core memory))) "sort")
(assert_invalid (component (type (component (alias outer 7 0 (type))))) "too far out")
(assert_invalid (component (component (alias outer 1 0 (type)))) "no type")
(assert_invalid (component (component (alias outer 1 0 (component)))) "no component")
(assert_invalid (component (core module $m) (type (component (alias outer 1 $m (core module))))) "only types")
(assert_invalid
  (component (type (component (import "i" (instance $i (export "f" (func)))) (alias export $i "f" (func)))))
  "only types and instances")

;; Exports.
(assert_invalid (component (export "f" (func 0))) "no function")
(assert_invalid (component (import "f" (func $f)) (export "f" (func $f) (func (param "x" u8)))) "ascribed type")
(assert_invalid (component (import "i" (instance $i)) (export "i" (instance $i) (instance (export "f" (func))))) "ascribed type")
(component definition (import "i" (instance $i (export "f" (func)) (export "g" (func)))) (export "i" (instance $i) (instance (export "g" (func)))))
(assert_invalid
  (component
    (import "i" (instance $i (export "f" (func)) (export "g" (func))))
    (export $j "i" (instance $i) (instance (export "g" (func))))
    (alias export $j "f" (func)))
  "not seen through the ascribed type")

;; The code of core modules that nothing instantiates.
(assert_invalid (component (core module (func (result i32)))) "no result")
