// SPDX-License-Identifier: Apache-2.0

package wit

import (
	"fmt"
	"strings"
)

// Error is a fault in WIT text.
type Error struct {
	File string // name of the file, as given
	Line int    // from 1
	Col  int    // from 1, in bytes
	Msg  string // what is wrong
	Hint string // what to do about it; may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// source is one file's text.
type source struct{ name, text string }

// position is a place in a source.
type position struct {
	src *source
	off int
}

// errorf returns an Error at p.
func (p position) errorf(hint, format string, args ...any) *Error {
	before := p.src.text[:p.off]
	return &Error{
		File: p.src.name,
		Line: strings.Count(before, "\n") + 1,
		Col:  p.off - strings.LastIndexByte(before, '\n'),
		Msg:  fmt.Sprintf(format, args...),
		Hint: hint,
	}
}

// nearest returns a hint that names the candidate closest to name, empty where
// none is close.
func nearest(name string, candidates []string) string {
	best, bestDist := "", len(name)/3+2
	for _, c := range candidates {
		if strings.HasPrefix(c, name+"@") { // only the version is missing
			best, bestDist = c, 0
		} else if d := editDistance(name, c); d < bestDist {
			best, bestDist = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// editDistance is the number of bytes to insert, delete or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
