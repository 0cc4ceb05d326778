// SPDX-License-Identifier: Apache-2.0

package onnx_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

func everything() *onnx.Model {
	return &onnx.Model{
		IR: 8, Producer: "test", Opsets: []onnx.Opset{{Version: 17}, {Domain: "com.example", Version: 1}},
		Graph: onnx.Graph{
			Name: "g",
			Nodes: []onnx.Node{{
				Name: "n", Op: "Op", Domain: "com.example", Inputs: []string{"x", "", "c"}, Outputs: []string{"y"},
				Attributes: []onnx.Attribute{
					{Name: "f", Kind: onnx.FloatAttribute, Float: 1.5},
					{Name: "i", Kind: onnx.IntAttribute, Int: -3},
					{Name: "s", Kind: onnx.TextAttribute, Text: "text"},
					{Name: "t", Kind: onnx.TensorAttribute, Tensor: &onnx.Tensor{Type: onnx.Int32, Data: []byte{1, 0, 0, 0}}},
					{Name: "fs", Kind: onnx.FloatsAttribute, Floats: []float32{1, 2}},
					{Name: "is", Kind: onnx.IntsAttribute, Ints: []int64{-1, 1 << 40}},
					{Name: "ss", Kind: onnx.StringsAttribute, Strings: []string{"a", ""}},
				},
			}},
			Initializers: []onnx.Tensor{{Name: "c", Type: onnx.Float, Dims: []int64{1, 2}, Data: []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}}},
			Inputs:       []onnx.Value{{Name: "x", Type: onnx.Float, Dims: []onnx.Dim{{Param: "batch"}, {Size: 3}, {}}}},
			Outputs:      []onnx.Value{{Name: "y", Type: onnx.Uint8}},
		},
	}
}

func TestEncodeAndDecode(t *testing.T) {
	want := everything()
	got, err := onnx.Decode(onnx.Encode(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded differs from encoded (-want +got):\n%s", diff)
	}
}

// message writes a message of fields with contents.
func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		n := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		case float64:
			b = protowire.AppendFixed32(protowire.AppendTag(b, n, protowire.Fixed32Type), 0x3f800000)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
		}
	}
	return b
}

// TestTensors: data comes in a list for its type, packed or not, as well as in bytes.
func TestTensors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tensor []byte
		want   []byte
	}{
		{"raw", message(1, 2, 2, int(onnx.Uint8), 9, []byte{1, 2}), []byte{1, 2}},
		{"floats, one by one", message(1, 2, 2, int(onnx.Float), 4, 1.0, 4, 1.0), []byte{0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f}},
		{"floats, packed", message(1, 1, 2, int(onnx.Float), 4, []byte{0, 0, 0, 0x40}), []byte{0, 0, 0, 0x40}},
		{"bytes as integers", message(1, []byte{3}, 2, int(onnx.Int8), 5, []byte{1, 2, 3}), []byte{1, 2, 3}},
		{"short integers", message(1, 1, 2, int(onnx.Uint16), 5, 258), []byte{2, 1}},
		{"integers", message(1, 1, 2, int(onnx.Int32), 5, 258), []byte{2, 1, 0, 0}},
		{"long integers", message(1, 1, 2, int(onnx.Int64), 7, 258), []byte{2, 1, 0, 0, 0, 0, 0, 0}},
		{"unsigned integers", message(1, 1, 2, int(onnx.Uint32), 11, 258), []byte{2, 1, 0, 0}},
	} {
		m, err := onnx.Decode(message(8, message(2, 17), 7, message(5, tt.tensor, 12, message(2, message(1, []byte{})))))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, m.Graph.Initializers[0].Data); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	graph := func(fields ...any) []byte {
		output := message(12, message(2, message(1, []byte{})))
		return message(8, message(2, 17), 7, append(message(fields...), output...))
	}
	for _, tt := range []struct {
		name string
		data []byte
		want error
		text string
	}{
		{"nothing", nil, onnx.ErrFormat, "no opset, or no output"},
		{"text", []byte("hello"), onnx.ErrFormat, ""},
		{"wrong wire type", message(7, 1), onnx.ErrFormat, "field 7 has wire type 0"},
		{"less data than dimensions say", graph(5, message(8, "w", 1, 3, 2, 2, 9, []byte{1, 2})), onnx.ErrFormat, `tensor "w": not an ONNX model: 2 bytes of data are not uint8 [3]`},
		{"more than there are numbers for", graph(5, message(8, "w", 1, 1<<62, 1, 1<<62, 2, 2, 9, []byte{1})), onnx.ErrFormat, "not uint8"},
		{"negative dimension", graph(5, message(8, "w", 1, -1, 2, 2, 9, []byte{1})), onnx.ErrFormat, "not uint8 [-1]"},
		{"strings", graph(5, message(8, "w", 1, 1, 2, 8, 6, "text")), onnx.ErrUnsupported, "it is of string"},
		{"data in another file", graph(5, message(8, "w", 1, 1, 2, 1, 13, []byte{})), onnx.ErrUnsupported, "another file"},
		{"too many dimensions", graph(5, message(1, make([]byte, 9), 2, 2)), onnx.ErrUnsupported, "more than 8 dimensions"},
		{"sparse", graph(15, []byte{}), onnx.ErrUnsupported, "sparse"},
		{"functions", message(25, []byte{}), onnx.ErrUnsupported, "functions"},
		{"subgraph", graph(1, message(3, "if", 4, "If", 5, message(1, "then_branch", 6, []byte{}, 20, 5))), onnx.ErrUnsupported,
			`node "if" of operator "If": attribute "then_branch": not supported: it is neither number`},
		{"too many attributes", graph(1, message(many(5, 300)...)), onnx.ErrUnsupported, "more than 256 attributes"},
		{"a sequence", message(8, message(2, 17), 7, message(12, message(1, "y", 2, message(4, []byte{})))), onnx.ErrUnsupported, `value "y"`},
	} {
		_, err := onnx.Decode(tt.data)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v and %q", tt.name, err, tt.want, tt.text)
		}
	}
}

// many is a field that is there often: an attribute that is an integer.
func many(number, n int) []any {
	var fields []any
	for range n {
		fields = append(fields, number, message(20, 2))
	}
	return fields
}

func FuzzDecode(f *testing.F) {
	f.Add(onnx.Encode(everything()))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		// What was read once can be written, and is then the same.
		encoded := onnx.Encode(m)
		again, err := onnx.Decode(encoded)
		if err != nil {
			t.Fatalf("what was encoded is not decoded: %v", err)
		}
		if diff := cmp.Diff(encoded, onnx.Encode(again)); diff != "" {
			t.Error(diff)
		}
	})
}
