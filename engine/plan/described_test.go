// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/plan"
)

// TestDescribed: what is described can be set to its default, and nothing is left out.
func TestDescribed(t *testing.T) {
	var o plan.Options
	described := map[string]bool{}
	for _, d := range plan.Described() {
		described[d.Name] = true
		name, value := strings.ReplaceAll(d.Name, "<name>", "op"), d.Default
		switch {
		case strings.HasSuffix(name, ".deadline"):
			value = "1s"
		case strings.HasSuffix(name, ".memory"):
			value = "1Mi"
		case strings.HasSuffix(name, ".allow"):
			value = "env:HOME"
		case value == "none":
			value = "endpoint/topic"
		case value == "":
			value = "1"
		}
		if err := o.Set(name, value); err != nil {
			t.Errorf("option %s can't be set to %q: %v", d.Name, value, err)
		}
		if d.Text == "" {
			t.Errorf("option %s is not explained", d.Name)
		}
	}
	err := o.Set("?????????", "")
	if err == nil {
		t.Fatal("an unknown option was set")
	}
	_, known, _ := strings.Cut(err.Error(), "known are ")
	for name := range strings.SplitSeq(known, ", ") {
		if !described[name] {
			t.Errorf("option %s is not described", name)
		}
	}
}
