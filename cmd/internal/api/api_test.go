// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	root     = "/apis/connectivity.iotoperations.azure.com/v1"
	coreRoot = "/api/v1"
	password = "cGFzc3dvcmQ=" // of the Secret in objects, "password" in base64
)

// objects is what is applied: a flow with its endpoint and a Secret.
const objects = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: broker, annotations: {graphd.io/credentials: login}}
spec: {endpointType: Mqtt, mqttSettings: {host: "b:1883", authentication: {method: Anonymous}}}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: flow, labels: {a: b}}
spec:
  operations:
  - {operationType: Source, sourceSettings: {endpointRef: broker, dataSources: [in]}}
  - {operationType: Destination, destinationSettings: {endpointRef: broker, dataDestination: out}}
---
apiVersion: v1
kind: Secret
metadata: {name: login, annotations: {kubectl.kubernetes.io/last-applied-configuration: "cGFzc3dvcmQ="}}
data: {username: cGFzc3dvcmQ=}
stringData: {password: "password"}
`

// stage is a server, what it serves, and a client.
type stage struct {
	*api.Client
	url     string
	store   *wanted.Store
	history *history.History
	logger  *slog.Logger
	http    *http.Client

	mu  sync.Mutex
	ill string // reason code of what is wrong with every graph
}

// newStage serves graphs that do nothing.
func newStage(t *testing.T, config api.ServerConfig) *stage {
	t.Helper()
	s := &stage{history: history.New(time.Now), http: &http.Client{Transport: &http.Transport{}}}
	s.logger = slog.New(s.history.Handler(slog.NewTextHandler(io.Discard, nil)))
	var err error
	if s.store, _, err = wanted.Open(wanted.Config{File: filepath.Join(t.TempDir(), "applied.yaml")}); err != nil {
		t.Fatal(err)
	}
	d := deploy.New(deploy.Config{Events: s.history.Tell, Launch: func(ctx context.Context, _ *deploy.Want, up func(func() engine.Health, *engine.Graph)) error {
		up(func() engine.Health {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.ill != "" {
				return engine.Health{State: engine.Degraded, Reason: s.ill}
			}
			return engine.Health{State: engine.Available}
		}, nil)
		<-ctx.Done()
		return nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	sets := make(chan *resource.Set)
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx, sets) })
	running.Go(func() {
		for {
			select {
			case <-s.store.Changed():
				select {
				case sets <- s.store.Set():
				case <-ctx.Done():
				}
			case <-ctx.Done():
				return
			}
		}
	})
	config.Wanted, config.Runtime, config.History, config.Look = s.store, d, s.history, 5*time.Millisecond
	server := httptest.NewServer((&api.Guard{}).Protect(api.NewServer(config)))
	s.url = server.URL
	if s.Client, err = api.NewClient(api.ClientConfig{Server: server.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		s.http.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
		cancel()
		running.Wait()
	})
	return s
}

func (s *stage) apply(t *testing.T, text string) *api.Outcome {
	t.Helper()
	o, err := s.Apply(t.Context(), api.ApplyRequest{Files: []api.ApplyFile{{Name: "f.yaml", Path: "/f.yaml", Text: text}}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// get returns the body of an answer.
func (s *stage) get(t *testing.T, path string, code int) string {
	t.Helper()
	response, err := s.http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != code {
		t.Errorf("GET %s: %s %s (%v), want %d", path, response.Status, text, err, code)
	}
	return string(text)
}

func kind(t *testing.T, name string) api.Kind {
	t.Helper()
	k, ok := api.FindKind(name)
	if !ok {
		t.Fatalf("there is no kind %s", name)
	}
	return k
}

func TestObjects(t *testing.T) {
	s := newStage(t, api.ServerConfig{})
	o := s.apply(t, objects)
	if len(o.Items) != 3 || o.Items[1] != (wanted.Change{Ref: wanted.Ref{Kind: "Dataflow", Namespace: "azure-iot-operations", Name: "flow"}, Action: wanted.Created}) {
		t.Errorf("applied %v", o.Items)
	}
	flow := kind(t, "df")
	var f *api.Object
	for f == nil || !f.Status.Ready {
		var err error
		if f, err = s.Get(t.Context(), flow, "azure-iot-operations", "flow"); err != nil {
			t.Fatal(err)
		}
	}
	if f.Status.Health.State != "Available" || f.Status.Source != "/f.yaml" || !f.Status.Applied || !strings.HasPrefix(string(f.Spec), `{"operations":[{"operationType":"Source"`) || string(f.Metadata.Labels) != `{"a":"b"}` {
		t.Errorf("flow is %+v", f)
	}
	list, err := s.List(t.Context(), kind(t, "endpoints"), "")
	if err != nil || len(list.Items) != 1 || !cmp.Equal(list.Items[0].Status.UsedBy, []string{"flow"}) {
		t.Errorf("endpoints are %+v (%v)", list, err)
	}
	if list, err = s.List(t.Context(), flow, "elsewhere"); err != nil || len(list.Items) != 0 {
		t.Errorf("elsewhere is %+v (%v)", list, err)
	}
	events, err := s.Events(t.Context(), flow, "azure-iot-operations", "flow")
	if err != nil || len(events) == 0 || events[0].Reason != "Available" {
		t.Errorf("events are %+v (%v)", events, err)
	}

	// The Secret's data come in, and never go out.
	secret, err := s.Get(t.Context(), kind(t, "secret"), "azure-iot-operations", "login")
	if err != nil || string(secret.Data) != `{"password":"(8 bytes)","username":"(8 bytes)"}` || secret.Status.UsedBy == nil {
		t.Errorf("the Secret is %+v (%v)", secret, err)
	}
	for _, k := range api.Kinds() {
		path := root
		if k.Core {
			path = coreRoot
		}
		for _, text := range []string{s.get(t, path+"/"+k.Plural, 200), s.get(t, path+"/namespaces/azure-iot-operations/"+k.Plural, 200)} {
			if strings.Contains(text, password) || strings.Contains(text, `"password":"password"`) {
				t.Errorf("%s shows the password: %s", k.Plural, text)
			}
		}
	}

	// What something refers to stays; then all goes.
	_, err = s.Delete(t.Context(), api.DeleteRequest{Objects: []wanted.Ref{{Kind: "DataflowEndpoint", Namespace: "azure-iot-operations", Name: "broker"}}})
	var fault *api.Fault
	if !errors.As(err, &fault) || fault.Code != http.StatusUnprocessableEntity || len(fault.Problems) != 1 || !strings.Contains(fault.Problems[0].Message, "Dataflow flow would be left with a fault") {
		t.Errorf("what is used is deleted: %v", err)
	}
	out, err := s.Delete(t.Context(), api.DeleteRequest{Objects: []wanted.Ref{o.Items[0].Ref, o.Items[1].Ref}})
	if err != nil || len(out.Items) != 2 {
		t.Errorf("deleted %v (%v)", out, err)
	}
	request, err := http.NewRequest(http.MethodDelete, s.url+coreRoot+"/namespaces/azure-iot-operations/secrets/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.http.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v (%v)", response, err)
	}
	response.Body.Close()
	if n := len(s.store.Objects()); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

func TestWatch(t *testing.T) {
	s := newStage(t, api.ServerConfig{})
	s.apply(t, objects)
	ctx, cancel := context.WithCancel(t.Context())
	var seen []string
	enough := errors.New("enough")
	err := s.Watch(ctx, kind(t, "dataflow"), "", func(c api.Change) error {
		state := "nothing"
		if h := c.Object.Status.Health; h != nil {
			state = h.State
		}
		seen = append(seen, string(c.Type)+" "+state)
		switch {
		case c.Type == api.Deleted:
			return enough
		case state == "Available" && c.Object.Status.Ready:
			s.mu.Lock()
			s.ill = "DataflowGraphProcessingFailed"
			s.mu.Unlock()
		case state == "Degraded":
			_, err := s.Delete(ctx, api.DeleteRequest{Objects: []wanted.Ref{c.Object.Ref()}})
			return err
		}
		return nil
	})
	cancel()
	if !errors.Is(err, enough) || !strings.HasPrefix(seen[0], "ADDED") || seen[len(seen)-2] != "MODIFIED Degraded" || seen[len(seen)-1] != "DELETED Degraded" {
		t.Errorf("%v: %q", err, seen)
	}
}

func TestLog(t *testing.T) {
	s := newStage(t, api.ServerConfig{})
	s.apply(t, objects)
	for n := range 3 {
		s.logger.Info("line", "graph", "flow", "operation", fmt.Sprint("op", n), "n", n)
	}
	flow := kind(t, "dataflow")
	read := func(options api.LogOptions) []string {
		t.Helper()
		var texts []string
		err := s.Log(t.Context(), flow, "azure-iot-operations", "flow", options, func(l history.Line) error {
			texts = append(texts, l.Text)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return texts
	}
	for _, tt := range []struct {
		options api.LogOptions
		want    string
	}{
		{api.LogOptions{Tail: -1}, "[line n=0 line n=1 line n=2]"},
		{api.LogOptions{Tail: 2}, "[line n=1 line n=2]"},
		{api.LogOptions{Tail: 0}, "[]"},
		{api.LogOptions{Tail: -1, Operation: "op1"}, "[line n=1]"},
		{api.LogOptions{Tail: -1, Since: time.Now().Add(time.Hour)}, "[]"},
	} {
		if got := fmt.Sprint(read(tt.options)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.options, got, tt.want)
		}
	}
	enough := errors.New("enough")
	var got []string
	err := s.Log(t.Context(), flow, "azure-iot-operations", "flow", api.LogOptions{Follow: true, Tail: 1}, func(l history.Line) error {
		if got = append(got, l.Text); len(got) == 1 {
			s.logger.Warn("later", "graph", "flow")
			return nil
		}
		return enough
	})
	if !errors.Is(err, enough) || fmt.Sprint(got) != "[line n=2 later]" {
		t.Errorf("followed %q (%v)", got, err)
	}
}

// TestStreams: there is a bound, and room again after the end of one.
func TestStreams(t *testing.T) {
	s := newStage(t, api.ServerConfig{Streams: 1})
	s.apply(t, objects)
	err := s.Watch(t.Context(), kind(t, "dataflow"), "", func(api.Change) error {
		s.get(t, root+"/dataflows?watch=1", http.StatusTooManyRequests)
		s.get(t, root+"/dataflows", http.StatusOK)
		return io.ErrUnexpectedEOF
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	for again := true; again; {
		err := s.Log(t.Context(), kind(t, "dataflow"), "azure-iot-operations", "flow", api.LogOptions{Tail: -1}, func(history.Line) error { return nil })
		var f *api.Fault
		if again = errors.As(err, &f) && f.Code == http.StatusTooManyRequests; err != nil && !again {
			t.Error(err)
		}
	}
}

// TestHostile sends what no client of ours would.
func TestHostile(t *testing.T) {
	s := newStage(t, api.ServerConfig{})
	s.apply(t, objects)
	before := len(s.store.Objects())
	const flows = root + "/namespaces/azure-iot-operations/dataflows"
	for _, tt := range []struct {
		name, method, path, body string
		header                   [2]string
		code                     int
		want                     string
	}{
		{"nowhere", "GET", "/api", "", [2]string{}, 404, "nothing at this path"},
		{"out of it", "GET", flows + "/..%2f..%2fsecrets", "", [2]string{}, 404, "there is no Dataflow"},
		{"no such kind", "GET", root + "/pods", "", [2]string{}, 404, `called \"pods\"`},
		{"a core kind in the group", "GET", root + "/secrets", "", [2]string{}, 404, "secrets"},
		{"no such object", "GET", flows + "/flop", "", [2]string{}, 404, "did you mean flow?"},
		{"a method that isn't there", "PUT", flows + "/flow", "{}", [2]string{}, 404, "by this method"},
		{"the log of what doesn't run", "GET", root + "/namespaces/azure-iot-operations/dataflowendpoints/broker/log", "", [2]string{}, 400, "doesn't run"},
		{"a tail of letters", "GET", flows + "/flow/log?tail=x", "", [2]string{}, 400, "tail"},
		{"a negative tail", "GET", flows + "/flow/log?tail=-1", "", [2]string{}, 400, "tail"},
		{"no time", "GET", flows + "/flow/log?since=yesterday", "", [2]string{}, 400, "since"},
		{"no number", "GET", flows + "/flow/tap?instance=x", "", [2]string{}, 400, "instance"},
		{"nothing runs", "GET", flows + "/flow/tap?instance=7", "", [2]string{}, 409, "doesn't run now"},
		{"no type", "POST", root + "/apply", "{}", [2]string{}, 415, "application/json"},
		{"a form", "POST", root + "/apply", "{}", [2]string{"Content-Type", "text/plain"}, 415, "application/json"},
		{"nothing", "POST", root + "/apply", "", [2]string{"Content-Type", "application/json"}, 400, "body"},
		{"no JSON", "POST", root + "/apply", "files: []", [2]string{"Content-Type", "application/json"}, 400, "body"},
		{"an unknown field", "POST", root + "/apply", `{"prune": true}`, [2]string{"Content-Type", "application/json"}, 400, "prune"},
		{"two requests", "POST", root + "/apply", `{}{}`, [2]string{"Content-Type", "application/json"}, 400, "more than one"},
		{"no files", "POST", root + "/apply", `{}`, [2]string{"Content-Type", "application/json"}, 400, "no object"},
		{"a relative path", "POST", root + "/apply", `{"files": [{"name": "f", "path": "f", "text": ""}]}`, [2]string{"Content-Type", "application/json"}, 400, "not absolute"},
		{"too much", "POST", root + "/apply", `{"files": [{"text": "` + strings.Repeat("x", api.MaxBody) + `"}]}`, [2]string{"Content-Type", "application/json"}, 413, "bytes at most"},
		{"a bomb", "POST", root + "/apply", `{"files": [{"name": "f", "path": "/f", "text": "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\nkind: Secret\napiVersion: v1\nmetadata: {name: x, namespace: n, labels: [*f,*f,*f,*f]}\n"}]}`, [2]string{"Content-Type", "application/json"}, 422, "f:"},
		{"nothing to delete", "POST", root + "/delete", `{}`, [2]string{"Content-Type", "application/json"}, 400, "no object"},
		{"what isn't there", "POST", root + "/delete", `{"objects": [{"kind": "Secret", "namespace": "n", "name": "x"}]}`, [2]string{"Content-Type", "application/json"}, 404, "there is no Secret n/x"},
		{"from a page", "DELETE", flows + "/flow", "", [2]string{"Origin", "https://page.example"}, 403, "web pages"},
		{"from a page without a name", "GET", flows, "", [2]string{"Origin", "null"}, 403, "web pages"},
		{"from an image", "GET", flows, "", [2]string{"Sec-Fetch-Site", "cross-site"}, 403, "web pages"},
		{"by another name", "GET", flows, "", [2]string{"Host", "page.example"}, 403, "only this machine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, err := http.NewRequest(tt.method, s.url+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.header[0] == "Host" {
				request.Host = tt.header[1]
			} else if tt.header[0] != "" {
				request.Header.Set(tt.header[0], tt.header[1])
			}
			response, err := s.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			var f api.Fault
			if err != nil || response.StatusCode != tt.code || !strings.Contains(string(text), tt.want) || json.Unmarshal(text, &f) != nil || f.Kind != "Status" || f.Code != tt.code || f.Reason == "" {
				t.Errorf("%s %s (%v), want %d %s", response.Status, text, err, tt.code, tt.want)
			}
		})
	}
	if n := len(s.store.Objects()); n != before {
		t.Errorf("%d objects are %d", before, n)
	}
}

// FuzzBody: whatever is sent, the answer is sound, and nobody's fault but the sender's.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"files": [{"name": "f", "path": "/f", "text": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"}], "dryRun": true}`))
	f.Add([]byte(`{"objects": [{"kind": "Secret", "namespace": "n", "name": "s"}]}`))
	store, _, err := wanted.Open(wanted.Config{File: filepath.Join(f.TempDir(), "applied.yaml")})
	if err != nil {
		f.Fatal(err)
	}
	server := api.NewServer(api.ServerConfig{Wanted: store, Runtime: deploy.New(deploy.Config{}), History: history.New(time.Now)})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/apply", "/delete"} {
			r := httptest.NewRequest(http.MethodPost, root+path, strings.NewReader(string(body)))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
				t.Fatalf("%s %q: %d %s", path, body, w.Code, w.Body)
			}
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, coreRoot+"/secrets", nil))
		if !json.Valid(w.Body.Bytes()) || w.Code != http.StatusOK {
			t.Fatalf("after %q: %d %s", body, w.Code, w.Body)
		}
	})
}

// TestFindKind: kinds go by several names.
func TestFindKind(t *testing.T) {
	for name, want := range map[string]string{
		"DataflowGraph": "DataflowGraph", "dataflowgraphs": "DataflowGraph", "graph": "DataflowGraph", "GRAPHS": "DataflowGraph",
		"dataflow": "Dataflow", "df": "Dataflow", "endpoints": "DataflowEndpoint", "registry": "RegistryEndpoint", "profile": "DataflowProfile",
		"cm": "ConfigMap", "secrets": "Secret", "pod": "", "": "", "s": "",
	} {
		if k, ok := api.FindKind(name); k.Name != want || ok != (want != "") {
			t.Errorf("%q is %q", name, k.Name)
		}
	}
}

func TestClientConfig(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		config api.ClientConfig
		want   string // server, or what is wrong
	}{
		{api.ClientConfig{}, "http://127.0.0.1:9600"},
		{api.ClientConfig{Server: "localhost:1"}, "http://localhost:1"},
		{api.ClientConfig{Server: "[::1]:1"}, "http://[::1]:1"},
		{api.ClientConfig{Server: "factory:9600"}, "https://factory:9600"},
		{api.ClientConfig{Server: "http://factory:9600/"}, "http://factory:9600"},
		{api.ClientConfig{Server: "http://factory:9600", TokenFile: token}, "the token would go to http://factory:9600 for everybody to see"},
		{api.ClientConfig{Server: "http://localhost:9600", TokenFile: token}, "http://localhost:9600"},
		{api.ClientConfig{Server: "ftp://factory"}, "write HOST:PORT"},
		{api.ClientConfig{Server: "https://factory/path"}, "write HOST:PORT"},
		{api.ClientConfig{Server: "https://me:secret@factory"}, "write HOST:PORT"},
		{api.ClientConfig{Server: "factory:1", CA: token}, "has no certificate in PEM"},
		{api.ClientConfig{Server: "factory:1", TokenFile: token + "x"}, "no such file"},
	} {
		c, err := api.NewClient(tt.config)
		switch {
		case err != nil && !strings.Contains(err.Error(), tt.want):
			t.Errorf("%+v: %v, want %s", tt.config, err, tt.want)
		case err == nil && c.Server() != tt.want:
			t.Errorf("%+v: %s, want %s", tt.config, c.Server(), tt.want)
		}
	}
}
