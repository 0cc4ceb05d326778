// SPDX-License-Identifier: Apache-2.0

//go:build !wasip1

package abi

import (
	"errors"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
)

func TestModels(t *testing.T) {
	m := NewMemory(1 << 16)
	errFault := errors.New("refused")
	fault := func(handle uint32) error {
		if handle != 9 {
			t.Errorf("error %d, want 9", handle)
		}
		return errFault
	}
	if handle, err := (&handleResult{handle: 5}).model(fault); handle != 5 || err != nil {
		t.Errorf("a model is %d, %v", handle, err)
	}
	if _, err := (&handleResult{tag: 1, handle: 9}).model(fault); err != errFault {
		t.Errorf("a refused model: %v", err)
	}

	tensors := map[uint32]sdk.Tensor{}
	_, lowered := m.borrowInputs([]sdk.NamedTensor{{Name: "a", Tensor: sdk.Floats([]float32{1}, 1)}, {Name: "b"}}, func(in *sdk.Tensor) uint32 {
		handle := uint32(len(tensors)) + 20
		tensors[handle] = *in
		return handle
	})
	// What goes in comes out again, as if it were computed.
	results, l := newElements[namedTensor](m, len(lowered))
	copy(results, lowered)
	take := func(handle uint32) sdk.Tensor { return tensors[handle] }
	out, err := m.outputs(&computeResult{list: l}, take, fault)
	if err != nil || len(out) != 2 || out[0].Name != "a" || out[1].Name != "b" {
		t.Fatalf("outputs are %v, %v", out, err)
	}
	if values, err := out[0].Floats(); err != nil || len(values) != 1 || values[0] != 1 {
		t.Errorf("a is %v, %v", values, err)
	}
	if _, err := out[1].Floats(); err == nil {
		t.Error("b, which is of 16-bit floats, was read as others")
	}
	if _, err := m.outputs(&computeResult{tag: 1, list: list{address: 9}}, take, fault); err != errFault {
		t.Errorf("a refused computation: %v", err)
	}
}
