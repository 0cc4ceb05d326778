// SPDX-License-Identifier: Apache-2.0

package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Encode writes a model, such that Decode returns it again. Equal models give equal
// bytes.
func Encode(m *Model) []byte {
	var w writer
	w.integer(1, m.IR)
	w.text(2, m.Producer)
	w.message(7, func(w *writer) { w.graph(&m.Graph) })
	for _, o := range m.Opsets {
		w.message(8, func(w *writer) {
			w.text(1, o.Domain)
			w.integer(2, o.Version)
		})
	}
	return w.out
}

// writer writes the fields of one message.
type writer struct{ out []byte }

func (w *writer) message(number protowire.Number, write func(*writer)) {
	var inner writer
	write(&inner)
	w.bytes(number, inner.out)
}

func (w *writer) bytes(number protowire.Number, b []byte) {
	w.out = protowire.AppendTag(w.out, number, protowire.BytesType)
	w.out = protowire.AppendBytes(w.out, b)
}

// text writes s, which is left out where it is empty.
func (w *writer) text(number protowire.Number, s string) {
	if s != "" {
		w.bytes(number, []byte(s))
	}
}

func (w *writer) integer(number protowire.Number, v int64) {
	w.out = protowire.AppendTag(w.out, number, protowire.VarintType)
	w.out = protowire.AppendVarint(w.out, uint64(v))
}

func (w *writer) float(number protowire.Number, v float32) {
	w.out = protowire.AppendTag(w.out, number, protowire.Fixed32Type)
	w.out = protowire.AppendFixed32(w.out, math.Float32bits(v))
}

func (w *writer) graph(g *Graph) {
	for i := range g.Nodes {
		w.message(1, func(w *writer) { w.node(&g.Nodes[i]) })
	}
	w.text(2, g.Name)
	for i := range g.Initializers {
		w.message(5, func(w *writer) { w.tensor(&g.Initializers[i]) })
	}
	for i := range g.Inputs {
		w.message(11, func(w *writer) { w.value(&g.Inputs[i]) })
	}
	for i := range g.Outputs {
		w.message(12, func(w *writer) { w.value(&g.Outputs[i]) })
	}
}

func (w *writer) node(n *Node) {
	for _, name := range n.Inputs {
		w.bytes(1, []byte(name))
	}
	for _, name := range n.Outputs {
		w.bytes(2, []byte(name))
	}
	w.text(3, n.Name)
	w.text(4, n.Op)
	for i := range n.Attributes {
		w.message(5, func(w *writer) { w.attribute(&n.Attributes[i]) })
	}
	w.text(7, n.Domain)
}

func (w *writer) attribute(a *Attribute) {
	w.text(1, a.Name)
	switch a.Kind {
	case FloatAttribute:
		w.float(2, a.Float)
	case IntAttribute:
		w.integer(3, a.Int)
	case TextAttribute:
		w.bytes(4, []byte(a.Text))
	case TensorAttribute:
		w.message(5, func(w *writer) { w.tensor(a.Tensor) })
	case FloatsAttribute:
		for _, v := range a.Floats {
			w.float(7, v)
		}
	case IntsAttribute:
		for _, v := range a.Ints {
			w.integer(8, v)
		}
	case StringsAttribute:
		for _, v := range a.Strings {
			w.bytes(9, []byte(v))
		}
	}
	w.integer(20, int64(a.Kind))
}

func (w *writer) tensor(t *Tensor) {
	for _, d := range t.Dims {
		w.integer(1, d)
	}
	w.integer(2, int64(t.Type))
	w.text(8, t.Name)
	w.bytes(9, t.Data)
}

func (w *writer) value(v *Value) {
	w.text(1, v.Name)
	w.message(2, func(w *writer) {
		w.message(1, func(w *writer) {
			w.integer(1, int64(v.Type))
			if v.Dims == nil {
				return
			}
			w.message(2, func(w *writer) {
				for _, d := range v.Dims {
					w.message(1, func(w *writer) {
						if d.Size > 0 {
							w.integer(1, d.Size)
						} else {
							w.text(2, d.Param)
						}
					})
				}
			})
		})
	})
}
