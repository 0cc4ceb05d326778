// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// TestAnnotations: what the table of annotations says can be set, to its default and to
// each of its values, and the table has all that can be set.
func TestAnnotations(t *testing.T) {
	var o plan.Options
	known := map[string]bool{}
	for _, a := range schema.Annotations() {
		if !slices.Contains(a.Kinds, "DataflowGraph") {
			continue
		}
		option := strings.TrimPrefix(a.Name, schema.AnnotationPrefix)
		known[option] = true
		values := a.Values()
		if a.Default != "" {
			values = append(values, a.Default)
		}
		switch {
		case strings.HasPrefix(a.Form, "a duration"):
			values = append(values, "90s")
		case strings.HasPrefix(a.Form, "a number of bytes"):
			values = append(values, "1Mi")
		case strings.HasPrefix(a.Form, "dir:"):
			values = append(values, "dir:/data=data,env:HOME")
		case strings.HasPrefix(a.Form, "<endpoint>"):
			values = append(values, "broker/dead")
		}
		if len(values) == 0 {
			t.Errorf("nobody knows what %s takes", a.Name)
		}
		for _, value := range values {
			if err := o.Set(strings.ReplaceAll(option, "<name>", "op"), value); err != nil {
				t.Errorf("%s can't be %q: %v", a.Name, value, err)
			}
		}
	}
	err := o.Set("?????????", "")
	if err == nil {
		t.Fatal("an unknown option was set")
	}
	_, names, _ := strings.Cut(err.Error(), "known are ")
	for name := range strings.SplitSeq(names, ", ") {
		if !known[name] {
			t.Errorf("the table of annotations has no %s", name)
		}
	}
}
