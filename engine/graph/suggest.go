// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"strconv"
	"strings"

	"github.com/wasm-graph/graphd/internal/nearest"
)

// suggest returns a hint towards the name meant by got: the nearest of known, or
// all of them if none is near. It doesn't search long: names of more than 100
// bytes, and all but the first 200 of known, are left out.
func suggest(got string, known []string) string {
	const longest, most, few = 100, 200, 12
	var candidates []string
	for _, k := range known[:min(len(known), most)] {
		if len(k) <= longest {
			candidates = append(candidates, k)
		}
	}
	if len(got) <= longest {
		if near, ok := nearest.Word(got, candidates); ok {
			return "did you mean " + strconv.Quote(near) + "?"
		}
	}
	if len(known) == 0 || len(known) > few {
		return ""
	}
	quoted := make([]string, len(known))
	for i, k := range known {
		quoted[i] = strconv.Quote(k)
	}
	if len(quoted) == 1 {
		return "write " + quoted[0]
	}
	return "write one of " + strings.Join(quoted, ", ")
}
