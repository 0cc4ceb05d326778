;; The identity of resource types, and where they are abstract.

(component definition
  (type $r (resource (rep i32)))
  (export $s "r" (type $r))
  (core func (canon resource.new $r))
  (core func (canon resource.rep $s))
  (core func (canon resource.drop $s)))
(assert_invalid (component (import "r" (type $r (sub resource))) (core func (canon resource.new $r))) "imported")
(assert_invalid (component (import "r" (type $r (sub resource))) (core func (canon resource.rep $r))) "imported")
(component definition (import "r" (type $r (sub resource))) (core func (canon resource.drop $r)))
(assert_invalid (component (type $t u8) (core func (canon resource.drop $t))) "no resource")
(assert_invalid (component (core func (canon resource.drop 0))) "no type")

;; Destructors.
(component definition
  (core module $m (func (export "d") (param i32)))
  (core instance $i (instantiate $m))
  (type (resource (rep i32) (dtor (core func $i "d")))))
(assert_invalid
  (component
    (core module $m (func (export "d")))
    (core instance $i (instantiate $m))
    (type (resource (rep i32) (dtor (core func $i "d")))))
  "destructor's type")
(assert_invalid (component (type (resource (rep i32) (dtor (core func 0))))) "no core function")

;; A resource of another instance is another one.
(assert_invalid
  (component
    (component $c (type $r' (resource (rep i32))) (export "r" (type $r')))
    (instance $a (instantiate $c))
    (instance $b (instantiate $c))
    (alias export $a "r" (type $ra))
    (component $d
      (import "a" (type $a (sub resource)))
      (import "b" (type $b (sub resource)))
      (import "same" (type (eq $a))))
    (alias export $b "r" (type $rb))
    (instance (instantiate $d (with "a" (type $ra)) (with "b" (type $rb)) (with "same" (type $rb)))))
  "two instances, two resources")
(component definition
  (component $c (type $r' (resource (rep i32))) (export "r" (type $r')))
  (instance $a (instantiate $c))
  (alias export $a "r" (type $ra))
  (alias export $a "r" (type $rb))
  (component $d (import "a" (type $a (sub resource))) (import "same" (type (eq $a))))
  (instance (instantiate $d (with "a" (type $ra)) (with "same" (type $rb)))))
(assert_invalid
  (component
    (component $c (type $r' (resource (rep i32))) (export "r" (type $r')))
    (instance $a (instantiate $c))
    (alias export $a "r" (type $r))
    (core func (canon resource.rep $r)))
  "a nested component's resource is abstract")
(assert_invalid
  (component
    (import "i" (instance $i (export "r" (type (sub resource)))))
    (import "j" (instance $j (export "r" (type (sub resource)))))
    (alias export $i "r" (type $r))
    (alias export $j "r" (type $s))
    (component $c (import "r" (type $r (sub resource))) (import "f" (func (param "x" (own $r)))))
    (import "f" (func $f (param "x" (own $s))))
    (instance (instantiate $c (with "r" (type $r)) (with "f" (func $f)))))
  "function of another resource")
(component definition
  (import "i" (instance $i (export "r" (type (sub resource)))))
  (alias export $i "r" (type $r))
  (component $c (import "r" (type $r (sub resource))) (import "f" (func (param "x" (own $r)))))
  (import "f" (func $f (param "x" (own $r))))
  (instance (instantiate $c (with "r" (type $r)) (with "f" (func $f)))))

;; What a component exports must not mention what it does not export.
(assert_invalid
  (component
    (type $r (resource (rep i32)))
    (core module $m (func (export "f") (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func (export "f") (result (own $r)) (canon lift (core func $i "f"))))
  "resource is not exported")
(assert_invalid
  (component
    (type $r (resource (rep i32)))
    (export $s "r" (type $r))
    (core module $m (func (export "f") (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func (export "f") (result (own $r)) (canon lift (core func $i "f"))))
  "not by the name it is exported by")
(component definition
  (type $r (resource (rep i32)))
  (export $s "r" (type $r))
  (core module $m (func (export "f") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (export "f") (result (own $s)) (canon lift (core func $i "f"))))

;; An exported resource may be made abstract.
(assert_invalid
  (component
    (type $r (resource (rep i32)))
    (export $s "r" (type $r) (type (sub resource)))
    (core func (canon resource.rep $s)))
  "abstract from then on")
(assert_invalid (component (type $r u8) (export "r" (type $r) (type (sub resource)))) "no resource")

;; A component can't use the resources around it.
(assert_invalid
  (component
    (type $r (resource (rep i32)))
    (component (alias outer 1 $r (type $s))))
  "resource from outside")
(assert_invalid
  (component
    (import "r" (type $r (sub resource)))
    (type $l (list (own $r)))
    (component (alias outer 1 $l (type $s))))
  "resource from outside, in a type")
(component definition
  (import "r" (type $r (sub resource)))
  (type (component (alias outer 1 $r (type $s)) (import "f" (func (param "x" u8))))))
