// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/nntest"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
	"github.com/wasm-graph/graphd/engine/nn/purego"
	"github.com/wasm-graph/graphd/samples/complex/pictures"
)

// The names and sizes of the model's input and output are those of the model that ONNX
// publishes as MobileNetV2, so that one can take the other's place.
const (
	side       = pictures.Side
	inputName  = "data"
	outputName = "mobilenetv20_output_flatten0_reshape0"
)

// stages are the bottlenecks of the network: how much wider a block is inside than
// outside, its channels, how often it is repeated, and the stride of the first.
var stages = [][4]int{{1, 16, 1, 2}, {4, 24, 2, 2}}

const features = 320 // channels of the last layer

// layer is a convolution, normalised and, where it is active, limited to 0..6.
type layer struct {
	name                  string
	in                    string
	from, to, kernel      int
	stride, group         int
	active                bool
	residual              string // what is added to the result
	weights, scale, shift []float32
}

func (l *layer) out() string {
	switch {
	case l.residual != "":
		return l.name + "_add"
	case l.active:
		return l.name + "_relu"
	}
	return l.name + "_norm"
}

// network returns the layers. All but the first have random weights.
func network(seed uint64) []*layer {
	r := rand.New(rand.NewPCG(seed, 1))
	var layers []*layer
	add := func(l layer) string {
		l.name = fmt.Sprintf("layer%02d", len(layers))
		per := l.from / l.group * l.kernel * l.kernel
		l.weights = make([]float32, l.to*per)
		for o := range l.to {
			row := l.weights[o*per : (o+1)*per]
			var mean, square float64
			for i := range row {
				row[i] = float32(r.NormFloat64())
				mean += float64(row[i]) / float64(per)
			}
			for i := range row {
				if l.kernel > 1 && o%4 != 0 {
					row[i] -= float32(mean) // sees edges, not surfaces
				}
				square += float64(row[i]) * float64(row[i])
			}
			for i := range row {
				row[i] /= float32(math.Sqrt(square))
			}
		}
		l.scale, l.shift = make([]float32, l.to), make([]float32, l.to)
		for i := range l.scale {
			l.scale[i] = 1
		}
		layers = append(layers, &l)
		return l.out()
	}
	have := 16
	x := add(layer{in: inputName, from: 3, to: have, kernel: 3, stride: 2, group: 1, active: true})
	for _, s := range stages {
		for i := range s[2] {
			stride, wide, y := 1, have*s[0], x
			if i == 0 {
				stride = s[3]
			}
			if s[0] > 1 {
				y = add(layer{in: y, from: have, to: wide, kernel: 1, stride: 1, group: 1, active: true})
			}
			y = add(layer{in: y, from: wide, to: wide, kernel: 3, stride: stride, group: wide, active: true})
			last := layer{in: y, from: wide, to: s[1], kernel: 1, stride: 1, group: 1}
			if stride == 1 && have == s[1] {
				last.residual = x
			}
			x, have = add(last), s[1]
		}
	}
	add(layer{in: x, from: have, to: features, kernel: 1, stride: 1, group: 1, active: true})
	look(layers[0])
	return layers
}

// look gives the first layer eyes: half of its channels see one colour and not
// another one, the rest the edges of a direction.
func look(l *layer) {
	opponents := [][3]float32{{1, -1, 0}, {-1, 1, 0}, {1, 0, -1}, {-1, 0, 1}, {0, 1, -1}, {0, -1, 1}, {1, 1, -2}, {-1, -1, 2}}
	for o := range l.to {
		angle := float64(o-len(opponents)) / float64(l.to-len(opponents)) * 2 * math.Pi
		for i := range 27 {
			w := &l.weights[o*27+i]
			if o < len(opponents) {
				*w = opponents[o][i/9] / 9
			} else {
				y, x := float64(i%9/3-1), float64(i%3-1)
				*w = float32(x*math.Cos(angle)+y*math.Sin(angle)) / 9
			}
		}
	}
}

// build adds the layers to a model and returns what last says of the last one.
func build(b *nntest.Builder, layers []*layer, last func(*layer) string) string {
	b.Input(inputName, onnx.Float, 1, 3, side, side)
	zero, six := b.Floats("zero", []float32{0}), b.Floats("six", []float32{6})
	for _, l := range layers {
		pad := int64(l.kernel / 2)
		ones, zeros := make([]float32, l.to), make([]float32, l.to)
		for i := range ones {
			ones[i] = 1
		}
		out := b.Node("Conv", l.name, []string{l.in, b.Floats(l.name+"_weight", l.weights, int64(l.to), int64(l.from/l.group), int64(l.kernel), int64(l.kernel))},
			nntest.Ints("kernel_shape", int64(l.kernel), int64(l.kernel)), nntest.Ints("strides", int64(l.stride), int64(l.stride)),
			nntest.Ints("pads", pad, pad, pad, pad), nntest.Int("group", int64(l.group)))
		out = b.Node("BatchNormalization", l.name+"_norm", []string{out, b.Floats(l.name+"_gamma", l.scale, int64(l.to)), b.Floats(l.name+"_beta", l.shift, int64(l.to)),
			b.Floats(l.name+"_mean", zeros, int64(l.to)), b.Floats(l.name+"_var", ones, int64(l.to))}, nntest.Float("epsilon", 0))
		if l.active {
			out = b.Node("Clip", l.name+"_relu", []string{out, zero, six})
		}
		if l.residual != "" {
			b.Node("Add", l.name+"_add", []string{out, l.residual})
		}
	}
	return last(layers[len(layers)-1])
}

// calibrate sets scale and shift of every layer such that its result has an average of
// 0 and a variance of 1 in each channel, over those pictures.
func calibrate(ctx context.Context, layers []*layer, pictures []*nn.Tensor) error {
	for n, l := range layers {
		var b nntest.Builder
		out := build(&b, layers[:n+1], func(l *layer) string { return l.name })
		b.Output(out, onnx.Float, 1, int64(l.to), 0, 0)
		results, err := run(ctx, b.Bytes(), pictures)
		if err != nil {
			return err
		}
		for c := range l.to {
			var sum, square, count float64
			for _, values := range results {
				per := len(values) / l.to
				for _, v := range values[c*per : (c+1)*per] {
					sum += float64(v)
					square += float64(v) * float64(v)
					count++
				}
			}
			mean := sum / count
			deviation := math.Sqrt(max(square/count-mean*mean, 1e-8))
			l.scale[c] = float32(1 / deviation)
			l.shift[c] = float32(-mean / deviation)
		}
	}
	return nil
}

// run computes a model for several pictures.
func run(ctx context.Context, model []byte, pictures []*nn.Tensor) ([][]float32, error) {
	m, err := purego.New(purego.Config{Threads: 1}).Load(ctx, [][]byte{model}, nn.ONNX, nn.CPU)
	if err != nil {
		return nil, err
	}
	results, errs := make([][]float32, len(pictures)), make([]error, len(pictures))
	var all sync.WaitGroup
	const workers = 2
	for worker := range workers {
		all.Go(func() {
			for i := worker; i < len(pictures); i += workers {
				out, err := m.Compute(ctx, []nn.Named{{Name: inputName, Tensor: pictures[i]}})
				if err != nil {
					errs[i] = err
					continue
				}
				results[i] = nntest.Values(out[0].Tensor)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}
