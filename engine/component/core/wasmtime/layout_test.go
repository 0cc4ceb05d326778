// SPDX-License-Identifier: Apache-2.0

//go:build wasmtime

package wasmtime_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// measured are the structs, fields and constants that shim.h declares after the
// library's headers.
var measured = struct{ types, fields, constants []string }{
	types: []string{
		"wasm_byte_vec_t", "wasm_valtype_vec_t", "wasm_importtype_vec_t", "wasm_frame_vec_t",
		"wasmtime_func_t", "wasmtime_memory_t", "wasmtime_global_t", "wasmtime_instance_t", "wasmtime_extern_t",
		"wasmtime_val_raw_t", "wasmtime_linear_memory_t", "wasmtime_memory_creator_t",
	},
	fields: []string{
		"wasm_byte_vec_t,data", "wasm_valtype_vec_t,data", "wasm_importtype_vec_t,data", "wasm_frame_vec_t,data",
		"wasmtime_extern_t,kind", "wasmtime_extern_t,of", "wasmtime_val_raw_t,i32", "wasmtime_val_raw_t,i64",
		"wasmtime_linear_memory_t,env", "wasmtime_linear_memory_t,get_memory", "wasmtime_linear_memory_t,grow_memory",
		"wasmtime_linear_memory_t,finalizer", "wasmtime_memory_creator_t,new_memory", "wasmtime_memory_creator_t,finalizer",
	},
	constants: []string{
		"WASM_I32", "WASM_I64", "WASM_F32", "WASM_F64", "WASM_EXTERNREF", "WASM_FUNCREF",
		"WASMTIME_EXTERN_FUNC", "WASMTIME_EXTERN_MEMORY",
		"WASMTIME_TRAP_CODE_STACK_OVERFLOW", "WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS", "WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS",
		"WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL", "WASMTIME_TRAP_CODE_BAD_SIGNATURE", "WASMTIME_TRAP_CODE_INTEGER_OVERFLOW",
		"WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO", "WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER",
		"WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED",
	},
}

// TestLayout compares our declarations of the C library with its own: sizes,
// offsets and constants by a program made with either, functions by declaring them
// twice.
func TestLayout(t *testing.T) {
	ours, err := os.ReadFile("shim.h")
	if err != nil {
		t.Fatal(err)
	}
	const first, last = "wasm_config_t *wasm_config_new(void);", "// What we add."
	_, functions, found := strings.Cut(string(ours), first)
	functions, _, foundToo := strings.Cut(functions, last)
	if !found || !foundToo {
		t.Fatalf("shim.h: found no functions from %q to %q", first, last)
	}
	headers := filepath.Join(output(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/bytecodealliance/wasmtime-go/v39"), "build", "include")

	got := measure(t, `#include "shim.h"`, ".")
	want := measure(t, "#include <wasmtime.h>\n"+first+functions, headers)
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("shim.h differs from the library's headers (-library +shim.h):\n%s", diff)
	}
}

// measure compiles a program with some declarations and returns what it says.
func measure(t *testing.T, declarations, include string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n#include <stdio.h>\nint main(void) {\n", declarations)
	for _, name := range measured.types {
		fmt.Fprintf(&b, "printf(\"%s %%zu %%zu\\n\", sizeof(%s), _Alignof(%s));\n", name, name, name)
	}
	for _, name := range measured.fields {
		fmt.Fprintf(&b, "printf(\"%s %%zu\\n\", offsetof(%s));\n", name, name)
	}
	for _, name := range measured.constants {
		fmt.Fprintf(&b, "printf(\"%s %%d\\n\", (int)%s);\n", name, name)
	}
	b.WriteString("}\n")
	source := filepath.Join(t.TempDir(), "measure.c")
	if err := os.WriteFile(source, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	program := strings.TrimSuffix(source, ".c")
	args := append(strings.Fields(output(t, "go", "env", "CC")), "-std=gnu11", "-Werror", "-I", include, "-o", program, source)
	output(t, args[0], args[1:]...)
	return output(t, program)
}

// output runs a program and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}
