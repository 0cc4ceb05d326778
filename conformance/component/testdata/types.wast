;; Value types, function types, and what may be exported.

(assert_invalid (component (type (record))) "empty")
(assert_invalid (component (type (variant))) "empty")
(assert_invalid (component (type (tuple))) "empty")
(assert_invalid (component (type (flags))) "empty")
(assert_invalid (component (type (enum))) "empty")
(assert_invalid (component (type (record (field "a" u8) (field "A" u8)))) "case")
(assert_invalid (component (type (variant (case "a-b") (case "ab")))) "hyphen")
(assert_invalid (component (type (enum "x" "X"))) "case")
(assert_invalid (component (type (flags "x" "x"))) "twice")
(assert_invalid (component (type (record (field "a_b" u8)))) "syntax")
(assert_invalid (component (type (func (param "a" u8) (param "A" u8)))) "case")
(assert_invalid (component (type (func (param "1" u8)))) "syntax")
(assert_invalid (component (type (list 0))) "a type made of itself")
(assert_invalid (component (type $f (func)) (type (list $f))) "no value type")
(assert_invalid (component (type $f (func)) (type (own $f))) "no resource")
(assert_invalid (component (type $f u32) (type (borrow $f))) "no resource")
(assert_invalid (component (type $r (resource (rep i32))) (type (list $r))) "a resource is no value type")
(assert_invalid (component (type (instance (type (resource (rep i32)))))) "resource in a type")
(assert_invalid (component (type (component (type (resource (rep i32)))))) "resource in a type")
(assert_invalid (component (core type (func)) (import "f" (func (type 0)))) "type index out of bounds")
(assert_invalid (component (type $t u8) (import "f" (func (type $t)))) "no function type")
(assert_invalid (component (type $t u8) (import "f" (instance (type $t)))) "no instance type")
(assert_invalid (component (type $t u8) (type (component (import "f" (component (type $t)))))) "no component type")
(assert_invalid (component (core type (func)) (type (component (import "f" (core module (type 0)))))) "no module type")

;; Borrows are for parameters.
(component definition (import "r" (type $r (sub resource))) (import "f" (func (param "x" (list (borrow $r))))))
(assert_invalid (component (import "r" (type $r (sub resource))) (type (func (result (borrow $r))))) "borrow in a result")
(assert_invalid (component (import "r" (type $r (sub resource))) (type (func (result (list (option (borrow $r))))))) "borrow in a result")

;; Maps.
(component definition (type (map string u32)) (type (map char (list u8))) (type $k u8) (type (map $k u8)))
(assert_invalid (component (type (map f32 u32))) "key")
(assert_invalid (component (type $k (list u8)) (type (map $k u32))) "key")
(assert_invalid (component (import "r" (type $r (sub resource))) (type (map u8 (own $r)))) "handle")

;; Types must have names before functions of the same component may use them.
(assert_invalid (component (type $t (record (field "a" u8))) (export $u "t" (type $t)) (import "f" (func (param "x" $u)))) "an export's name in an import")
(assert_invalid (component (type $t (record (field "a" u8))) (import "f" (func (param "x" $t)))) "unnamed record")
(assert_invalid (component (type $t (variant (case "a"))) (import "f" (func (param "x" (list $t))))) "unnamed variant in a list")
(assert_invalid (component (type $t (enum "a")) (import "f" (func (result $t)))) "unnamed enum")
(assert_invalid (component (type $t (flags "a")) (import "i" (instance (export "f" (func (param "x" u8)))))  (import "f" (func (result $t)))) "unnamed flags")
(component definition (import "f" (func (param "x" (tuple u8 (option string))) (result (result u8)))))
(assert_invalid
  (component
    (type $t (record (field "a" u8)))
    (import "t" (type $u (eq $t)))
    (import "f" (func (param "x" $t))))
  "the name that was not imported")
(component definition
  (type $t (record (field "a" u8)))
  (import "t" (type $u (eq $t)))
  (import "f" (func (param "x" $u))))
(assert_invalid
  (component
    (type $a (record (field "a" u8)))
    (type $b (record (field "b" $a)))
    (import "b" (type (eq $b))))
  "a part of the type is unnamed")
(assert_invalid
  (component
    (type $a (record (field "a" u8)))
    (export $b "b" (type $a))
    (import "c" (type (eq $b))))
  "an import of a type that has its name from an export")
(assert_invalid
  (component
    (type $a (record (field "a" u8)))
    (import "i" (instance (export "f" (func (param "x" u8)))))
    (import "j" (instance
      (alias outer 1 $a (type $b))
      (export "f" (func (param "x" $b))))))
  "unnamed in an instance")
(component definition
  (import "i" (instance $i (type $u u8) (export "t" (type (eq $u))) (export "r" (type (sub resource)))))
  (alias export $i "r" (type $r))
  (import "f" (func (param "x" (borrow $r)))))

;; Types that grow without bound.
(assert_invalid
  (component
    (type $a (tuple u8 u8 u8 u8 u8 u8 u8 u8)) (type $b (tuple $a $a $a $a $a $a $a $a)) (type $c (tuple $b $b $b $b $b $b $b $b))
    (type $d (tuple $c $c $c $c $c $c $c $c)) (type $e (tuple $d $d $d $d $d $d $d $d)) (type $f (tuple $e $e $e $e $e $e $e $e))
    (type $g (tuple $f $f $f $f $f $f $f $f)) (type $h (tuple $g $g $g $g $g $g $g $g)))
  "too large")
(assert_invalid
  (component
    (type $a (list u8 1024)) (type $b (list $a 1024)) (type $c (list $b 1024)))
  "too large in memory")
(assert_invalid
  (component
    (type $a (instance (export "1" (func))))
    (type $b (instance (export "a" (instance (type $a))) (export "b" (instance (type $a))))))
  "syntax")
