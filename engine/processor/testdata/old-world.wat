;; What an operator for the world before wasm-graph:processor exports, as far as
;; its name goes. Made into old-world.wasm by wasm-tools parse.
(component
  (core module $m (func (export "init") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func $init (result bool) (canon lift (core func $i "init")))
  (instance $map (export "init" (func $init)))
  (export "tinykube-graph:processor/map@1.0.0" (instance $map)))
