// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/resource"
)

// mostSpooled is how much of a tap's recording waits for who reads it, in bytes. The
// graph waits for nobody: a tap that is read too slowly breaks off.
const mostSpooled = 64 << 20

// taps serves recordings of what comes to an operation of a running graph.
//
//	GET /tap?graph=[NAMESPACE/]NAME&node=OPERATION&instance=NUMBER
//
// Without a node it is what comes from the graph's sources; without an instance it is
// number 0, the only one of most graphs. The recording goes on until
// the client has enough, and has its end only where the graph ends first.
type taps struct {
	deployment *deploy.Deployment
	logger     *slog.Logger
}

// ServeHTTP implements http.Handler.
func (t *taps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !local(r) {
		http.Error(w, "messages are shown to this machine only: come from a loopback address, and by it or as localhost", http.StatusForbidden)
		return
	}
	name, node := r.FormValue("graph"), r.FormValue("node")
	key := resource.Key{Namespace: resource.DefaultNamespace, Name: name}
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		key = resource.Key{Namespace: namespace, Name: rest}
	}
	number, err := strconv.Atoi(cmp.Or(r.FormValue("instance"), "0"))
	if err != nil {
		http.Error(w, "instance is no number: "+err.Error(), http.StatusBadRequest)
		return
	}
	g := t.deployment.Graph(key, number)
	if g == nil {
		text := fmt.Sprintf("no graph %s runs", key)
		separator := "; there is "
		for _, s := range t.deployment.Status() {
			if s.Runs() {
				text += separator + s.Key.String()
				separator = ", "
			}
		}
		http.Error(w, text, http.StatusNotFound)
		return
	}
	s := &spool{more: make(chan struct{}, 1)}
	tap, err := recording.NewTap(s, recording.TapConfig{
		Plan: g.Plan(), Operation: node, Of: strings.TrimSpace(key.String() + " " + node), Now: time.Now,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	logger := t.logger.With("graph", key.String(), "node", node)
	logger.Info("tap begins", "client", r.RemoteAddr)
	stop := g.Watch(tap.Watch)
	err = s.copyTo(w, r, g.Ended())
	stop()
	if err == nil { // the graph has ended
		if err = tap.Close(); err == nil {
			err = s.flush(w)
		}
	}
	logger.Info("tap ends", "messages", tap.Messages(), "reason", err)
}

// local reports whether a request comes from this machine, and not from a page in its
// browser that has another name for it.
func local(r *http.Request) bool {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	to, _, toErr := net.SplitHostPort(r.Host)
	if toErr != nil {
		to = r.Host
	}
	return err == nil && net.ParseIP(from).IsLoopback() && (to == "localhost" || net.ParseIP(to) != nil)
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
	if _, err := w.Write(chunk); err != nil {
		return err
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	if full {
		return errSlow
	}
	return nil
}

// copyTo writes to the client until the graph has ended: then it returns nil.
func (s *spool) copyTo(w http.ResponseWriter, r *http.Request, ended <-chan struct{}) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	for {
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-ended:
			return nil
		case <-s.more:
			if err := s.flush(w); err != nil {
				return err
			}
		}
	}
}
