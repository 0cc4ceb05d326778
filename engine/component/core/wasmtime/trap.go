// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime && cgo && (linux || darwin)

package wasmtime

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unsafe"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// outcome turns how a call ended into an error, nil if it ended well. A trap is a
// *core.Trap.
func (s *store) outcome(out C.graphd_outcome) error {
	if out.trap == nil && out.error == nil {
		return nil
	}
	t := s.failure
	s.failure = nil
	var frames C.wasm_frame_vec_t
	if out.trap != nil {
		defer C.wasm_trap_delete(out.trap)
		C.wasm_trap_trace(out.trap, &frames)
		if t == nil {
			t = guestTrap(out.trap)
		}
	} else {
		if t == nil {
			return takeError(out.error)
		}
		defer C.wasmtime_error_delete(out.error)
		C.wasmtime_error_wasm_trace(out.error, &frames)
	}
	t.Backtrace = append(t.Backtrace, backtrace(&frames)...)
	return t
}

// guestTrap is a trap by the guest itself.
func guestTrap(trap *C.wasm_trap_t) *core.Trap {
	var code C.uint8_t
	if !C.wasmtime_trap_code(trap, &code) {
		var message C.wasm_byte_vec_t
		C.wasm_trap_message(trap, &message)
		defer C.wasm_byte_vec_delete(&message)
		return &core.Trap{Reason: strings.TrimRight(text(&message), "\x00")}
	}
	switch code {
	case C.WASMTIME_TRAP_CODE_STACK_OVERFLOW:
		return &core.Trap{Reason: core.ErrExhausted.Error(), Cause: core.ErrExhausted}
	case C.WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
		return &core.Trap{Reason: "out of bounds memory access"}
	case C.WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS: // one code for call_indirect and for the rest
		return &core.Trap{Reason: "undefined element: out of bounds table access"}
	case C.WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL:
		return &core.Trap{Reason: "uninitialized element"}
	case C.WASMTIME_TRAP_CODE_BAD_SIGNATURE:
		return &core.Trap{Reason: "indirect call type mismatch"}
	case C.WASMTIME_TRAP_CODE_INTEGER_OVERFLOW:
		return &core.Trap{Reason: "integer overflow"}
	case C.WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO:
		return &core.Trap{Reason: "integer divide by zero"}
	case C.WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER:
		return &core.Trap{Reason: "invalid conversion to integer"}
	case C.WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
		return &core.Trap{Reason: "unreachable"}
	}
	return &core.Trap{Reason: fmt.Sprintf("wasmtime trap code %d", code)} // of features that are off
}

// maxFrames is how many functions a backtrace has at most, the innermost ones: a call
// stack that is exhausted has thousands.
const maxFrames = 64

// backtrace returns the functions' names, "module.function", or "function" where
// the module has no name, and frees the frames.
func backtrace(frames *C.wasm_frame_vec_t) []string {
	defer C.wasm_frame_vec_delete(frames)
	var names []string
	for _, f := range unsafe.Slice(frames.data, min(frames.size, maxFrames)) {
		var name string
		if n := C.wasmtime_frame_func_name(f); n != nil {
			name = text(n)
		} else {
			name = fmt.Sprintf("$%d", C.wasm_frame_func_index(f))
		}
		if n := C.wasmtime_frame_module_name(f); n != nil {
			name = text(n) + "." + name
		}
		names = append(names, name)
	}
	return names
}

// takeError returns the error, in one line, and frees it.
func takeError(err *C.wasmtime_error_t) error {
	defer C.wasmtime_error_delete(err)
	var message C.wasm_byte_vec_t
	C.wasmtime_error_message(err, &message)
	defer C.wasm_byte_vec_delete(&message)
	return errors.New(oneLine(text(&message)))
}

// numbering is what the library puts before each of several causes.
var numbering = regexp.MustCompile(`^[0-9]+: `)

// oneLine puts an error and its causes, each a paragraph in the library's way, into
// one line. The library's own stack, which it adds when RUST_BACKTRACE is set, says
// nothing about the guest.
func oneLine(message string) string {
	message, _, _ = strings.Cut(message, "\n\nStack backtrace:")
	head, causes, _ := strings.Cut(message, "\n\nCaused by:")
	parts := []string{strings.Join(strings.Fields(head), " ")}
	for line := range strings.Lines(causes) {
		if line = numbering.ReplaceAllString(strings.TrimSpace(line), ""); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, ": ")
}
