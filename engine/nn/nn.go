// SPDX-License-Identifier: Apache-2.0

// Package nn is the contract for running neural networks. A Backend loads a model; a
// Model computes tensors from tensors. The words, and the kinds of errors, are those
// of WASI's interface wasi:nn (WebAssembly/wasi-nn, wit/wasi-nn.wit), which package
// wasinn offers to guests.
//
// Models are foreign bytes: a backend bounds what it allocates and how long it works
// before it does either, and whatever a model or a tensor holds ends in an *Error.
//
// Backends are in folders of their own: purego runs anywhere, onnxruntime is fast and
// needs a C library. Package nntest has the tests that all of them pass.
package nn

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Encoding is how a model is written down. The values are those of wasi:nn's
// graph-encoding.
type Encoding uint8

// The encodings.
const (
	OpenVINO Encoding = iota
	ONNX
	TensorFlow
	PyTorch
	TensorFlowLite
	GGML
	Autodetect // the backend finds out
)

func (e Encoding) String() string {
	return name(int(e), "openvino", "onnx", "tensorflow", "pytorch", "tensorflowlite", "ggml", "autodetect")
}

// Target is what a model runs on. The values are those of wasi:nn's
// execution-target.
type Target uint8

// The targets.
const (
	CPU Target = iota
	GPU
	TPU
)

func (t Target) String() string { return name(int(t), "cpu", "gpu", "tpu") }

// Type is the type of a tensor's elements. The values are those of wasi:nn's
// tensor-type.
type Type uint8

// The types of elements.
const (
	FP16 Type = iota
	FP32
	FP64
	BF16
	U8
	I32
	I64
)

func (t Type) String() string {
	return name(int(t), "fp16", "fp32", "fp64", "bf16", "u8", "i32", "i64")
}

// Size returns the bytes of one element, 0 for an unknown type.
func (t Type) Size() int {
	switch t {
	case U8:
		return 1
	case FP16, BF16:
		return 2
	case FP32, I32:
		return 4
	case FP64, I64:
		return 8
	}
	return 0
}

func name(n int, names ...string) string {
	if n < len(names) {
		return names[n]
	}
	return fmt.Sprintf("unknown(%d)", n)
}

// MaxRank is how many dimensions a tensor may have.
const MaxRank = 8

// Tensor is an array of numbers in row-major order, little-endian. Whoever holds a
// Tensor may read it; nobody writes to it once it is passed on.
type Tensor struct {
	Type Type
	Dims []uint32 // none for a single number
	Data []byte
}

// Check returns an error, InvalidArgument, unless Data is as long as Type and Dims
// demand.
func (t *Tensor) Check() error {
	size := t.Type.Size()
	if size == 0 {
		return Errorf(InvalidArgument, "tensor of %s", t.Type)
	}
	if len(t.Dims) > MaxRank {
		return Errorf(InvalidArgument, "tensor of %d dimensions; %d are the most", len(t.Dims), MaxRank)
	}
	bytes := uint64(size)
	for _, d := range t.Dims {
		high, low := bits.Mul64(bytes, uint64(d))
		if bytes = low; high != 0 {
			return Errorf(InvalidArgument, "tensor of %s: more bytes than there are numbers for", Shape(t.Dims))
		}
	}
	if uint64(len(t.Data)) != bytes {
		return Errorf(InvalidArgument, "tensor of %s %s has %d bytes of data, want %d", t.Type, Shape(t.Dims), len(t.Data), bytes)
	}
	return nil
}

// Shape returns dimensions as text, as in [1 3 224 224].
func Shape[D uint32 | int64 | int](dims []D) string { return fmt.Sprint(dims) }

// Named is a tensor with the name that a model has for it.
type Named struct {
	Name   string
	Tensor *Tensor
}

// Port is an input or an output of a model.
type Port struct {
	Name string
	Type Type
	Dims []int64 // -1 for a dimension that the model leaves open
}

func (p Port) String() string {
	dims := make([]string, len(p.Dims))
	for i, d := range p.Dims {
		if dims[i] = "?"; d >= 0 {
			dims[i] = fmt.Sprint(d)
		}
	}
	return fmt.Sprintf("%s: %s [%s]", p.Name, p.Type, strings.Join(dims, " "))
}

// Backend loads models. It is safe for concurrent use.
type Backend interface {
	// Load returns the model that parts hold; most encodings have one part. The parts
	// belong to the caller, who may overwrite them afterwards. All that can be known to
	// be wrong with a model is found now and not when it computes first: an operator,
	// a type or an attribute that the backend does not have is an UnsupportedOperation
	// that names it and its node.
	//
	// Errors are *Error. Once ctx is done, Load returns a Timeout soon.
	Load(ctx context.Context, parts [][]byte, encoding Encoding, target Target) (Model, error)
}

// Model computes. It is immutable and safe for concurrent use.
type Model interface {
	// Inputs and Outputs are what the model takes and returns, in its own order.
	// The caller must not change them.
	Inputs() []Port
	Outputs() []Port

	// Compute returns the outputs for inputs, all of them, in the order of Outputs. Each
	// of Inputs must be there once, of its type and dimensions; nothing else may be.
	// Equal inputs give equal outputs. The outputs are the caller's.
	//
	// Errors are *Error: InvalidArgument where the inputs are wrong, TooLarge where they
	// ask for more than the backend allows. Once ctx is done, Compute returns a Timeout
	// soon.
	Compute(ctx context.Context, inputs []Named) ([]Named, error)

	// Close frees what the model holds. It is called once, while nothing computes.
	Close() error
}

// Bind returns inputs in the order of ports, after checking that they are what the
// ports want. It is for backends.
func Bind(ports []Port, inputs []Named) ([]*Tensor, error) {
	bound := make([]*Tensor, len(ports))
	for _, in := range inputs {
		i := slices.IndexFunc(ports, func(p Port) bool { return p.Name == in.Name })
		switch {
		case i < 0:
			return nil, Errorf(InvalidArgument, "the model has no input %q; it has %s", in.Name, list(ports))
		case bound[i] != nil:
			return nil, Errorf(InvalidArgument, "input %q is given twice", in.Name)
		case in.Tensor == nil:
			return nil, Errorf(InvalidArgument, "input %q has no tensor", in.Name)
		}
		if err := in.Tensor.Check(); err != nil {
			return nil, Errorf(InvalidArgument, "input %q: %v", in.Name, err)
		}
		if !ports[i].takes(in.Tensor) {
			return nil, Errorf(InvalidArgument, "input %q is %s %s, and the model takes %s", in.Name, in.Tensor.Type, Shape(in.Tensor.Dims), ports[i])
		}
		bound[i] = in.Tensor
	}
	for i, p := range ports {
		if bound[i] == nil {
			return nil, Errorf(InvalidArgument, "input %q is missing; the model takes %s", p.Name, list(ports))
		}
	}
	return bound, nil
}

func (p Port) takes(t *Tensor) bool {
	return p.Type == t.Type && len(p.Dims) == len(t.Dims) && fits(p.Dims, t.Dims)
}

func fits(want []int64, have []uint32) bool {
	for i, d := range want {
		if d >= 0 && d != int64(have[i]) {
			return false
		}
	}
	return true
}

func list(ports []Port) string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}
