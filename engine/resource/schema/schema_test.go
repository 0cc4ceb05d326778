// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// walk calls visit for f and all fields below it.
func walk(path string, f *schema.Field, visit func(path string, f *schema.Field)) {
	visit(path, f)
	if f.Item != nil {
		walk(path+"[]", f.Item, visit)
	}
	for _, c := range f.Fields {
		walk(path+"."+c.Name, c, visit)
	}
}

// TestTable looks for what is not as it says it is.
func TestTable(t *testing.T) {
	for _, k := range schema.Kinds() {
		walk(k.Name, k.Root, func(path string, f *schema.Field) {
			if !strings.HasSuffix(f.Doc, ".") && !strings.HasSuffix(f.Doc, "\"") {
				t.Errorf("%s: the documentation is %q", path, f.Doc)
			}
			if f.Refers != "" && schema.Find(f.Refers) == nil {
				t.Errorf("%s refers to an unknown %s", path, f.Refers)
			}
			if (f.Pattern == "") != (f.Form == "") && !strings.Contains(path, schema.AnnotationPrefix) {
				t.Errorf("%s: has only one of pattern and form", path)
			}
			if f.Type == schema.List && f.Item == nil || f.Type != schema.List && f.Item != nil {
				t.Errorf("%s: item", path)
			}
			seen := map[string]bool{}
			for _, name := range f.Names() {
				if seen[name] {
					t.Errorf("%s has two fields %s", path, name)
				}
				seen[name] = true
			}
			checkDefault(t, path, f)
			checkSelector(t, path, f)
		})
	}
}

func checkDefault(t *testing.T, path string, f *schema.Field) {
	t.Helper()
	switch {
	case f.Default == "":
	case f.Required:
		t.Errorf("%s is required, and has a default", path)
	case f.Type == schema.Integer:
		if n, err := strconv.Atoi(f.Default); err != nil || n < f.Min || n > f.Max {
			t.Errorf("%s: the default %s is none", path, f.Default)
		}
	case f.Type == schema.Boolean:
		if f.Default != "true" && f.Default != "false" {
			t.Errorf("%s: the default %s is none", path, f.Default)
		}
	case f.Enum != nil && !slices.Contains(f.Values(), f.Default):
		t.Errorf("%s: the default %s is none of %v", path, f.Default, f.Values())
	case !f.Matches(f.Default):
		t.Errorf("%s: the default %s is not %s", path, f.Default, f.Form)
	}
}

func checkSelector(t *testing.T, path string, f *schema.Field) {
	t.Helper()
	var values []string
	if f.Selector != "" {
		s := f.Field(f.Selector)
		if s == nil || !s.Required {
			t.Fatalf("%s: nobody has to give %s", path, f.Selector)
		}
		for _, v := range s.Enum {
			values = append(values, v.Name)
		}
	}
	for _, c := range f.Fields {
		if c.With != "" && !slices.Contains(values, c.With) {
			t.Errorf("%s.%s has a meaning with %s, which is none of %v", path, c.Name, c.With, values)
		}
	}
}

func TestFind(t *testing.T) {
	for _, name := range []string{"DataflowEndpoint", "dataflowendpoint", "dataflowEndpoints", "Endpoint", "endpoints", "dataflowendpoints.connectivity.iotoperations.azure.com"} {
		if k := schema.Find(name); k == nil || k.Name != "DataflowEndpoint" {
			t.Errorf("%s is %v", name, k)
		}
	}
	if k := schema.Find("Pod"); k != nil {
		t.Errorf("a Pod is a %s", k.Name)
	}
	if near, ok := schema.Nearest("dataflowgrahp"); near != "DataflowGraph" || !ok {
		t.Errorf("the nearest is %q", near)
	}
	shorts := map[string]string{}
	for _, k := range schema.Kinds() {
		for _, name := range []string{strings.ToLower(k.Name), k.Plural, k.Short} {
			if shorts[name] != "" && name != "" {
				t.Errorf("%s is %s and %s", name, shorts[name], k.Name)
			}
			shorts[name] = k.Name
		}
	}
}

func TestFindAnnotation(t *testing.T) {
	for name, want := range map[string]string{
		"graphd.io/lateness":                          "graphd.io/lateness",
		"graphd.io/operation.module-t.map.deadline":   "graphd.io/operation.<name>.deadline",
		"graphd.io/operation.x.parallelism":           "graphd.io/operation.<name>.parallelism",
		"graphd.io/operation.deadline":                "",
		"graphd.io/operation..deadline":               "",
		"graphd.io/operation.x.parallel":              "",
		"graphd.io/latenes":                           "",
		"graphd.io/credentials":                       "graphd.io/credentials",
		"kubectl.kubernetes.io/last-applied-whatever": "",
	} {
		got, ok := schema.FindAnnotation(name)
		if ok != (want != "") || ok && got.Name != want {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// TestJSON: what is made are JSON Schemas, one for each kind and one for all.
func TestJSON(t *testing.T) {
	sets := [][]*schema.Kind{schema.Kinds()}
	for _, k := range schema.Kinds() {
		sets = append(sets, []*schema.Kind{k})
	}
	for _, kinds := range sets {
		text, err := schema.JSON(kinds...)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("mem:schema", document); err != nil {
			t.Fatal(err)
		}
		compiled, err := c.Compile("mem:schema")
		if err != nil {
			t.Fatalf("%s: %v", kinds[0].Name, err)
		}
		for text, want := range map[string]bool{
			`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}`:           true,
			`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": 1}}`:             false,
			`{"apiVersion": "v1", "kind": "Secrete", "metadata": {"name": "s"}}`:                                    false,
			`{"apiVersion": "v2", "kind": "Secret", "metadata": {"name": "s"}}`:                                     false,
			`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret"}]}`:               false,
			`{"apiVersion": "v1", "kind": "List", "items": []}`:                                                     true,
			`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": {"graphd.io/x": ""}}}`: false,
		} {
			if len(kinds) == 1 && (kinds[0].Name != "Secret" || strings.Contains(text, "List")) {
				continue
			}
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled.Validate(instance); (err == nil) != want {
				t.Errorf("%d kinds: %s: got %v", len(kinds), text, err)
			}
		}
	}
}
