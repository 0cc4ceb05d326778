// SPDX-License-Identifier: Apache-2.0

package topic_test

import (
	"testing"

	"github.com/wasm-graph/graphd/engine/topic"
)

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a", "a/b", false}, {"a/b", "a", false},
		{"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/b/c", false}, {"+/b", "a/b", true},
		{"a/#", "a", true}, {"a/+/#", "a/b", true}, {"a/+/#", "a", false}, {"/a", "/a", true}, {"+/+", "/a", true}, {"+", "/a", false}, {"a/", "a", false}, {"a/+", "a/", true}, {"a/#", "a/b/c", true}, {"#", "a/b", true}, {"#", "$SYS/x", false}, {"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS/x", true}, {"$share/g/a/#", "a/b", true}, {"$shared/g/a", "a", true}, {"$share/g/a", "b", false},
	} {
		if got := topic.Matches(tt.filter, tt.topic); got != tt.want {
			t.Errorf("Matches(%q, %q) = %v", tt.filter, tt.topic, got)
		}
	}
}
