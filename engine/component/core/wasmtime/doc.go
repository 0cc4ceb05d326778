// SPDX-License-Identifier: Apache-2.0

// Package wasmtime runs core modules on Wasmtime, with its optimizing compiler.
//
// It is there only in builds with cgo and the build tag wasmtime, on Linux and
// macOS (amd64, arm64); without the tag it is empty. The C library comes with the
// module github.com/bytecodealliance/wasmtime-go, of which nothing else is used:
// its Go wrapper converts and allocates for every value of every call. The layer
// here is a few C functions (shim.c) over the library's unchecked calls. A call is
// one crossing from Go to C, and a host function one back; parameters, results and
// memory are touched in place.
//
// # Code
//
// With a cache, compiled code is kept as the library serializes it, under the digest of
// its module and the version of the library, and loaded the next time.
//
// # Stores
//
// A core.Store is a Wasmtime store: everything in it lives until the store is
// closed. Nothing is freed by a finalizer, so a store that is not closed leaks,
// until its Engine is closed.
//
// # Threads and stacks
//
// A guest runs on the stack of the operating system's thread that its caller's
// goroutine happens to be on, and the thread is busy until the guest returns; the
// scheduler runs other goroutines on others, and the garbage collector doesn't
// wait, so that nothing needs a guest to yield. A host function runs on the caller's goroutine, locked to that thread, and
// may call back into the store. It may panic, which the engine turns into a trap,
// but must not end its goroutine (runtime.Goexit, testing.T.FailNow): that would
// leave the guest's frames behind, so it ends the process.
//
// A guest, with everything that it reaches through host functions in the same
// store, has 1 MiB of stack. Threads need more than that; with glibc they have as
// much as "ulimit -s" says.
//
// Traps arrive as signals (SIGSEGV, SIGILL, SIGFPE). The library's handlers pass
// those that are not a guest's to Go's.
package wasmtime
