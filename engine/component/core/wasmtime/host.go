// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime && cgo && (linux || darwin)

package wasmtime

// #include <stddef.h>
// #include <stdint.h>
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"runtime/debug"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// graphdCallHost is where a guest's call of a host function comes in. It is on the
// goroutine that called the guest. A panic must not go on through the guest's
// frames: it is kept for when they are gone.
//
//export graphdCallHost
func graphdCallHost(handle C.uintptr_t, index C.uint32_t, stack *C.uint64_t, count C.size_t) (trapped bool) {
	s := cgo.Handle(handle).Value().(*store)
	f := s.hosts[index]
	returned := false
	defer func() {
		if returned {
			return
		}
		r := recover()
		if r == nil { // runtime.Goexit, which nobody can stop
			panic(fmt.Sprintf("wasmtime: host function %q ends its goroutine while a guest is on the stack", f.Name))
		}
		s.failure, trapped = hostTrap(f.Name, r), true
	}()
	f.Call(s.ctx, unsafe.Slice((*uint64)(stack), count))
	returned = true
	return false
}

// hostTrap is the trap by the host function of a name that panicked with v. It is
// the first of the backtrace, which the library begins with the guest's.
func hostTrap(name string, v any) *core.Trap {
	t := &core.Trap{Backtrace: []string{"graphd." + name}}
	err, ok := v.(error)
	if !ok {
		t.Reason = fmt.Sprint(v)
		return t
	}
	t.Reason, t.Cause = err.Error(), err
	if _, ok := v.(runtime.Error); ok { // a bug in a host function: keep the Go stack
		t.Cause = fmt.Errorf("%w\n%s", err, debug.Stack())
	}
	return t
}
