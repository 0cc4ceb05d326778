// SPDX-License-Identifier: Apache-2.0

package purego_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/nntest"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
	"github.com/wasm-graph/graphd/engine/nn/purego"
)

func TestBackend(t *testing.T) { nntest.Run(t, purego.New(purego.Config{})) }

func load(ctx context.Context, config purego.Config, model []byte) (nn.Model, error) {
	return purego.New(config).Load(ctx, [][]byte{model}, nn.Autodetect, nn.CPU)
}

// TestRefusedModels: everything is found when the model is loaded, with the node.
func TestRefusedModels(t *testing.T) {
	image := func(b *nntest.Builder) string { return b.Input("x", onnx.Float, 1, 2, 4, 4) }
	weights := func(b *nntest.Builder) string { return b.Floats("w", make([]float32, 18), 1, 2, 3, 3) }
	for _, tt := range []struct {
		name  string
		opset int64
		build func(b *nntest.Builder)
		code  nn.Code
		text  string
	}{
		{"old opset", 6, func(b *nntest.Builder) { b.Node("Relu", "y", []string{image(b)}) }, nn.UnsupportedOperation, "opset 6; opsets 7 to 22"},
		{"operator", 0, func(b *nntest.Builder) { b.Node("LSTM", "y", []string{image(b)}) }, nn.UnsupportedOperation, `node "y" (operator LSTM): not supported: this operator`},
		{"domain", 0, func(b *nntest.Builder) {
			b.Add(onnx.Node{Name: "y", Op: "Gelu", Domain: "com.microsoft", Inputs: []string{image(b)}, Outputs: []string{"y"}})
		}, nn.UnsupportedOperation, `node "y" (operator com.microsoft.Gelu)`},
		{"attribute", 0, func(b *nntest.Builder) { b.Node("Relu", "y", []string{image(b)}, nntest.Int("slowly", 1)) }, nn.UnsupportedOperation, `attribute "slowly"`},
		{"attribute of another kind", 0, func(b *nntest.Builder) { b.Node("Flatten", "y", []string{image(b)}, nntest.Text("axis", "1")) }, nn.InvalidEncoding, `attribute "axis" is of another kind`},
		{"type", 0, func(b *nntest.Builder) { b.Node("Relu", "y", []string{b.Input("x", onnx.Double, 1)}) }, nn.UnsupportedOperation, `input "x": not supported: an input or output of double`},
		{"missing value", 0, func(b *nntest.Builder) { b.Node("Relu", "y", []string{"z"}) }, nn.InvalidEncoding, `nothing before it computes its input "z"`},
		{"too few inputs", 0, func(b *nntest.Builder) { b.Node("Add", "y", []string{image(b)}) }, nn.InvalidEncoding, "1 inputs, want 2 to 2"},
		{"defined twice", 0, func(b *nntest.Builder) { b.Node("Relu", "x", []string{image(b)}) }, nn.InvalidEncoding, `"x" is defined twice`},
		{"output", 0, func(b *nntest.Builder) { b.Node("Relu", "z", []string{image(b)}) }, nn.InvalidEncoding, `output "y": no node computes it`},
		{"channels", 0, func(b *nntest.Builder) {
			b.Node("Conv", "y", []string{b.Input("x", onnx.Float, 1, 3, 4, 4), weights(b)})
		}, nn.InvalidEncoding, `node "y" (operator Conv): input of [1 3 4 4] has 3 channels, and the weights are for 2`},
		{"window", 0, func(b *nntest.Builder) {
			b.Node("Conv", "y", []string{b.Input("x", onnx.Float, 1, 2, 2, 4), weights(b)})
		}, nn.InvalidEncoding, "a window of 3 does not fit into 2"},
		{"computed weights", 0, func(b *nntest.Builder) { b.Node("Conv", "y", []string{image(b), b.Node("Relu", "r", []string{"x"})}) }, nn.UnsupportedOperation, "its weights are not constant"},
		{"volumes", 0, func(b *nntest.Builder) {
			b.Node("Conv", "y", []string{image(b), weights(b)}, nntest.Ints("strides", 1, 1, 1))
		}, nn.UnsupportedOperation, "for 3 dimensions"},
		{"shape of data", 0, func(b *nntest.Builder) {
			b.Node("Reshape", "y", []string{image(b), b.Node("Cast", "c", []string{"x"}, nntest.Int("to", int64(onnx.Int64)))})
		}, nn.UnsupportedOperation, "input 1 depends on data"},
		{"reshape", 0, func(b *nntest.Builder) { b.Node("Reshape", "y", []string{image(b), b.Ints("s", 7, -1)}) }, nn.InvalidEncoding, "[1 2 4 4] does not become [7 -1]"},
		{"memory of constants", 0, func(b *nntest.Builder) {
			b.Node("ConstantOfShape", "y", []string{b.Ints("s", 1<<20)})
		}, nn.TooLarge, "constants take more than"},
		{"huge constant", 0, func(b *nntest.Builder) {
			b.Node("ConstantOfShape", "y", []string{b.Ints("s", 1<<20, 1<<20, 1<<20)})
		}, nn.TooLarge, "tensor of"},
		{"memory of tensors", 0, func(b *nntest.Builder) {
			b.Node("Pad", "y", []string{image(b), b.Ints("s", 0, 0, 0, 0, 0, 0, 1000, 1000)})
		}, nn.TooLarge, "tensors take more than"},
		{"work", 0, func(b *nntest.Builder) {
			b.Node("MatMul", "y", []string{b.Input("x", onnx.Float, 256, 256), "x"})
		}, nn.TooLarge, `node "y" (operator MatMul): too large: the model takes more than 4194304 multiplications`},
		{"work on constants", 0, func(b *nntest.Builder) {
			c := b.Floats("c", make([]float32, 1<<16), 256, 256)
			b.Node("MatMul", "y", []string{c, c})
		}, nn.TooLarge, "multiplications"},
		{"other output", 0, func(b *nntest.Builder) { b.Node("ReduceSum", "y", []string{image(b)}, nntest.Int("keepdims", 0)) }, nn.InvalidEncoding, "output y: fp32 [1]: the model computes fp32 []"},
	} {
		b := &nntest.Builder{Opset: tt.opset}
		tt.build(b)
		b.Output("y", onnx.Float, 1)
		_, err := load(t.Context(), purego.Config{Memory: 1 << 20, Work: 1 << 22}, b.Bytes())
		if err == nil || nn.AsError(err).Code != tt.code || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v\nwant %v: %s", tt.name, err, tt.code, tt.text)
		}
	}
	model := nntest.MobileNetV2()
	if _, err := load(t.Context(), purego.Config{ModelBytes: len(model) - 1}, model); err == nil || nn.AsError(err).Code != nn.TooLarge {
		t.Errorf("a model that is too long: %v", err)
	}
}

// TestLimitsOfOpenSizes: what a caller makes too large is refused before anything is
// allocated.
func TestLimitsOfOpenSizes(t *testing.T) {
	var b nntest.Builder
	b.Node("MatMul", "y", []string{b.Input("x", onnx.Float, 0, 1), b.Input("z", onnx.Float, 1, 0)})
	b.Output("y", onnx.Float, 0, 0)
	m, err := load(t.Context(), purego.Config{}, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	const n = 1 << 16
	column := nntest.Floats(make([]float32, n), n, 1)
	row := nntest.Floats(make([]float32, n), 1, n)
	if _, err := m.Compute(t.Context(), []nn.Named{{Name: "x", Tensor: column}, {Name: "z", Tensor: row}}); err == nil || nn.AsError(err).Code != nn.TooLarge {
		t.Errorf("a result of 16 GiB: %v", err)
	}
}

// photo is an input of MobileNetV2.
func photo() []nn.Named {
	return []nn.Named{{Name: "data", Tensor: nntest.Floats(nntest.Random(7, 3*224*224), 1, 3, 224, 224)}}
}

// TestSameWhateverTheThreads: results are equal bit by bit.
func TestSameWhateverTheThreads(t *testing.T) {
	var want []byte
	for _, threads := range []int{1, 3, 8} {
		m, err := load(t.Context(), purego.Config{Threads: threads}, nntest.MobileNetV2())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time in memory that is not fresh
			out, err := m.Compute(t.Context(), photo())
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = out[0].Tensor.Data
			}
			if !slices.Equal(out[0].Tensor.Data, want) {
				t.Errorf("%d goroutines compute something else", threads)
			}
		}
	}
}

// TestStopsSoon: a context that ends in the middle ends the computation.
func TestStopsSoon(t *testing.T) {
	m, err := load(t.Context(), purego.Config{}, nntest.MobileNetV2())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for {
		if _, err := m.Compute(ctx, photo()); err != nil {
			if nn.AsError(err).Code != nn.Timeout {
				t.Errorf("Compute = %v, want a timeout", err)
			}
			return
		}
	}
}

func TestOperators(t *testing.T) {
	names := purego.Operators()
	if !slices.IsSorted(names) || !slices.Contains(names, "Conv") || !slices.Contains(names, "HardSwish") {
		t.Errorf("Operators() = %v", names)
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range nntest.Models() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, model []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		m, err := load(ctx, purego.Config{Threads: 1, Memory: 1 << 20, Work: 1 << 22}, model)
		if err != nil {
			return
		}
		var inputs []nn.Named
		for _, p := range m.Inputs() {
			tensor := &nn.Tensor{Type: p.Type}
			size := p.Type.Size()
			for _, d := range p.Dims {
				if d < 0 {
					d = 3
				}
				if size *= int(d); size > 1<<20 {
					return
				}
				tensor.Dims = append(tensor.Dims, uint32(d))
			}
			tensor.Data = make([]byte, size)
			for i := range tensor.Data {
				tensor.Data[i] = byte(i)
			}
			inputs = append(inputs, nn.Named{Name: p.Name, Tensor: tensor})
		}
		out, err := m.Compute(ctx, inputs)
		if err != nil {
			return
		}
		for _, o := range out {
			if err := o.Tensor.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}
