// SPDX-License-Identifier: Apache-2.0

package abi

import "github.com/wasm-graph/graphd/operators/sdk"

// model returns the handle in r; fault takes over an error.
func (r *handleResult) model(fault func(handle uint32) error) (uint32, error) {
	if r.tag != resultOK {
		return 0, fault(r.handle)
	}
	return r.handle, nil
}

// borrowInputs lowers the inputs of a computation; create makes each tensor.
func (m *Memory) borrowInputs(inputs []sdk.NamedTensor, create func(*sdk.Tensor) uint32) (names [][]byte, lowered []namedTensor) {
	for i := range inputs {
		name, l := m.borrowText(inputs[i].Name)
		names = append(names, name)
		lowered = append(lowered, namedTensor{l, create(&inputs[i].Tensor)})
	}
	return names, lowered
}

// outputs lifts what a computation returned; take reads a tensor and gives it back,
// fault takes over an error.
func (m *Memory) outputs(r *computeResult, take func(handle uint32) sdk.Tensor, fault func(handle uint32) error) ([]sdk.NamedTensor, error) {
	if r.tag != resultOK {
		return nil, fault(r.address)
	}
	var outputs []sdk.NamedTensor
	for _, v := range elements[namedTensor](m, r.list) {
		outputs = append(outputs, sdk.NamedTensor{Name: m.text(v.name), Tensor: take(v.tensor)})
	}
	return outputs, nil
}
