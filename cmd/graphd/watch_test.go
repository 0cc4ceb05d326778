// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	w := newWatch([]string{dir})
	want := func(want bool, what string) {
		t.Helper()
		if got := w.changed(); got != want {
			t.Errorf("changed = %v: %s", got, what)
		}
	}
	want(false, "nothing has changed")
	write("one and")
	want(false, "it may be half")
	write("one and a half")
	want(false, "it was")
	want(true, "it is the same for the second time")
	want(false, "it was taken")
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want(false, "no resource")
	want(false, "no resource")

	// Of the same size, at another time.
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	want(false, "it may be half")
	want(true, "another time")
	// Another one of that size and time, as links are swapped.
	other := file + ".other"
	if err := errors.Join(os.WriteFile(other, []byte("two and a half"), 0o644), os.Chtimes(other, later, later), os.Rename(other, file)); err != nil {
		t.Fatal(err)
	}
	want(false, "it may be half")
	want(true, "another file")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want(false, "it may come again")
	want(true, "it is gone")

	write("one")
	w.take()
	want(false, "it was taken")
}
