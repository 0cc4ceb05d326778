// SPDX-License-Identifier: Apache-2.0

// Train makes the model of the operator snapshot: a small network of MobileNetV2's
// shape that tells the signs of package pictures from each other.
//
//	go run ./samples/complex/train
//
// in the top folder writes operators/snapshot/model.onnx and labels.txt. The same
// program gives the same files. The convolutions stay as they are made, at random but
// for the first, and are normalised over some pictures; what is trained is the last
// layer, which weighs what they see. For signs on walls that is enough, and needs no
// library to train with.
package main

import (
	"context"
	"fmt"
	"math"
	"os"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/nntest"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
	"github.com/wasm-graph/graphd/samples/complex/pictures"
)

const (
	file     = "operators/snapshot/model.onnx"
	labels   = "operators/snapshot/labels.txt"
	each     = 240 // pictures of each sign to learn from
	unseen   = 60  // and to test with
	networks = 7   // seed of the network
)

func main() {
	if err := train(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

// examples returns n pictures of each sign, and what they show.
func examples(n int, seed uint64) (all []*nn.Tensor, shows []int) {
	for i := range n {
		for k, name := range pictures.Names() {
			all = append(all, pictures.Example(name, seed+uint64(i*len(pictures.Names())+k)))
			shows = append(shows, k)
		}
	}
	return all, shows
}

func train(ctx context.Context) error {
	layers := network(networks)
	few, _ := examples(8, 1)
	if err := calibrate(ctx, layers, few); err != nil {
		return err
	}
	var b nntest.Builder
	pooled := b.Node("GlobalAveragePool", "pool", []string{build(&b, layers, (*layer).out)})
	extractor := b
	extractor.Output(pooled, onnx.Float, 1, features, 1, 1)
	learn, shows := examples(each, 1000)
	seen, err := run(ctx, extractor.Bytes(), learn)
	if err != nil {
		return err
	}
	weights, bias := fit(seen, shows, len(pictures.Names()))

	head := b.Node("Conv", "head", []string{pooled, b.Floats("head_weight", weights, int64(len(bias)), features, 1, 1), b.Floats("head_bias", bias, int64(len(bias)))},
		nntest.Ints("kernel_shape", 1, 1))
	b.Output(b.Node("Reshape", outputName, []string{head, b.Ints("shape", 1, -1)}), onnx.Float, 1, int64(len(bias)))
	model := b.Bytes()
	for _, set := range []struct {
		name string
		n    int
		seed uint64
	}{{"learned", each, 1000}, {"unseen", unseen, 1_000_000}} {
		all, shows := examples(set.n, set.seed)
		scores, err := run(ctx, model, all)
		if err != nil {
			return err
		}
		right := 0
		for i, s := range scores {
			if best(s) == shows[i] {
				right++
			}
		}
		fmt.Printf("%s: %d of %d pictures\n", set.name, right, len(all))
	}
	fmt.Printf("%s: %d bytes\n", file, len(model))
	if err := os.WriteFile(labels, []byte(pictures.Labels()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(file, model, 0o644)
}

func best(scores []float32) int {
	b := 0
	for i, s := range scores {
		if s > scores[b] {
			b = i
		}
	}
	return b
}

// fit returns the weights and biases of a linear layer whose softmax says best what the
// features of each example show: logistic regression, by gradient descent with
// momentum.
func fit(seen [][]float32, shows []int, classes int) (weights, bias []float32) {
	const rounds, rate, momentum, decay = 400, 0.1, 0.9, 4e-3
	n := len(seen[0])
	mean, deviation := make([]float64, n), make([]float64, n)
	for _, s := range seen {
		for i, v := range s {
			mean[i] += float64(v) / float64(len(seen))
		}
	}
	for _, s := range seen {
		for i, v := range s {
			deviation[i] += (float64(v) - mean[i]) * (float64(v) - mean[i]) / float64(len(seen))
		}
	}
	x := make([][]float64, len(seen))
	for k, s := range seen {
		x[k] = append(make([]float64, n), 1) // the last weight is the bias
		for i, v := range s {
			x[k][i] = (float64(v) - mean[i]) / math.Sqrt(deviation[i]+1e-6)
		}
	}
	w, speed := make([]float64, classes*(n+1)), make([]float64, classes*(n+1))
	for range rounds {
		gradient := make([]float64, len(w))
		for k, features := range x {
			p := make([]float64, classes)
			all := 0.0
			for c := range p {
				for i, v := range features {
					p[c] += w[c*(n+1)+i] * v
				}
				p[c] = math.Exp(min(p[c], 500))
				all += p[c]
			}
			for c := range p {
				d := p[c] / all
				if c == shows[k] {
					d--
				}
				for i, v := range features {
					gradient[c*(n+1)+i] += d * v / float64(len(x))
				}
			}
		}
		for i := range w {
			speed[i] = momentum*speed[i] - rate*(gradient[i]+decay*w[i])
			w[i] += speed[i]
		}
	}
	for c := range classes {
		b := w[c*(n+1)+n]
		for i := range n {
			v := w[c*(n+1)+i] / math.Sqrt(deviation[i]+1e-6)
			weights = append(weights, float32(v))
			b -= v * mean[i]
		}
		bias = append(bias, float32(b))
	}
	return weights, bias
}
