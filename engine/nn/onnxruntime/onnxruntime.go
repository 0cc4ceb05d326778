// SPDX-License-Identifier: Apache-2.0

//go:build onnxruntime

package onnxruntime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// Config configures a Backend. The zero value of each field is its default.
type Config struct {
	Library    string // path of the C library; default: libonnxruntime.so.1, wherever the system finds it
	Threads    int    // of one operator; default 1
	ModelBytes int    // of a model, as it is given; default 64 MiB
}

// Backend is an nn.Backend.
type Backend struct{ config Config }

// Open loads the C library, which is done once in a process: a second Backend shares
// it.
func Open(config Config) (*Backend, error) {
	if config.Library == "" {
		config.Library = "libonnxruntime.so.1"
	}
	if config.Threads == 0 {
		config.Threads = 1
	}
	if config.ModelBytes == 0 {
		config.ModelBytes = 64 << 20
	}
	if !ort.IsInitialized() {
		ort.SetSharedLibraryPath(config.Library)
		if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
			return nil, fmt.Errorf("onnxruntime: load %s: %w", config.Library, err)
		}
	}
	return &Backend{config}, nil
}

// Load implements nn.Backend.
func (b *Backend) Load(ctx context.Context, parts [][]byte, encoding nn.Encoding, target nn.Target) (nn.Model, error) {
	data, err := onnx.Part(parts, encoding, target, b.config.ModelBytes)
	if err != nil {
		return nil, err
	}
	decoded, err := onnx.Decode(data)
	if err != nil {
		return nil, &nn.Error{Code: onnx.Code(err), Err: err}
	}
	m := &model{}
	if m.in, m.out, err = onnx.Ports(&decoded.Graph); err != nil {
		return nil, &nn.Error{Code: onnx.Code(err), Err: err}
	}
	if err := nn.Done(ctx); err != nil {
		return nil, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, &nn.Error{Code: nn.RuntimeError, Err: err}
	}
	err = errors.Join(options.SetIntraOpNumThreads(b.config.Threads), options.SetInterOpNumThreads(1))
	if err == nil {
		m.session, err = ort.NewDynamicAdvancedSessionWithONNXData(data, names(m.in), names(m.out), options)
	}
	if err := errors.Join(err, options.Destroy()); err != nil {
		return nil, &nn.Error{Code: loadCode(err), Err: err}
	}
	return m, nil
}

// loadCode sorts what the library says about a model.
func loadCode(err error) nn.Code {
	for _, phrase := range []string{"No Op registered", "is not a registered", "NOT_IMPLEMENTED", "Could not find an implementation"} {
		if strings.Contains(err.Error(), phrase) {
			return nn.UnsupportedOperation
		}
	}
	return nn.InvalidEncoding
}

func names(ports []nn.Port) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = p.Name
	}
	return out
}

// model is an nn.Model.
type model struct {
	in, out []nn.Port
	session *ort.DynamicAdvancedSession
}

// Inputs implements nn.Model.
func (m *model) Inputs() []nn.Port { return m.in }

// Outputs implements nn.Model.
func (m *model) Outputs() []nn.Port { return m.out }

// Close implements nn.Model.
func (m *model) Close() error { return m.session.Destroy() }

// elements are the library's types of elements.
var elements = map[nn.Type]ort.TensorElementDataType{
	nn.FP16: ort.TensorElementDataTypeFloat16, nn.FP32: ort.TensorElementDataTypeFloat, nn.FP64: ort.TensorElementDataTypeDouble,
	nn.BF16: ort.TensorElementDataTypeBFloat16, nn.U8: ort.TensorElementDataTypeUint8,
	nn.I32: ort.TensorElementDataTypeInt32, nn.I64: ort.TensorElementDataTypeInt64,
}

// Compute implements nn.Model.
func (m *model) Compute(ctx context.Context, inputs []nn.Named) (_ []nn.Named, err error) {
	bound, err := nn.Bind(m.in, inputs)
	if err != nil {
		return nil, err
	}
	in, out := make([]ort.Value, len(bound)), make([]ort.Value, len(m.out))
	defer func() { err = free(err, in, out) }()
	for i, t := range bound {
		shape := make(ort.Shape, len(t.Dims))
		for k, d := range t.Dims {
			shape[k] = int64(d)
		}
		if in[i], err = ort.NewCustomDataTensor(shape, t.Data, elements[t.Type]); err != nil {
			return nil, &nn.Error{Code: nn.InvalidArgument, Err: err}
		}
	}
	for i, port := range m.out {
		if len(port.Dims) > 0 {
			continue // the library makes it
		}
		if out[i], err = scalar(port.Type); err != nil {
			return nil, &nn.Error{Code: nn.RuntimeError, Err: err}
		}
	}
	if err := m.run(ctx, in, out); err != nil {
		for i, port := range m.out {
			if len(port.Dims) > 0 {
				out[i] = nil // nothing was made, though the library puts a nil pointer there
			}
		}
		return nil, err
	}
	results := make([]nn.Named, len(m.out))
	for i, port := range m.out {
		t, err := tensor(out[i], port.Type)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", port.Name, err)
		}
		results[i] = nn.Named{Name: port.Name, Tensor: t}
	}
	return results, nil
}

// scalar returns room for an output of a single number, which the library has to be
// given.
func scalar(t nn.Type) (ort.Value, error) {
	switch t {
	case nn.FP32:
		return ort.NewEmptyScalar[float32]()
	case nn.FP64:
		return ort.NewEmptyScalar[float64]()
	case nn.I64:
		return ort.NewEmptyScalar[int64]()
	case nn.I32:
		return ort.NewEmptyScalar[int32]()
	}
	return nil, fmt.Errorf("an output that is a single %s is not supported", t)
}

// run runs the session until it is done or ctx is.
func (m *model) run(ctx context.Context, in, out []ort.Value) error {
	if err := nn.Done(ctx); err != nil {
		return err
	}
	options, err := ort.NewRunOptions()
	if err != nil {
		return &nn.Error{Code: nn.RuntimeError, Err: err}
	}
	terminated := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { terminated <- options.Terminate() })
	err = m.session.RunWithOptions(in, out, options)
	if !stop() {
		err = errors.Join(err, <-terminated) // options must not go before it has used them
	}
	err = errors.Join(err, options.Destroy())
	if stopped := nn.Done(ctx); stopped != nil {
		return stopped
	}
	if err != nil {
		return &nn.Error{Code: nn.RuntimeError, Err: err}
	}
	return nil
}

// free gives values back to the library; those that were not made are nil.
func free(err error, lists ...[]ort.Value) error {
	for _, list := range lists {
		for _, v := range list {
			if v != nil {
				err = errors.Join(err, v.Destroy())
			}
		}
	}
	return err
}

// tensor copies a value.
func tensor(v ort.Value, t nn.Type) (*nn.Tensor, error) {
	out := &nn.Tensor{Type: t, Dims: []uint32{}}
	for _, d := range v.GetShape() {
		out.Dims = append(out.Dims, uint32(d))
	}
	var err error
	switch v := v.(type) {
	case *ort.Tensor[float32]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Tensor[float64]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Tensor[int64]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Tensor[int32]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Tensor[uint8]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Scalar[float32]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Scalar[float64]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Scalar[int64]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.Scalar[int32]:
		out.Data, err = binary.Append(nil, binary.LittleEndian, v.GetData())
	case *ort.CustomDataTensor:
		out.Data = append(out.Data, v.GetData()...)
	default:
		err = fmt.Errorf("a %T", v)
	}
	if err != nil {
		return nil, &nn.Error{Code: nn.RuntimeError, Err: err}
	}
	return out, out.Check()
}
