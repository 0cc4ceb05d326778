// SPDX-License-Identifier: Apache-2.0

package processor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/purego"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/operators/build"
)

// refusing is a backend that has no use for any model.
type refusing struct{}

func (refusing) Load(context.Context, [][]byte, nn.Encoding, nn.Target) (nn.Model, error) {
	return nil, nn.Errorf(nn.UnsupportedOperation, `node "x": nothing is supported`)
}

// stuck is a backend whose models compute until they are stopped.
type stuck struct{ nn.Backend }

func (s stuck) Load(ctx context.Context, parts [][]byte, e nn.Encoding, t nn.Target) (nn.Model, error) {
	m, err := s.Backend.Load(ctx, parts, e, t)
	return stuckModel{m}, err
}

type stuckModel struct{ nn.Model }

func (stuckModel) Compute(ctx context.Context, _ []nn.Named) ([]nn.Named, error) {
	<-ctx.Done()
	return nil, nn.Done(ctx)
}

// TestNeuralNetworks: the operator snapshot loads its model when it is opened, and
// computes with it.
func TestNeuralNetworks(t *testing.T) {
	built, err := build.Operator(t.Context(), "../../operators/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	m, err := processor.Load(t.Context(), newRuntime(t), "snapshot", built.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	start := func(env processor.Environment) (operator.Instance, error) {
		log.Reset()
		env.Logger = slog.New(slog.NewTextHandler(&log, nil))
		return m.Opener(operator.Config{Graph: "g", Operation: "module-snapshot/map", Kind: operator.Map}, env).Open(t.Context())
	}
	image := &message.Message{Kind: message.Snapshot, Format: "rgb24", Width: 224, Height: 224, Payload: make([]byte, 224*224*3)}

	if _, err := start(processor.Environment{}); !errors.Is(err, processor.ErrNoNN) || !strings.Contains(err.Error(), "module-snapshot/map") {
		t.Errorf("without a backend: %v", err)
	}
	_, err = start(processor.Environment{NN: refusing{}})
	if !errors.Is(err, operator.ErrInit) || !strings.Contains(err.Error(), "nothing is supported") || !strings.Contains(log.String(), "nothing is supported") {
		t.Errorf("with a model that is not supported: %v; the log says %s", err, log.String())
	}

	i, err := start(processor.Environment{NN: stuck{purego.New(purego.Config{})}, Deadline: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Map(t.Context(), image); err == nil {
		t.Error("a computation without end ended")
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}

	i, err = start(processor.Environment{NN: purego.New(purego.Config{}), Deadline: time.Minute})
	if err != nil {
		t.Fatalf("%v; the log says %s", err, log.String())
	}
	for range 20 { // as often as nothing piles up
		out, err := i.Map(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if out.Kind != message.Snapshot || !strings.HasPrefix(string(out.Payload), `{"object":{"result":"`) {
			t.Fatalf("a black image became %+v", out)
		}
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
}
