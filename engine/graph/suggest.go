// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"slices"
	"strconv"
	"strings"
)

// suggest returns a hint towards the name meant by got: the nearest of known, or
// all of them if none is near.
func suggest(got string, known []string) string {
	if near, ok := Nearest(got, known); ok {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	if len(known) == 0 || len(known) > 12 {
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

// Nearest returns the one of known that is most likely meant by got, if one is
// near: the same but for case, or within a third of its letters. Names of more
// than 100 bytes are near nothing, and only the first 200 of known are looked at.
func Nearest(got string, known []string) (string, bool) {
	const longest, most = 100, 200
	if len(got) > longest {
		return "", false
	}
	best, bestDistance := "", len(got)/3+2
	for _, k := range known[:min(len(known), most)] {
		if len(k) > longest {
			continue
		}
		if strings.EqualFold(got, k) {
			return k, true
		}
		if d := distance(strings.ToLower(got), strings.ToLower(k)); d < bestDistance && d < len(k) {
			best, bestDistance = k, d
		}
	}
	return best, best != ""
}

// distance is the number of letters to insert, remove, replace or swap with their
// neighbour to turn a into b.
func distance(a, b string) int {
	// Three rows of the dynamic programming table: two above the one being filled.
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = slices.Min([]int{above[j] + 1, row[j-1] + 1, above[j-1] + change})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
