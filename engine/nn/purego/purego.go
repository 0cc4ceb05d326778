// SPDX-License-Identifier: Apache-2.0

// Package purego runs ONNX models in Go, on any machine and without a C library. It
// has the operators of convolutional networks for images, such as MobileNet,
// SqueezeNet and ResNet, and those that exporters put around them; [Operators] lists
// them. Numbers are float32; integers are there for shapes, indices and images. The
// opsets 7 to 22 of ONNX are understood.
//
// Work is done in three steps, so that nothing is left to find out when the first
// image comes:
//
//   - Loading (program.go) decodes the model, finds the operator of each node and reads
//     its attributes, computes what is constant and joins what belongs together: a
//     convolution takes the batch normalisation and the activation behind it along.
//   - Planning (plan.go) infers the shape of every value from those of the inputs and
//     gives it a place in one arena. Then it is known how much memory and how many
//     multiplications a run takes, before either is spent. A model whose inputs have
//     fixed sizes is planned when it is loaded, others for each size that comes.
//   - Running (run.go) calls kernel after kernel. Each is cut into pieces that a few
//     goroutines share; between pieces the context is looked at.
//
// The result does not depend on how many goroutines there are, nor on the machine:
// every sum is made in one order, and a product is rounded before it is added.
package purego

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// The range of opsets, versions of ONNX's operators, that are understood.
const (
	MinOpset = 7
	MaxOpset = 22
)

// Config bounds what models may do. The zero value of each field is its default.
type Config struct {
	Threads    int    // goroutines of one computation; default: as many as the machine has CPUs, at most 4
	ModelBytes int    // of a model, as it is given; default 64 MiB
	Memory     uint64 // bytes of a model's constants, and again of the tensors of a run; default 256 MiB
	// Work is how many multiplications a run may take; default 20e9, which takes
	// some ten seconds. MobileNetV2 takes 0.3e9.
	Work uint64
}

// Backend is an nn.Backend.
type Backend struct{ config Config }

// New returns a Backend.
func New(config Config) *Backend {
	if config.Threads == 0 {
		config.Threads = min(runtime.GOMAXPROCS(0), 4)
	}
	if config.ModelBytes == 0 {
		config.ModelBytes = 64 << 20
	}
	if config.Memory == 0 {
		config.Memory = 256 << 20
	}
	if config.Work == 0 {
		config.Work = 20e9
	}
	return &Backend{config}
}

// Load implements nn.Backend.
func (b *Backend) Load(ctx context.Context, parts [][]byte, encoding nn.Encoding, target nn.Target) (nn.Model, error) {
	data, err := onnx.Part(parts, encoding, target, b.config.ModelBytes)
	if err != nil {
		return nil, err
	}
	decoded, err := onnx.Decode(data)
	if err != nil {
		return nil, classify(nn.InvalidEncoding, fmt.Errorf("read model: %w", err))
	}
	p, err := load(ctx, decoded, b.config)
	if err != nil {
		return nil, classify(nn.InvalidEncoding, fmt.Errorf("load model: %w", err))
	}
	m := &model{config: b.config, program: p}
	if p.static() {
		// The sizes are known, so whether the model fits together is, too.
		if _, err := m.plan(ctx, p.staticDims()); err != nil {
			return nil, classify(nn.InvalidEncoding, fmt.Errorf("load model: %w", err))
		}
	}
	return m, nil
}

// errUnsupported is wrapped by errors about what this package does not have, and
// errTooLarge by those about limits. What else is wrong depends on who is asked.
var (
	errUnsupported = errors.New("not supported")
	errTooLarge    = errors.New("too large")
)

// classify sorts err; other is the code for what is neither unsupported, nor too
// large, nor sorted already.
func classify(other nn.Code, err error) error {
	var sorted *nn.Error
	switch {
	case errors.As(err, &sorted):
		return &nn.Error{Code: sorted.Code, Err: err}
	case errors.Is(err, errUnsupported), errors.Is(err, onnx.ErrUnsupported):
		return &nn.Error{Code: nn.UnsupportedOperation, Err: err}
	case errors.Is(err, errTooLarge):
		return &nn.Error{Code: nn.TooLarge, Err: err}
	}
	return &nn.Error{Code: other, Err: err}
}

// Operators returns the names of the operators that models may use, in alphabetical
// order.
func Operators() []string {
	var names []string
	for name := range operators() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
