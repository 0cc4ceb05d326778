// SPDX-License-Identifier: Apache-2.0

package nntest

import (
	"fmt"
	"math"

	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// MobileNet adds layers of the shape of MobileNetV2 (Sandler and others, 2018) to a
// model, with random weights: of the input, an image [1 3 side side], to features
// [1 n 1 1], where n is the number that it returns beside the name of the result.
// width scales the numbers of channels: 1 is the original. Names and the order of
// nodes are those of the model that ONNX publishes: convolution, normalisation,
// activation.
func (b *Builder) MobileNet(input string, width float64) (features string, n int) {
	channels := func(n int) int { return max(4, int(math.Round(float64(n)*width/4))*4) }
	seed := uint64(1)
	layer := func(in string, from, to, kernel, stride, group int, active bool) string {
		name := fmt.Sprintf("conv%d", seed)
		per := from / group * kernel * kernel
		weights := Random(seed, to*per)
		scale := float32(math.Sqrt(6 / float64(per)))
		for i := range weights {
			weights[i] *= scale
		}
		pad := int64(kernel / 2)
		out := b.Node("Conv", name, []string{in, b.Floats(name+"_weight", weights, int64(to), int64(from/group), int64(kernel), int64(kernel))},
			Ints("kernel_shape", int64(kernel), int64(kernel)), Ints("strides", int64(stride), int64(stride)),
			Ints("pads", pad, pad, pad, pad), Ints("dilations", 1, 1), Int("group", int64(group)))
		parameters := []string{out}
		for i, p := range []string{"gamma", "beta", "mean", "var"} {
			data := Random(seed+uint64(i)*1000, to)
			for k, x := range data {
				data[k] = []float32{1 + 0.2*x, 0.3 * x, 0.1 * x, 1 + 0.3*x}[i]
			}
			parameters = append(parameters, b.Floats(fmt.Sprintf("batchnorm%d_%s", seed, p), data, int64(to)))
		}
		out = b.Node("BatchNormalization", fmt.Sprintf("batchnorm%d", seed), parameters, Float("epsilon", 1e-5))
		if active {
			out = b.Node("Clip", fmt.Sprintf("relu%d", seed), []string{out, "zero", "six"})
		}
		seed++
		return out
	}
	b.Floats("zero", []float32{0})
	b.Floats("six", []float32{6})
	for i := range b.graph.Initializers {
		if t := &b.graph.Initializers[i]; t.Name == "zero" || t.Name == "six" {
			t.Dims = nil
		}
	}
	have := channels(32)
	x := layer(input, 3, have, 3, 2, 1, true)
	for _, stage := range [][4]int{{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}} {
		expand, to := stage[0], channels(stage[1])
		for i := range stage[2] {
			stride := 1
			if i == 0 {
				stride = stage[3]
			}
			y, wide := x, have*expand
			if expand > 1 {
				y = layer(y, have, wide, 1, 1, 1, true)
			}
			y = layer(y, wide, wide, 3, stride, wide, true)
			y = layer(y, wide, to, 1, 1, 1, false)
			if stride == 1 && have == to {
				y = b.Node("Add", fmt.Sprintf("add%d", seed), []string{x, y})
			}
			x, have = y, to
		}
	}
	n = channels(1280)
	x = layer(x, have, n, 1, 1, 1, true)
	return b.Node("GlobalAveragePool", "pool", []string{x}), n
}

// MobileNetV2 returns a whole model of the shape and size of MobileNetV2, with random
// weights: image "data" [1 3 224 224] to "scores" [1 1000].
func MobileNetV2() []byte {
	var b Builder
	features, n := b.MobileNet(b.Input("data", onnx.Float, 1, 3, 224, 224), 1)
	weights := Random(99, 1000*n)
	for i := range weights {
		weights[i] *= 0.05
	}
	out := b.Node("Conv", "head", []string{features, b.Floats("head_weight", weights, 1000, int64(n), 1, 1)}, Ints("kernel_shape", 1, 1))
	b.Output(b.Node("Reshape", "scores", []string{out, b.Ints("shape", 1, -1)}), onnx.Float, 1, 1000)
	return b.Bytes()
}
