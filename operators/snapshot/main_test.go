// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func TestBranch(t *testing.T) {
	topic := func(value string) []sdk.Parameter { return []sdk.Parameter{{Key: "snapshot_topic", Value: value}} }
	for _, tt := range []struct {
		name       string
		parameters []sdk.Parameter
		in         sdk.Data
		want       bool
	}{
		{"the topic", topic("cam/1"), sdktest.Message("cam/1", ""), true},
		{"another topic", topic("cam/1"), sdktest.Message("cam/10", ""), false},
		{"no topic configured", nil, sdktest.Message("cam/1", ""), false},
		{"no topic configured, and none there", nil, sdktest.Message("", ""), false},
		{"the empty topic", topic(""), sdktest.Message("", ""), true},
		{"a snapshot", topic("cam/1"), &sdk.Snapshot{}, true},
		{"a snapshot, no topic configured", nil, &sdk.Snapshot{}, true},
	} {
		env := sdktest.New(tt.parameters...)
		process, err := openBranch(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := process(sdk.Timestamp{}, tt.in); err != nil || got != tt.want {
			t.Errorf("%s: %t, %v; want %t", tt.name, got, err, tt.want)
		}
		if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-snapshot/branch"}); got != 1 {
			t.Errorf("%s: %d requests were counted", tt.name, got)
		}
		if _, err := process(sdk.Timestamp{}, sdk.Text("")); err == nil || err.Error() != "Unexpected input type" {
			t.Errorf("%s: bytes: %v", tt.name, err)
		}
	}
}

// model stands in for the network: its scores are the averages of the input's planes,
// of which there are as many as it is told.
func model(planes int, name string) func([]byte) (sdktest.Compute, error) {
	return func([]byte) (sdktest.Compute, error) {
		return func(inputs []sdk.NamedTensor) ([]sdk.NamedTensor, error) {
			if len(inputs) != 1 || inputs[0].Name != "data" || !slices.Equal(inputs[0].Dimensions, []uint32{1, 3, 224, 224}) {
				return nil, &sdk.ModelError{Code: sdk.ModelInvalidArgument, Text: "not an image"}
			}
			values, err := inputs[0].Floats()
			if err != nil {
				return nil, err
			}
			scores := make([]float32, planes)
			for i, v := range values {
				scores[i/(224*224)] += v / (224 * 224)
			}
			return []sdk.NamedTensor{{Name: name, Tensor: sdk.Floats(scores, 1, uint32(planes))}}, nil
		}, nil
	}
}

const scores = "mobilenetv20_output_flatten0_reshape0"

// picture is a frame of one colour.
func picture(r, g, b byte) *sdk.Snapshot {
	return &sdk.Snapshot{Format: sdk.Text("rgb24"), Width: 224, Height: 224, Timestamp: sdk.Timestamp{Secs: 7},
		Frame: sdk.Raw(bytes.Repeat([]byte{r, g, b}, 224*224))}
}

func TestMap(t *testing.T) {
	env := sdktest.New()
	env.RunModels(model(len(labels(labelText)), scores))
	process, err := openMap(env.Host())
	if err != nil {
		t.Fatal(err)
	}
	if env.Models() != 1 {
		t.Errorf("%d models are loaded when it is open, want 1", env.Models())
	}
	names := labels(labelText)
	for i, in := range []*sdk.Snapshot{picture(255, 0, 0), picture(0, 255, 0), picture(0, 0, 255)} {
		out, err := process(in)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"object":{"result":"` + names[i] + `"}}`
		if s := out.(*sdk.Snapshot); s.Frame.String() != want || s.Timestamp.Secs != 7 || s.Width != 224 || s.Format.String() != "rgb24" {
			t.Errorf("plane %d: got %+v, want %s", i, s, want)
		}
		if !env.Logged(sdk.LevelInfo, "Object detection result: "+names[i]+" - Probability: 0.") {
			t.Errorf("plane %d: nothing is logged", i)
		}
	}
	if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-snapshot/map"}); got != 3 {
		t.Errorf("%d requests were counted", got)
	}
	small := picture(0, 0, 0)
	small.Width = 100
	for in, want := range map[sdk.Data]string{
		sdktest.Message("t", "x"): "Unexpected input type",
		small:                     "Unexpected image format or size: rgb24, 100 x 224 pixels in 150528 bytes",
		&sdk.Snapshot{Format: sdk.Text("rgb24"), Width: 224, Height: 224}: "Unexpected image format or size: rgb24, 224 x 224 pixels in 0 bytes",
	} {
		if _, err := process(in); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestMapErrors: a model that does not run is found when the operator is opened, one
// that is not what the labels are for at the first image.
func TestMapErrors(t *testing.T) {
	if _, err := openMap(sdktest.New().Host()); err == nil {
		t.Error("opened without a model")
	}
	for want, load := range map[string]func([]byte) (sdktest.Compute, error){
		"the model has no output " + scores:              model(3, "guess"),
		"the model has 3 scores, and there are 5 labels": model(3, scores),
	} {
		env := sdktest.New()
		env.RunModels(load)
		process, err := openMap(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process(picture(1, 2, 3)); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func snapshot(frame string) sdk.Data { return &sdk.Snapshot{Frame: sdk.Text(frame)} }

func TestAccumulate(t *testing.T) {
	bear, cat := snapshot(`{"object":{"result":"brown bear, bruin"}}`), snapshot(`{"object":{"result":"cat"}}`)
	for _, tt := range []struct {
		name, staged string
		batch        []sdk.Data
		want         string
	}{
		{"one", "", []sdk.Data{bear}, `{"object":{"result":"brown bear, bruin"}}`},
		{"each once, in the order of the first", "", []sdk.Data{cat, bear, cat, bear}, `{"object":{"result":"cat; brown bear, bruin"}}`},
		{"next batch", `{"object":{"result":"cat"}}`, []sdk.Data{bear}, `{"object":{"result":"cat; brown bear, bruin"}}`},
		{"next batch, all known", `{"object":{"result":"cat; brown bear, bruin"}}`, []sdk.Data{bear, cat}, `{"object":{"result":"cat; brown bear, bruin"}}`},
		{"staged is something else", `{"humidity":{}}`, []sdk.Data{cat}, `{"object":{"result":"cat"}}`},
	} {
		env := sdktest.New()
		process, err := openAccumulate(env.Host())
		if err != nil {
			t.Fatal(err)
		}
		staged := sdktest.Message("", tt.staged)
		staged.Timestamp.Secs = 10
		out, err := process(staged, tt.batch)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if m := out.(*sdk.Message); m.Payload.String() != tt.want || m.Timestamp.Secs != 10 {
			t.Errorf("%s: got %s at %v, want %s", tt.name, m.Payload, m.Timestamp, tt.want)
		}
		if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-snapshot/accumulate"}); got != 1 {
			t.Errorf("%s: %d requests were counted", tt.name, got)
		}
	}
}

func TestAccumulateErrors(t *testing.T) {
	empty := sdktest.Message("", "")
	for _, tt := range []struct {
		name          string
		staged, input sdk.Data
		want          string
	}{
		{"staged is a snapshot", &sdk.Snapshot{}, snapshot(`{"object":{"result":"cat"}}`), "Unexpected input type"},
		{"staged is no JSON", sdktest.Message("", "cat"), snapshot(`{"object":{"result":"cat"}}`), "the staged result is not a measurement: "},
		{"input is a message", empty, sdktest.Message("", `{"object":{"result":"cat"}}`), "Unexpected input type"},
		{"input is an image", empty, snapshot("\x00\x00"), "Failed to parse payload as JSON: "},
		{"input is a temperature", empty, snapshot(`{"temperature":{"unit":"C"}}`), "Unexpected measurement type."},
	} {
		process, err := openAccumulate(sdktest.New().Host())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process(tt.staged, []sdk.Data{tt.input}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
