// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"slices"
	"strings"
)

// Severity says how bad a problem is.
type Severity string

// The severities. A definition with an error is not usable; one with warnings is.
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

// Problems are the faults of a document in the order of their places.
type Problems []*Problem

// Err returns an error that lists the problems of severity Error, one a line, or
// nil if there are none.
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

// Warnings returns the problems that leave the definition usable.
func (ps Problems) Warnings() Problems {
	var warnings Problems
	for _, p := range ps {
		if p.Severity == Warning {
			warnings = append(warnings, p)
		}
	}
	return warnings
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
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
