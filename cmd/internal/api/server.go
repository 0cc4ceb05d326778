// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// ServerConfig is what a Server needs. Fields without a default are required.
type ServerConfig struct {
	Wanted  *wanted.Store
	Runtime Runtime
	History *history.History
	// Logger takes who changes and watches what. Default: nowhere.
	Logger *slog.Logger
	// Look is how often a watch looks for changes. Default 500 ms.
	Look time.Duration
	// Streams is how many watches, logs that are followed, and taps there may be at a time.
	// Default 64.
	Streams int
}

// Limits of requests.
const (
	MaxBody = 32 << 20 // bytes
	// patience is how long a client may take to send a body, or to take a piece of a stream.
	patience = 30 * time.Second
)

// Server answers. It is an http.Handler, to be put behind a Guard.
type Server struct {
	config  ServerConfig
	mux     *http.ServeMux
	streams chan struct{} // has one for each stream
}

// NewServer returns a Server.
func NewServer(config ServerConfig) *Server {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Look == 0 {
		config.Look = 500 * time.Millisecond
	}
	if config.Streams == 0 {
		config.Streams = 64
	}
	s := &Server{config: config, mux: http.NewServeMux(), streams: make(chan struct{}, config.Streams)}
	for _, root := range []string{coreRoot, groupRoot, strings.Replace(groupRoot, "/v1", "/v1beta1", 1)} {
		core := root == coreRoot
		objects := func(pattern string, do func(http.ResponseWriter, *http.Request, target) error) {
			method, path, _ := strings.Cut(pattern, " ")
			s.mux.HandleFunc(method+" "+root+path, func(w http.ResponseWriter, r *http.Request) {
				t, err := targetOf(r, core)
				if err == nil {
					err = do(w, r, t)
				}
				s.fail(w, r, err)
			})
		}
		objects("GET /{plural}", s.list)
		objects("GET /namespaces/{namespace}/{plural}", s.list)
		objects("GET /namespaces/{namespace}/{plural}/{name}", s.get)
		objects("DELETE /namespaces/{namespace}/{plural}/{name}", s.deleteOne)
		objects("GET /namespaces/{namespace}/{plural}/{name}/events", s.events)
		objects("GET /namespaces/{namespace}/{plural}/{name}/log", s.log)
		objects("GET /namespaces/{namespace}/{plural}/{name}/tap", s.tap)
	}
	s.mux.HandleFunc("POST "+groupRoot+"/apply", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, s.apply(w, r)) })
	s.mux.HandleFunc("POST "+groupRoot+"/delete", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, s.delete(w, r)) })
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &Fault{Code: http.StatusNotFound, Reason: "NotFound", Message: "there is nothing at this path, or not by this method"})
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// target is what a path names.
type target struct {
	kind            Kind
	namespace, name string // empty: all
}

func (t target) ref() wanted.Ref {
	return wanted.Ref{Kind: t.kind.Name, Namespace: t.namespace, Name: t.name}
}

// has reports whether the target is o, or o is among it.
func (t target) has(o *wanted.Object) bool {
	return o.Kind == t.kind.Name && (t.namespace == "" || o.Namespace == t.namespace) && (t.name == "" || o.Name == t.name)
}

func targetOf(r *http.Request, core bool) (target, error) {
	plural := r.PathValue("plural")
	i := slices.IndexFunc(Kinds(), func(k Kind) bool { return k.Plural == plural && k.Core == core })
	if i < 0 {
		return target{}, &Fault{Code: http.StatusNotFound, Reason: "NotFound", Message: fmt.Sprintf("there are no objects called %q here", plural)}
	}
	return target{Kinds()[i], r.PathValue("namespace"), r.PathValue("name")}, nil
}

// fail answers with an error, if there is one.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	f := faultOf(err)
	if f.Code == http.StatusInternalServerError {
		s.config.Logger.Error("request failed", "path", r.URL.Path, "error", err)
	}
	reply(w, f)
}

// faultOf returns an error as it is answered.
func faultOf(err error) *Fault {
	var f *Fault
	var faults *wanted.FaultError
	var file *wanted.FileError
	var missing *wanted.NotFoundError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &faults):
		return &Fault{Code: http.StatusUnprocessableEntity, Reason: "Invalid", Message: err.Error(), Problems: faults.Problems}
	case errors.As(err, &file):
		return &Fault{Code: http.StatusConflict, Reason: "Conflict", Message: err.Error()}
	case errors.As(err, &missing):
		return &Fault{Code: http.StatusNotFound, Reason: "NotFound", Message: err.Error()}
	case errors.Is(err, wanted.ErrEmpty), errors.Is(err, wanted.ErrPath):
		return &Fault{Code: http.StatusBadRequest, Reason: "BadRequest", Message: err.Error()}
	case errors.As(err, &large):
		return &Fault{Code: http.StatusRequestEntityTooLarge, Reason: "RequestEntityTooLarge", Message: fmt.Sprintf("a request has %d bytes at most", large.Limit)}
	}
	return &Fault{Code: http.StatusInternalServerError, Reason: "InternalError", Message: err.Error()}
}

// reply writes a Fault.
func reply(w http.ResponseWriter, f *Fault) {
	f.Kind = "Status"
	respond(w, f.Code, f)
}

// respond writes JSON. A client that has gone away is its own affair.
func respond(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
}

func badRequest(format string, args ...any) *Fault {
	return &Fault{Code: http.StatusBadRequest, Reason: "BadRequest", Message: fmt.Sprintf(format, args...)}
}

// decode reads the body of a request.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &Fault{Code: http.StatusUnsupportedMediaType, Reason: "UnsupportedMediaType", Message: "the request has to be application/json"}
	}
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(patience)) // recorders in tests have none
	defer func() { _ = deadline.SetReadDeadline(time.Time{}) }()
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		switch _, err = d.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			return badRequest("there is more than one request in the body")
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return badRequest("the body can't be read: %v", err)
}

func (s *Server) apply(w http.ResponseWriter, r *http.Request) error {
	var request ApplyRequest
	if err := decode(w, r, &request); err != nil {
		return err
	}
	var documents []wanted.Document
	for _, f := range request.Files {
		documents = append(documents, wanted.Document{Name: f.Name, Path: f.Path, Text: []byte(f.Text)})
	}
	changes, warnings, err := s.config.Wanted.Apply(documents, request.DryRun)
	if err != nil {
		return err
	}
	s.note(r, changes, request.DryRun)
	respond(w, http.StatusOK, Outcome{Items: changes, Warnings: warnings})
	return nil
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request) error {
	var request DeleteRequest
	if err := decode(w, r, &request); err != nil {
		return err
	}
	if len(request.Objects) == 0 {
		return wanted.ErrEmpty
	}
	return s.deleteAll(w, r, request.Objects, request.DryRun)
}

func (s *Server) deleteOne(w http.ResponseWriter, r *http.Request, t target) error {
	return s.deleteAll(w, r, []wanted.Ref{t.ref()}, false)
}

func (s *Server) deleteAll(w http.ResponseWriter, r *http.Request, refs []wanted.Ref, dry bool) error {
	changes, err := s.config.Wanted.Delete(refs, dry)
	if err != nil {
		return err
	}
	s.note(r, changes, dry)
	respond(w, http.StatusOK, Outcome{Items: changes})
	return nil
}

// note logs what a client has changed.
func (s *Server) note(r *http.Request, changes []wanted.Change, dry bool) {
	for _, c := range changes {
		if !dry && c.Action != wanted.Unchanged {
			s.config.Logger.Info("object "+string(c.Action), "object", c.Ref.String(), "client", r.RemoteAddr)
		}
	}
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, t target) error {
	if watch := r.FormValue("watch"); watch == "true" || watch == "1" {
		return s.watch(w, r, t)
	}
	list := List{Kind: "List", Items: s.objects(t)}
	if err := s.config.Wanted.Refused(); err != nil {
		list.Refused = err.Error()
	}
	respond(w, http.StatusOK, list)
	return nil
}

// one returns the object that t names.
func (s *Server) one(t target) (*Object, error) {
	all := s.objects(t)
	if len(all) == 1 {
		return all[0], nil
	}
	err := &wanted.NotFoundError{Ref: t.ref()}
	var names []string
	for _, o := range s.config.Wanted.Objects() {
		if (target{t.kind, t.namespace, ""}).has(o) {
			names = append(names, o.Name)
		}
	}
	if name, ok := nearest.Word(t.name, names); ok {
		return nil, &Fault{Code: http.StatusNotFound, Reason: "NotFound", Message: err.Error() + "; did you mean " + name + "?"}
	}
	return nil, err
}

func (s *Server) get(w http.ResponseWriter, _ *http.Request, t target) error {
	o, err := s.one(t)
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, o)
	return nil
}

// graph returns the key of the graph that t names.
func (s *Server) graph(t target) (resource.Key, error) {
	if _, err := s.one(t); err != nil {
		return resource.Key{}, err
	}
	if !t.kind.runs() {
		return resource.Key{}, badRequest("a %s doesn't run; name a DataflowGraph or a Dataflow", t.kind.Name)
	}
	return t.ref().Key(), nil
}

func (s *Server) events(w http.ResponseWriter, _ *http.Request, t target) error {
	key, err := s.graph(t)
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, Events{Kind: "EventList", Items: append([]history.Event{}, s.config.History.Events(key)...)})
	return nil
}

// shown returns an object as it is shown, without its status.
func shown(o *wanted.Object, set *resource.Set) *Object {
	var whole struct {
		Object
		Metadata struct {
			Labels, Annotations json.RawMessage
		} `json:"metadata"`
	}
	// It was checked when it was taken: what can't be read here is of no use to anybody.
	_ = json.Unmarshal(o.JSON, &whole)
	object := &Object{
		APIVersion: whole.APIVersion, Kind: o.Kind, Type: whole.Type, Spec: whole.Spec, Data: whole.Data, BinaryData: whole.BinaryData,
		Metadata: Metadata{
			Name: o.Name, Namespace: o.Namespace, Created: o.Since,
			Labels: whole.Metadata.Labels, Annotations: whole.Metadata.Annotations,
		},
	}
	if o.Kind == "Secret" {
		// Other programs keep copies of an object in its annotations.
		object.Metadata.Annotations, object.BinaryData = nil, nil
		sizes := map[string]string{}
		if secret := set.Secrets[o.Key()]; secret != nil {
			for key, data := range secret.Data {
				sizes[key] = "(" + strconv.Itoa(len(data)) + " bytes)"
			}
		}
		object.Data, _ = json.Marshal(sizes) // a map of strings can be
	}
	return object
}
