// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"
)

func TestSomeOf(t *testing.T) {
	for names, want := range map[string]string{"": "", "a": "a", "a b c": "a,b,c", "a b c d e": "a,b,c and 2 more"} {
		if got := someOf(strings.Fields(names)); got != want {
			t.Errorf("%q: %q, want %q", names, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Now()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 90 * time.Second: "90s", 3 * time.Minute: "3m", 3 * time.Hour: "3h", 72 * time.Hour: "3d",
	} {
		if got := age(now.Add(-d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	if got := age(time.Time{}); got != "-" {
		t.Errorf("no time: %s", got)
	}
}

// TestTable: text of others can't move the cursor, and empty cells are seen.
func TestTable(t *testing.T) {
	var b table
	b.add("NAME", "MESSAGE", "X")
	b.add("graph", printable("two\nlines \x1b[2J\u009b1m"), "")
	if got, want := b.String(), "NAME    MESSAGE             X\ngraph   two lines  [2J 1m   -\n"; got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}
