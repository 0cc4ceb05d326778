// SPDX-License-Identifier: Apache-2.0

package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a document: line and column, counted from 1. The zero
// value is no place in particular.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Severity says how bad a problem is.
type Severity string

// The severities. What has an error is not usable; what has warnings is.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one fault of a document.
type Problem struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Position
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do about it; empty where that is plain
}

// Error returns the problem as one line, "file:line:col: message; hint".
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File + ":" + p.Position.String() + ": ")
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems are the faults of one or several documents.
type Problems []*Problem

// Err returns an error that lists the problems of severity Error, one a line, and
// wraps each; nil if there are none.
func (ps Problems) Err() error {
	var errs problemList
	for _, p := range ps {
		if p.Severity == Error {
			errs = append(errs, p)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// Warnings returns the problems that leave what was read usable.
func (ps Problems) Warnings() Problems {
	var warnings Problems
	for _, p := range ps {
		if p.Severity == Warning {
			warnings = append(warnings, p)
		}
	}
	return warnings
}

// Sort puts the problems into the order of their places.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

type problemList []*Problem

func (l problemList) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

func (l problemList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, p := range l {
		errs[i] = p
	}
	return errs
}
