// SPDX-License-Identifier: Apache-2.0

// Package component runs WebAssembly components from Go, without cgo.
//
// A component is a program in a sandbox, with a typed interface. It may be written in
// Rust, C, Go, JavaScript or Python; it says in WIT, an interface language, which
// functions it exports and which it needs, over strings, lists, records, variants and
// resources; and it can do nothing but compute and call what it is given. That makes it
// a plugin that needs no trust:
//
//	engine, err := wazero.New(ctx, wazero.Config{})
//	runtime, err := component.New(component.Config{Engine: engine})
//	c, err := runtime.Compile(ctx, "greeter", wasm)
//	i, err := c.Instantiate(ctx, component.InstanceConfig{Deadline: 100 * time.Millisecond})
//	greeting, err := i.Func("", "greet").Call(ctx, value.String("gopher"))
//
// The examples show the rest: host functions, resources, limits, the cache.
//
// # Model
//
// There are three phases, and a type for each:
//
//   - A [Runtime] compiles, in the background if it is told to. It holds a core engine and
//     the limits of what it takes, and lives as long as the process.
//   - A [Component] is compiled: decoded, checked, linked into a plan; its core modules
//     rewritten so that they can be stopped, and translated to native code; the type of
//     every function compiled into a plan of how its values cross. It is immutable, and
//     shared by all its instances.
//   - An [Instance] runs. It has memory, handles and limits of its own, serves one call
//     at a time, and is thrown away after a trap. Making one is cheap.
//
// A [Pool] is for a component that many goroutines call: it lends instances, replaces
// those that trapped, and makes new ones ahead of time where each is for one use.
//
// Words: a core module is a WebAssembly module of the older kind, without interface
// types, of which a component has one or several. The guest is what runs in an
// instance, the host is who calls it. A function belongs to an interface, by name and
// version ("wasi:io/streams@0.2.0"), or to the component itself, which is interface "".
// A resource is a type of things that cross as handles only: the guest's own (to the
// host, an object to hand back), or the host's (any Go value; the guest never sees it).
// To lower a value is to put it into a guest's memory, to lift it is to get it out.
//
// Values cross in one of two ways. [Func.Call] takes and returns dynamic values, of
// package value, of any type. [Func.Invoke] takes a [Codec], which is written for one
// function and moves its values without an intermediate form. Neither allocates more than
// the result, and [Func.CallIn] not even that: its result lives in a value.Arena.
//
// What a component imports comes as [Interface] values, a set for each instance, since
// they hold the state behind it. Package wasi has those of WASI 0.2, with clocks,
// randomness and output, and directories where they are granted. What is imported and
// not given traps when it is called; so a component with many imports, of which it
// needs few, can be run with those few.
//
// # Safety
//
// Whatever a guest does ends in a value or in an error of type *[Trap], which names the
// component, the function and the cause, and the guest's own functions on the way where
// their names are known. The process goes on, whether it was an endless loop, a
// recursion without end, a gigabyte to be filled, a pointer out of bounds, text that
// isn't UTF-8, or a handle that is used after it was dropped. A guest is stopped at its
// [InstanceConfig.Deadline], when its context ends, or when it has used up its
// [InstanceConfig.Fuel], which is the same on any machine. While it computes, the
// garbage collector can stop it, too: on bare engines a loop in a guest holds up the
// whole process. What is compiled may come from anybody: code that would take
// unreasonably long to compile is refused.
//
// An instance that trapped is poisoned, since its memory may be in any state: close it
// and make another one.
//
// # Costs
//
// On one core of a cloud machine (AMD EPYC, 2026), with wazero and all limits on. The
// benchmarks, each beside its baseline, are in conformance/bench.
//
//	compile, once                 5.4 s for a JavaScript engine of 12 MB, 0.7 s for 2.5 MB of Go, little for C
//	link, with Config.Lazy        a twentieth of that: types are known, the rest goes on meanwhile
//	compile, from the cache       90 ms, 20 ms, 1 ms: of what is large, half of what the engine's own cache takes
//	instance                      7 ms (JavaScript), 4 ms (Go), 0.1 ms (C), with its start
//	instance, lent by a Pool      0.1 µs; 10 µs (C) to 0.3 ms (Go) for a fresh one that was made ahead
//	call of a core function       20 ns, the least that a call can take
//	call with a message of 256 B  1.1 µs with a Codec, 1.4 µs with dynamic values in an arena, 2 µs with
//	                              those that are kept; 1.1 µs by hand and unchecked
//	call of a host function       0.1 µs more than the engine's own
//	limits                        guests compute up to 1.4 times as long; many loops as long as without
//	memory                        native code, five times the size of a component, once; and for each
//	                              instance what it has touched of its memory
//
// # What it doesn't do
//
// It knows nothing of what components are for; the packages below it are usable by
// themselves. encode makes a component of a core module, as a compiler leaves it; wit
// reads and prints WIT; binary, validate and link are the stages of Compile, and
// rewrite is what makes core modules stoppable; core is the seam to engines:
// core/wazero, pure Go, is the default, core/wasmtime is there in builds with cgo and
// the tag wasmtime.
//
// The rules are those of WebAssembly/component-model, design/mvp: Explainer.md,
// Binary.md, CanonicalABI.md. Of the asynchronous parts, those work that need no
// scheduler: an async function that returns without waiting can be called. Values of
// stream and future types can't be passed, and a built-in that would wait, or that
// serves waiting, traps with its name. Core modules may use WebAssembly 2.0, tail
// calls, extended constant expressions, several memories, and exceptions without
// references to them. There are no threads.
package component
