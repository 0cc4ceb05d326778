// SPDX-License-Identifier: Apache-2.0

package wanted_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine/resource"
)

const broker = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: broker}
spec: {endpointType: Mqtt, mqttSettings: {host: "b:1883", authentication: {method: Anonymous}}}
`

func flow(name, to string) string {
	return fmt.Sprintf(`apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: %s}
spec:
  operations: # a comment that is kept
  - {operationType: Source, sourceSettings: {endpointRef: broker, dataSources: [in]}}
  - {operationType: Destination, destinationSettings: {endpointRef: broker, dataDestination: %s}}
`, name, to)
}

const registry = `{"apiVersion": "connectivity.iotoperations.azure.com/v1", "kind": "RegistryEndpoint",
 "metadata": {"name": "near", "namespace": "plant"}, "spec": {"host": "file://artifacts"}}`

// stage is a store with its files.
type stage struct {
	*wanted.Store
	t    *testing.T
	dir  string // given with -f
	file string // of what is applied
	now  time.Time
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), file: filepath.Join(t.TempDir(), "data", "applied.yaml"), now: time.Unix(1_000_000, 0).UTC()}
	s.write("a.yaml", broker)
	s.open()
	return s
}

func (s *stage) open() {
	s.t.Helper()
	var err error
	s.Store, _, err = wanted.Open(wanted.Config{Paths: []string{s.dir}, File: s.file, Now: func() time.Time { return s.now }})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func doc(texts ...string) []wanted.Document {
	return []wanted.Document{{Name: "given.yaml", Path: "/home/me/given.yaml", Text: []byte(strings.Join(texts, "---\n"))}}
}

// is checks what is wanted, as "KIND NAMESPACE/NAME FILE".
func (s *stage) is(want ...string) {
	s.t.Helper()
	var got []string
	for _, o := range s.Objects() {
		got = append(got, fmt.Sprintf("%s %s/%s %s", o.Kind, o.Namespace, o.Name, filepath.Base(o.File)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("-want +got\n%s", diff)
	}
}

// apply checks what applying does, as "NAME ACTION".
func (s *stage) apply(documents []wanted.Document, want ...string) {
	s.t.Helper()
	changes, _, err := s.Apply(documents, false)
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.Name+" "+string(c.Action))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("-want +got\n%s", diff)
	}
}

// changed reports whether the store has said that something else is wanted.
func (s *stage) changed() bool {
	select {
	case <-s.Changed():
		return true
	default:
		return false
	}
}

const inFile = "DataflowEndpoint azure-iot-operations/broker a.yaml"

func TestApply(t *testing.T) {
	s := newStage(t)
	if s.changed() {
		t.Error("what was there from the beginning is no change")
	}
	s.apply(doc(flow("one", "out"), flow("two", "out"), registry), "one created", "two created", "near created")
	all := []string{
		"Dataflow azure-iot-operations/one given.yaml", "Dataflow azure-iot-operations/two given.yaml", inFile,
		"RegistryEndpoint plant/near given.yaml",
	}
	s.is(all...)
	if !s.changed() || s.Set().Graphs[resource.Key{Namespace: resource.DefaultNamespace, Name: "two"}] == nil {
		t.Error("it is not wanted")
	}
	s.now = s.now.Add(time.Hour)
	s.apply(doc(flow("one", "out"), flow("two", "elsewhere")), "one unchanged", "two configured")
	if !s.changed() {
		t.Error("the change is not told")
	}
	s.apply(doc(flow("two", "elsewhere")), "two unchanged")
	if s.changed() {
		t.Error("nothing has changed")
	}

	// The same in another folder is something else: relative paths are relative to it.
	s.apply(doc(registry), "near unchanged")
	s.apply([]wanted.Document{{Name: "g", Path: "/elsewhere/g", Text: []byte(registry)}}, "near configured")
	near := func() string {
		return s.Set().Registries[resource.Key{Namespace: "plant", Name: "near"}].Dir
	}
	if near() != "/elsewhere" {
		t.Errorf("relative paths are relative to %s", near())
	}

	// It is there after a restart, to the letter, with its times, and as its owner's only.
	info, err := os.Stat(s.file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	kept, err := os.ReadFile(s.file)
	if err != nil || !strings.Contains(string(kept), flow("two", "elsewhere")) || !strings.Contains(string(kept), registry) {
		t.Errorf("kept\n%s(%v)", kept, err)
	}
	before := s.Objects()
	s.open()
	all[3] = "RegistryEndpoint plant/near g"
	s.is(all...)
	for i, o := range s.Objects() {
		if o.Applied && (!o.Since.Equal(before[i].Since) || string(o.JSON) != string(before[i].JSON)) {
			t.Errorf("%s was applied at %v as %s, and is of %v as %s after a restart", o.Name, before[i].Since, before[i].JSON, o.Since, o.JSON)
		}
	}
	if near() != "/elsewhere" {
		t.Errorf("relative paths are relative to %s after a restart", near())
	}
	s.apply(doc(flow("one", "out"), flow("two", "elsewhere")), "one unchanged", "two unchanged")

	// Nothing else is in the folder: what was written on the way is gone.
	entries, err := os.ReadDir(filepath.Dir(s.file))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v are left (%v)", entries, err)
	}
}

// TestRefused: what has faults changes nothing, on disk neither.
func TestRefused(t *testing.T) {
	s := newStage(t)
	s.apply(doc(flow("one", "out")), "one created")
	s.changed()
	kept, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	own := func(text string) []wanted.Document { return doc(text) }
	for _, tt := range []struct {
		name string
		docs []wanted.Document
		want string
	}{
		{"a fault", own(flow("two", "out") + "---\n" + strings.Replace(flow("three", "out"), "operations:", "operatons:", 1)), "given.yaml:13:3: unknown property spec.operatons; did you mean operations?"},
		{"a reference to nothing", own(strings.Replace(flow("two", "out"), "endpointRef: broker", "endpointRef: brokr", 1)), `given.yaml:6:59: there is no DataflowEndpoint "brokr"`},
		{"an option", own(strings.Replace(flow("two", "out"), "{name: two}", "{name: two, annotations: {graphd.io/deadline: long}}", 1)), "given.yaml:3:"},
		{"twice the same", own(flow("two", "out") + "---\n" + flow("two", "in2")), "already declared in given.yaml:1:1"},
		{"no YAML", own("a: [\n"), "given.yaml:"},
		{"a tab", own(broker + "---\n\ta: b"), "given.yaml:"},
		{"no name", own("apiVersion: v1\nkind: Secret\nmetadata: {}\n"), "metadata.name is missing"},
		{"no kind", own("apiVersion: v1\nmetadata: {name: a}\n"), "kind"},
		{"unknown kind", own("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"), `unknown kind "Pod"`},
		{"documents without a line between", own(broker + "...\n" + broker), "given.yaml:5:1: not valid YAML"},
		{"nothing", own("# nothing\n"), wanted.ErrEmpty.Error()},
		{"in a file", own(strings.Replace(broker, "b:1883", "c:1883", 1)), "DataflowEndpoint broker is declared in " + filepath.Join(s.dir, "a.yaml") + ", which graphd reads: change it there"},
		{"of nowhere", []wanted.Document{{Name: "x", Path: "x", Text: []byte(flow("two", "out"))}}, `the path of what is to be applied is not absolute: "x"`},
		{"a path of lines", []wanted.Document{{Name: "x", Path: "/x\n---\n", Text: []byte(flow("two", "out"))}}, "is not absolute:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := s.Apply(tt.docs, false)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if after, err := os.ReadFile(s.file); err != nil || string(after) != string(kept) || s.changed() {
		t.Errorf("something has changed: %s (%v)", after, err)
	}
	changes, _, err := s.Apply(doc(flow("two", "out")), true)
	if err != nil || changes[0].Action != wanted.Created || s.changed() {
		t.Errorf("a dry run: %v (%v)", changes, err)
	}
	s.is("Dataflow azure-iot-operations/one given.yaml", inFile)
}

func TestDelete(t *testing.T) {
	s := newStage(t)
	ref := func(kind, name string) wanted.Ref {
		return wanted.Ref{Kind: kind, Namespace: resource.DefaultNamespace, Name: name}
	}
	other := strings.Replace(broker, "name: broker", "name: other", 1)
	s.apply(doc(flow("one", "out"), strings.ReplaceAll(flow("two", "out"), "endpointRef: broker", "endpointRef: other"), other), "one created", "two created", "other created")
	s.changed()
	var faults *wanted.FaultError
	var file *wanted.FileError
	var missing *wanted.NotFoundError
	if _, err := s.Delete([]wanted.Ref{ref("DataflowEndpoint", "other")}, false); !errors.As(err, &faults) || !strings.Contains(err.Error(), "applied.yaml:18:59: Dataflow two would be left with a fault: there is no DataflowEndpoint") {
		t.Errorf("what something refers to: %v", err)
	}
	if _, err := s.Delete([]wanted.Ref{ref("DataflowEndpoint", "broker")}, false); !errors.As(err, &file) {
		t.Errorf("what is in a file: %v", err)
	}
	if _, err := s.Delete([]wanted.Ref{ref("Dataflow", "one"), ref("Dataflow", "three")}, false); !errors.As(err, &missing) || err.Error() != "there is no Dataflow three" {
		t.Errorf("what isn't there: %v", err)
	}
	if changes, err := s.Delete([]wanted.Ref{ref("Dataflow", "one")}, true); err != nil || len(changes) != 1 || s.changed() {
		t.Errorf("a dry run: %v (%v)", changes, err)
	}
	changes, err := s.Delete([]wanted.Ref{ref("DataflowEndpoint", "other"), ref("Dataflow", "two")}, false)
	if err != nil || len(changes) != 2 || changes[0].Action != wanted.Deleted || !s.changed() {
		t.Errorf("deleted %v (%v)", changes, err)
	}
	s.is("Dataflow azure-iot-operations/one given.yaml", inFile)
	s.open()
	s.is("Dataflow azure-iot-operations/one given.yaml", inFile)
}

// TestReload changes files beside what is applied.
func TestReload(t *testing.T) {
	s := newStage(t)
	s.apply(doc(flow("one", "out")), "one created")
	s.changed()
	for _, tt := range []struct{ name, text, want string }{
		{"a fault", "kind: DataflowEndpoint\n", "a.yaml:1:1: property apiVersion is missing"},
		{"what is referred to is gone", strings.Replace(broker, "name: broker", "name: b", 1), `there is no DataflowEndpoint "broker"`},
		{"what is applied is in it too", broker + "---\n" + flow("one", "out"), "Dataflow one is already declared in "},
	} {
		s.write("a.yaml", tt.text)
		if _, err := s.Reload(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if err := s.Refused(); err == nil || s.changed() {
			t.Errorf("%s: refused is %v", tt.name, err)
		}
		s.is("Dataflow azure-iot-operations/one given.yaml", inFile)
		// What is applied is checked against the files as they were taken.
		s.apply(doc(flow("one", "out")), "one unchanged")
	}
	s.write("a.yaml", strings.Replace(broker, "b:1883", "c:1883", 1))
	if _, err := s.Reload(); err != nil || s.Refused() != nil || !s.changed() {
		t.Errorf("mended: %v", err)
	}
	if got := s.Set().Endpoints[resource.Key{Namespace: resource.DefaultNamespace, Name: "broker"}].MQTT.Host; got != "c:1883" {
		t.Errorf("the broker is %s", got)
	}
}

// TestForms applies what files look like.
func TestForms(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"begins with a line", "---\n" + flow("a", "out"), "a"},
		{"comments around", "# one\n---\n# two\n" + flow("a", "out") + "# three\n---\n# four\n", "a"},
		{"a line that would say from where", flow("a", "out") + "# applied 2020-01-01T00:00:00Z from /etc/x\n---\n" + flow("b", "out"), "a b"},
		{"Windows", strings.ReplaceAll("---\n"+flow("a", "out")+"---\n"+flow("b", "out"), "\n", "\r\n"), "a b"},
		{"a byte order mark", "\ufeff" + flow("a", "out"), "a"},
		{"no newline at the end", strings.TrimSuffix(flow("a", "out"), "\n"), "a"},
		{"behind the line", "--- " + strings.ReplaceAll(registry, "\n", "") + "\n--- # and\n" + flow("a", "out"), "near a"},
		{"a list", "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(registry, "\n", "") + "\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: \"1\", \"b\": \"x\\n--- y\"}}\n", "near s"},
		{"text with lines", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: |+\n    x\n    --- y\n\n---\n" + flow("a", "out"), "m a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t)
			changes, _, err := s.Apply(doc(tt.text), false)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, c := range changes {
				names = append(names, c.Name)
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("applied %s, want %s", got, tt.want)
			}
			before := s.Objects()
			s.open()
			if len(before) != len(s.Objects()) {
				t.Fatalf("%d objects are %d after a restart", len(before), len(s.Objects()))
			}
			for i, o := range s.Objects() {
				if string(o.JSON) != string(before[i].JSON) {
					t.Errorf("%s is %s after a restart", before[i].JSON, o.JSON)
				}
			}
			if changes, _, err := s.Apply(doc(tt.text), false); err != nil || changes[0].Action != wanted.Unchanged {
				t.Errorf("once more: %v (%v)", changes, err)
			}
		})
	}
}

// TestOpen reads what can't be read.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "applied.yaml")
	for _, tt := range []struct{ text, want string }{
		{"", "applied.yaml: it has no objects, and not the line that begins it; mend the file, or remove it"},
		{"lost", "applied.yaml: it has no objects"},
		{"---\n" + broker, "applied.yaml:1: there is no line that says from where it was applied"},
		{"# applied now from /x\n---\n" + broker, "applied.yaml:1: parsing time"},
		{"# applied 2020-01-01T00:00:00Z from /x\n---\n# nothing\n", "want one object, found 0"},
		{"# applied 2020-01-01T00:00:00Z from /x\n---\na: b\n", "it has no kind or no name"},
		{"# applied 2020-01-01T00:00:00Z from /x\n---\na: [\n", "applied.yaml:"},
		{"# applied 2020-01-01T00:00:00Z from /x\n---\n" + strings.Replace(broker, "endpointType", "endpointTipe", 1), "applied.yaml:6:8: unknown property spec.endpointTipe"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := wanted.Open(wanted.Config{File: file}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
	}
	if _, _, err := wanted.Open(wanted.Config{File: file, Paths: []string{filepath.Join(dir, "none")}}); !errors.Is(err, fs.ErrNotExist) && err == nil {
		t.Errorf("without a file: %v", err)
	}
	// Where nothing can be written, nothing is taken.
	s := newStage(t)
	if err := os.WriteFile(filepath.Dir(s.file), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Apply(doc(flow("one", "out")), false); err == nil || !strings.Contains(err.Error(), "wanted: keep what is applied") {
		t.Errorf("without a folder: %v", err)
	}
	s.is(inFile)
}

// FuzzApply: whatever is taken is the same after a restart.
func FuzzApply(f *testing.F) {
	f.Add([]byte(broker))
	f.Add([]byte("---\n" + broker + "---\n" + registry))
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: |+\n    x\n\n--- # c\n{apiVersion: v1, kind: Secret, metadata: {name: s}}"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		config := wanted.Config{File: filepath.Join(dir, "applied.yaml")}
		if err := os.Remove(config.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		s, _, err := wanted.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		d := []wanted.Document{{Name: "f", Path: "/f", Text: text}}
		if _, _, err := s.Apply(d, false); err != nil {
			if strings.HasPrefix(err.Error(), "wanted: ") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, _, err := wanted.Open(config)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for i, o := range again.Objects() {
			if was := s.Objects()[i]; was.Ref != o.Ref || string(was.JSON) != string(o.JSON) {
				t.Fatalf("%s is %s after a restart", was.JSON, o.JSON)
			}
		}
		if changes, _, err := again.Apply(d, false); err != nil || changes[0].Action != wanted.Unchanged {
			t.Fatalf("%q once more: %v (%v)", text, changes, err)
		}
	})
}
