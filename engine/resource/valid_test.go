// SPDX-License-Identifier: Apache-2.0

package resource_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// TestValid: good resources, those of the samples included, have no faults, and the JSON
// Schema takes them.
func TestValid(t *testing.T) {
	folders, err := filepath.Glob("../../samples/*/resources*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no samples", err)
	}
	files, err := filepath.Glob("testdata/valid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	schema := compileSchema(t)
	for _, path := range slices.Concat(folders, files) {
		set, problems, err := resource.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(problems.Err(), deploy.CheckOptions(set).Err()); err != nil && !strings.Contains(path, "resources-") {
			t.Errorf("%s: %v", path, err)
		}
		files, err := resource.Files(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := schema(string(text)); got != accepts {
				t.Errorf("%s: the schema %s", file, got)
			}
		}
	}
}

// withoutEffect are the fields that say nothing to us, by their paths.
var withoutEffect = []string{
	"apiVersion", "status", "metadata.labels", "metadata.uid", "metadata.creationTimestamp", "immutable", "type", "spec.maxInstances",
	"spec.hostType", "spec.diagnostics.metrics.prometheusPort", "spec.operations.name", "assetRef", "schemaRef", "anonymousSettings",
}

// TestEveryFieldHasEffect changes each value of a document that has every field that is
// built: what comes of it must be a fault or something else than before. And it must
// have every field.
func TestEveryFieldHasEffect(t *testing.T) {
	text, err := os.ReadFile("testdata/valid/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var documents []*yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, &n)
	}
	parse := func() (*resource.Set, string) {
		var b bytes.Buffer
		e := yaml.NewEncoder(&b)
		for _, n := range documents {
			if err := e.Encode(n); err != nil {
				t.Fatal(err)
			}
		}
		set, problems := resource.Parse("f.yaml", b.Bytes())
		problems = append(problems, deploy.CheckOptions(set)...)
		err := problems.Err()
		return set, fmt.Sprint(err)
	}
	before, fault := parse()
	ignore := cmp.Options{cmpopts.IgnoreTypes(document.Position{}), cmpopts.IgnoreFields(resource.Meta{}, "File", "Dir"), cmpopts.EquateEmpty()}
	if fault != "<nil>" {
		t.Fatal(fault)
	}
	given := map[*schema.Field]bool{}
	var visit func(path string, n *yaml.Node, f *schema.Field)
	visit = func(path string, n *yaml.Node, f *schema.Field) {
		given[f] = true
		if slices.ContainsFunc(withoutEffect, func(end string) bool {
			return path == end || strings.HasSuffix(path, "."+end) && !strings.Contains(end, ".") && end != "type"
		}) {
			return
		}
		switch f.Type {
		case schema.Object:
			for i := 0; i+1 < len(n.Content); i += 2 {
				visit(strings.TrimPrefix(path+"."+n.Content[i].Value, "."), n.Content[i+1], f.Field(n.Content[i].Value))
			}
			return
		case schema.List:
			given[f.Item] = true
			for _, item := range n.Content {
				visit(path, item, f.Item)
			}
			return
		case schema.Map:
			for i := 0; i+1 < len(n.Content); i += 2 {
				for _, a := range f.Fields {
					if found, ok := schema.FindAnnotation(n.Content[i].Value); ok && found.Field == a {
						visit(path+"."+n.Content[i].Value, n.Content[i+1], a)
					}
				}
			}
			return
		}
		old := *n
		defer func() { *n = old }()
		if n.Value = another(f, n.Value); n.Value == old.Value {
			return // there is no other
		}
		after, fault := parse()
		if fault == "<nil>" && cmp.Equal(before, after, ignore) {
			t.Errorf("%s: %s instead of %s makes no difference", path, n.Value, old.Value)
		}
	}
	for _, n := range documents {
		k := schema.Find(kindOf(n.Content[0]))
		visit("", n.Content[0], k.Root)
	}
	for _, k := range schema.Kinds() {
		missing("", k.Root, given, func(path string) { t.Errorf("everything.yaml has no %s of a %s", path, k.Name) })
	}
}

// kindOf returns the kind of an object.
func kindOf(n *yaml.Node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "kind" {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// another returns another value of a field than that.
func another(f *schema.Field, value string) string {
	switch {
	case f.Type == schema.Integer:
		n, err := strconv.Atoi(value)
		if err != nil {
			panic(err)
		}
		if n < f.Max {
			return strconv.Itoa(n + 1)
		}
		return strconv.Itoa(n - 1)
	case f.Type == schema.Boolean:
		return strconv.FormatBool(value != "true")
	case f.Enum != nil:
		values := f.Values()
		return values[(slices.Index(values, value)+1)%len(values)]
	}
	return value + "x"
}

// missing calls report for each field that is built and not given. Spellings, and what a
// cluster writes, need not be.
func missing(path string, f *schema.Field, given map[*schema.Field]bool, report func(path string)) {
	for _, c := range f.Inner().Fields {
		below := strings.TrimPrefix(path+"."+c.Name, ".")
		switch {
		case c.NotYet, c.Type == schema.Any, strings.HasPrefix(path, "metadata") && path != "metadata":
		case slices.Contains([]string{"spec.host", "spec.kafkaSettings.batching.enabled"}, below) && !strings.Contains(f.Doc, "registry"):
		case notBuilt(f.Inner(), c):
		case !given[c] && strings.Contains(below, "authentication"):
			// Each method is given once, at one of the endpoints.
		case !given[c] && c.Name != "extensionName" && below != "metadata.annotations" && !strings.HasSuffix(below, "secretRef") && !strings.HasSuffix(below, "configMapRef"):
			report(below)
		default:
			missing(below, c, given, report)
		}
	}
}

// notBuilt reports whether a field belongs to a value of its selector that isn't built.
func notBuilt(of, f *schema.Field) bool {
	if f.With == "" {
		return false
	}
	return !slices.Contains(of.Field(of.Selector).Values(), f.With)
}
