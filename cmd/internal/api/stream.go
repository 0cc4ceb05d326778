// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine/recording"
)

// begin begins a stream, unless there are too many. end is to be called after it.
func (s *Server) begin(w http.ResponseWriter, contentType string) (end func(), err error) {
	select {
	case s.streams <- struct{}{}:
	default:
		return nil, &Fault{Code: http.StatusTooManyRequests, Reason: "TooManyRequests", Message: "there are too many watches and taps already"}
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	return func() {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // of the next answer
		<-s.streams
	}, nil
}

// send writes a piece of a stream. A client that doesn't take it in time is cut off.
func send(w http.ResponseWriter, piece []byte) error {
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(patience)) // recorders in tests have none
	if _, err := w.Write(piece); err != nil {
		return err
	}
	return c.Flush()
}

// lines are the JSON of values, a line each.
type lines struct{ bytes.Buffer }

func (l *lines) add(v any) error {
	e := json.NewEncoder(l)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// watch streams the changes of objects. It compares what there is with what it has told, so
// that whoever reads slowly sees fewer changes, and always the last.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, t target) error {
	end, err := s.begin(w, "application/json; stream=watch")
	if err != nil {
		return err
	}
	defer end()
	type seen struct {
		object *Object
		form   string
	}
	told := map[wanted.Ref]seen{}
	looks := time.NewTicker(s.config.Look)
	defer looks.Stop()
	for first := true; ; first = false {
		var out lines
		now := s.objects(t)
		is := map[wanted.Ref]bool{}
		for _, o := range now {
			form, err := json.Marshal(withoutCounts(o))
			if err != nil {
				return nil // nobody could be told
			}
			ref := o.Ref()
			is[ref] = true
			change := Modified
			before, known := told[ref]
			switch {
			case !known:
				change = Added
			case before.form == string(form):
				continue
			}
			told[ref] = seen{o, string(form)}
			if err := out.add(Change{change, o}); err != nil {
				return nil
			}
		}
		for ref, before := range told {
			if !is[ref] {
				delete(told, ref)
				if err := out.add(Change{Deleted, before.object}); err != nil {
					return nil
				}
			}
		}
		if out.Len() > 0 || first {
			if send(w, out.Bytes()) != nil {
				return nil // the client has gone
			}
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-looks.C:
		}
	}
}

// withoutCounts returns o without what changes with every message.
func withoutCounts(o *Object) *Object {
	still, status := *o, *o.Status
	status.Messages, status.Operations = nil, nil
	still.Status = &status
	return &still
}

// log streams what was logged about a graph, and what will be if the client follows.
func (s *Server) log(w http.ResponseWriter, r *http.Request, t target) error {
	key, err := s.graph(t)
	if err != nil {
		return err
	}
	tail := -1
	if text := r.FormValue("tail"); text != "" {
		if tail, err = strconv.Atoi(text); err != nil || tail < 0 {
			return badRequest("tail can't be %q; it is a number of lines", text)
		}
	}
	var since time.Time
	if text := r.FormValue("since"); text != "" {
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return badRequest("since can't be %q; it is a time such as 2026-01-02T15:04:05Z", text)
		}
	}
	operation := r.FormValue("operation")
	end, err := s.begin(w, "application/jsonl")
	if err != nil {
		return err
	}
	defer end()
	var last uint64
	for first := true; ; first = false {
		found, more := s.config.History.Lines(key, last)
		var chosen []history.Line
		for _, l := range found {
			last = l.Number
			if (operation == "" || l.Operation == operation) && !l.Time.Before(since) {
				chosen = append(chosen, l)
			}
		}
		if first && tail >= 0 {
			chosen = chosen[max(0, len(chosen)-tail):]
		}
		var out lines
		for _, l := range chosen {
			if err := out.add(l); err != nil {
				return nil // nobody could be told
			}
		}
		if send(w, out.Bytes()) != nil || r.FormValue("follow") != "true" {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-more:
		}
	}
}

// mostSpooled is how much of a tap's recording waits for who reads it, in bytes. The
// graph waits for nobody: a tap that is read too slowly breaks off.
const mostSpooled = 64 << 20

// tap streams a recording of what comes to an operation of a running graph; without a node
// it is what comes from its sources. The recording goes on until the client has enough, and
// has its end only where the graph ends first.
func (s *Server) tap(w http.ResponseWriter, r *http.Request, t target) error {
	key, err := s.graph(t)
	if err != nil {
		return err
	}
	node, number := r.FormValue("node"), 0
	if text := r.FormValue("instance"); text != "" {
		if number, err = strconv.Atoi(text); err != nil {
			return badRequest("instance can't be %q; it is a number, from 0", text)
		}
	}
	g := s.config.Runtime.Graph(key, number)
	if g == nil {
		return &Fault{Code: http.StatusConflict, Reason: "Conflict", Message: fmt.Sprintf("instance %d of %s doesn't run now", number, t.ref())}
	}
	spool := &spool{more: make(chan struct{}, 1)}
	tap, err := recording.NewTap(spool, recording.TapConfig{
		Plan: g.Plan(), Operation: node, Of: strings.TrimSpace(key.String() + " " + node), Now: time.Now,
	})
	if err != nil {
		return &Fault{Code: http.StatusNotFound, Reason: "NotFound", Message: err.Error()}
	}
	end, err := s.begin(w, "application/octet-stream")
	if err != nil {
		return err
	}
	defer end()
	logger := s.config.Logger.With("graph", key.String())
	if number > 0 {
		logger = logger.With("instance", number)
	}
	logger = logger.With("node", node)
	stop := g.Watch(tap.Watch)
	logger.Info("tap begins", "client", r.RemoteAddr)
	err = spool.copyTo(w, r, g.Ended())
	stop()
	if err == nil { // the graph has ended
		if err = tap.Close(); err == nil {
			err = spool.flush(w)
		}
	}
	reason := "the graph has ended"
	switch {
	case r.Context().Err() != nil:
		reason = "the client has gone"
	case err != nil:
		reason = err.Error()
	}
	logger.Info("tap ends", "messages", tap.Messages(), "reason", reason)
	return nil
}

// spool is what a tap has written and nobody has read. A Write comes from the graph's
// goroutine, and never blocks.
type spool struct {
	more chan struct{} // has room for one signal

	mu      sync.Mutex
	waiting []byte // guarded by mu
	full    bool   // guarded by mu
}

var errSlow = errors.New("the client reads too slowly")

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	if s.full = s.full || len(s.waiting)+len(p) > mostSpooled; s.full {
		return 0, errSlow
	}
	s.waiting = append(s.waiting, p...)
	return len(p), nil
}

// flush writes what waits to the client.
func (s *spool) flush(w http.ResponseWriter) error {
	s.mu.Lock()
	chunk, full := s.waiting, s.full
	s.waiting = nil
	s.mu.Unlock()
	if err := send(w, chunk); err != nil {
		return err
	}
	if full {
		return errSlow
	}
	return nil
}

// copyTo writes to the client until the graph has ended: then it returns nil.
func (s *spool) copyTo(w http.ResponseWriter, r *http.Request, ended <-chan struct{}) error {
	for {
		select {
		case <-r.Context().Done():
			select {
			case <-ended: // and so did graphd
				return nil
			default:
				return r.Context().Err()
			}
		case <-ended:
			return nil
		case <-s.more:
			if err := s.flush(w); err != nil {
				return err
			}
		}
	}
}
