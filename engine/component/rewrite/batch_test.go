// SPDX-License-Identifier: Apache-2.0

package rewrite_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
)

// allocatorModule exports "realloc", which gives out one piece of memory after
// another, from address 8, and "other", of another type.
const allocatorModule = "\x00asm\x01\x00\x00\x00" +
	"\x01\x10\x02\x60\x04\x7f\x7f\x7f\x7f\x01\x7f\x60\x04\x7f\x7f\x7f\x7f\x00" +
	"\x03\x03\x02\x00\x01\x05\x03\x01\x00\x01\x06\x06\x01\x7f\x01\x41\x08\x0b" +
	"\x07\x1c\x03\x06memory\x02\x00\x07realloc\x00\x00\x05other\x00\x01" +
	"\x0a\x2b\x02\x26\x01\x01\x7f" +
	"\x23\x00\x20\x02\x41\x01\x6b\x6a\x41\x00\x20\x02\x6b\x71\x21\x04" + // at = top, aligned to local 2
	"\x20\x04\x20\x03\x6a\x24\x00" + // top = at + local 3
	"\x20\x00\x20\x01\x72\x04\x40\x00\x0b" + // an old pointer or size traps
	"\x20\x04\x0b\x02\x00\x0b"

func TestBatch(t *testing.T) {
	m, err := rewrite.Decode([]byte(allocatorModule), rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	opts := options
	opts.Batch = []string{"realloc", "other", "memory", "nothing"}
	wasm, err := m.Rewrite(opts)
	if err != nil {
		t.Fatal(err)
	}
	i := instantiate(t, coretest.Open(t), wasm, &host{})
	for _, name := range opts.Batch[1:] {
		if i.Func(rewrite.BatchName(name)) != nil {
			t.Errorf("there is a batch function for %s", name)
		}
	}
	batch := i.Func(rewrite.BatchName("realloc"))
	if got := batch.Type(); !got.Equal(rewrite.BatchType()) {
		t.Fatalf("type is %v", got)
	}
	stack := make([]uint64, rewrite.BatchSize)
	stack[0], stack[1], stack[2], stack[4] = 1<<32|3, 8<<32|16, 4<<32, 1<<32|1<<31
	if err := batch.Call(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	want := make([]uint64, rewrite.BatchSize)
	want[0], want[1], want[2], want[4] = 8, 16, 32, 32
	for i := range stack {
		stack[i] = uint64(uint32(stack[i]))
	}
	if diff := cmp.Diff(want, stack); diff != "" {
		t.Errorf("pointers (-want +got):\n%s", diff)
	}
	one := []uint64{0, 0, 1, 1}
	if err := i.Func("realloc").Call(t.Context(), one); err != nil || uint32(one[0]) != 32+1<<31 {
		t.Errorf("after it realloc returns %#x, %v", uint32(one[0]), err)
	}
}

// A module that exports the name of a batch function itself keeps it.
func TestBatchNameTaken(t *testing.T) {
	name := rewrite.BatchName("f")
	m, err := rewrite.Decode(module(
		section(1, 1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f), section(3, 1, 0),
		section(7, append(append([]byte{2, byte(len(name))}, name...), 0, 0, 1, 'f', 0, 0)...),
		body(0, 0x41, 0, 0x0b)), rewrite.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	opts := options
	opts.Batch = []string{"f"}
	wasm, err := m.Rewrite(opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := instantiate(t, coretest.Open(t), wasm, &host{}).Func(name).Type(); len(got.Params) != 4 {
		t.Errorf("%s has type %v, want the module's own", name, got)
	}
}
