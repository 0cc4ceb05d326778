// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/wasm-graph/graphd/operators/measurement"
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

// The model and what its outputs mean, a line each: an id, a space and a name. Both are
// made by samples/complex/train; any other model for images of ImageNet's form takes
// their place.
var (
	//go:embed model.onnx
	network []byte
	//go:embed labels.txt
	labelText string
)

// The form of images, and the names that MobileNetV2 has for its input and output.
const (
	side   = 224 // pixels
	format = "rgb24"
	input  = "data"
	output = "mobilenetv20_output_flatten0_reshape0"
)

// openMap loads the model, so that one that the host can't run keeps the graph from
// starting.
func openMap(host *sdk.Host) (mapper.Func, error) {
	count := requests(host, "map")
	names := labels(labelText)
	model, err := host.Models.Load(network)
	if err != nil {
		return nil, err
	}
	log := host.Log.WithContext("module-snapshot/map")
	return func(in sdk.Data) (sdk.Data, error) {
		_ = count.Add(1)
		snapshot, ok := in.(*sdk.Snapshot)
		if !ok {
			return nil, errInput
		}
		frame := snapshot.Frame.Bytes()
		if snapshot.Format.String() != format || snapshot.Width != side || snapshot.Height != side || len(frame) != side*side*3 {
			return nil, errors.New("Unexpected image format or size: " + snapshot.Format.String() + ", " +
				strconv.Itoa(int(snapshot.Width)) + " x " + strconv.Itoa(int(snapshot.Height)) + " pixels in " + strconv.Itoa(len(frame)) + " bytes")
		}
		results, err := model.Compute(sdk.NamedTensor{Name: input, Tensor: sdk.Floats(normalized(frame), 1, 3, side, side)})
		if err != nil {
			return nil, err
		}
		scores, err := scoresOf(results, len(names))
		if err != nil {
			return nil, err
		}
		best, probability := likeliest(scores)
		log.Info("Object detection result: " + names[best] + " - Probability: " + strconv.FormatFloat(probability, 'f', 3, 64))
		out := *snapshot
		out.Frame = sdk.Raw(measurement.Measurement{Object: &measurement.Object{Result: names[best]}}.Append(nil))
		return &out, nil
	}, nil
}

// labels are the names in text.
func labels(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		_, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		names = append(names, name)
	}
	return names
}

// normalized is a frame as the model takes it: all reds, all greens, all blues, each
// less its average over ImageNet and in units of its deviation.
func normalized(frame []byte) []float32 {
	mean, deviation := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	data := make([]float32, len(frame))
	for c := range 3 {
		plane := data[c*side*side : (c+1)*side*side]
		for i := range plane {
			plane[i] = (float32(frame[3*i+c])/255 - mean[c]) / deviation[c]
		}
	}
	return data
}

// scoresOf finds the scores among a model's results.
func scoresOf(results []sdk.NamedTensor, n int) ([]float32, error) {
	for _, r := range results {
		if r.Name != output {
			continue
		}
		scores, err := r.Floats()
		if err == nil && len(scores) != n {
			err = errors.New("the model has " + strconv.Itoa(len(scores)) + " scores, and there are " + strconv.Itoa(n) + " labels")
		}
		return scores, err
	}
	return nil, errors.New("the model has no output " + output)
}

// likeliest returns the number of the highest score and its share of the softmax.
func likeliest(scores []float32) (best int, probability float64) {
	for i, s := range scores {
		if s > scores[best] {
			best = i
		}
	}
	var all float64
	for _, s := range scores {
		all += math.Exp(float64(s - scores[best]))
	}
	return best, 1 / all
}
