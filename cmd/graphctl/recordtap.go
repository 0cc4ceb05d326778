// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/wasm-graph/graphd/engine/recording"
)

// openTap opens the tap that the flags name, until ctx ends.
func (f *recordFlags) openTap(ctx context.Context) (*recording.Player, error) {
	query := url.Values{"graph": {f.graph}, "node": {f.tap}}
	address := "http://" + strings.TrimSuffix(strings.TrimPrefix(f.graphd, "http://"), "/") + "/tap?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return nil, errors.Join(fmt.Errorf("graphd at %s answers %s: %s", f.graphd, response.Status, strings.TrimSpace(string(text))), err, response.Body.Close())
	}
	p, err := recording.NewPlayer(f.graphd, response.Body)
	if err != nil {
		return nil, errors.Join(err, response.Body.Close())
	}
	return p, nil
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
