// SPDX-License-Identifier: Apache-2.0

// Package nearest finds the word that somebody meant: the "did you mean" of an
// error about a name that nobody knows.
package nearest

import "strings"

// Word returns the candidate nearest to word, ignoring case, and false where none
// is near enough to be worth suggesting: more than two fifths of the longer of
// the two would have to change. The first of equally near candidates wins.
func Word(word string, candidates []string) (string, bool) {
	best, bestDistance := "", -1
	for _, c := range candidates {
		a, b := []rune(strings.ToLower(word)), []rune(strings.ToLower(c))
		d := distance(a, b)
		if 5*d > 2*max(len(a), len(b)) {
			continue
		}
		if bestDistance < 0 || d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best, bestDistance >= 0
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
