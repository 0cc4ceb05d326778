// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/recording"
)

// openTap opens the tap that the flags name, until ctx ends.
func (f *recordFlags) openTap(ctx context.Context) (*recording.Player, error) {
	client, err := f.graphd.client()
	if err != nil {
		return nil, err
	}
	namespace, name := f.namespace, f.graph
	if before, after, ok := strings.Cut(f.graph, "/"); ok {
		namespace, name = before, after
	}
	kind, err := client.FindGraph(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return client.Tap(ctx, kind, namespace, name, 0, f.tap)
}

// copyTap writes what comes from a tap until ctx ends, there is enough, or the graph has
// ended. What is written has an end in any case.
func (f *recordFlags) copyTap(ctx context.Context, from *recording.Player, out io.Writer, recorded *atomic.Uint64) (err error) {
	r, err := recording.NewRecorder(out, from.Header())
	if err != nil {
		return err
	}
	last := from.Header().Began
	defer func() { err = errors.Join(err, r.Close(last)) }()
	for f.count == 0 || recorded.Load() < f.count {
		m, err := from.Next()
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		last = m.At
		if m.Message == nil {
			err = r.Frontier(m.At, m.Frontier)
		} else if err = r.Message(m.At, m.Source, m.Message); err == nil {
			recorded.Add(1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
