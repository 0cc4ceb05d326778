// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/disk"
	"github.com/wasm-graph/graphd/engine/window/windowtest"
)

func TestStore(t *testing.T) {
	n := 0
	windowtest.TestStore(t, func(t *testing.T) func() (window.Store, error) {
		n++
		path := filepath.Join(t.TempDir(), "new", fmt.Sprint(n), "w.db")
		return func() (window.Store, error) { return disk.Open(path) }
	})
}

// write makes a store of 200 records in two commits, and returns its path.
func write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "w.db")
	s, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := s.Commit(t.Context(), changes(100*i, 100, 300)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func changes(from, n, size int) []window.Change {
	var changes []window.Change
	for i := range n {
		key := fmt.Sprintf("key %06d", from+i)
		changes = append(changes, window.Change{Key: []byte(key), Value: []byte(strings.Repeat(key+" ", size/len(key)))})
	}
	return changes
}

// contents opens and reads a store.
func contents(path string) (map[string]string, error) {
	s, err := disk.Open(path)
	if err != nil {
		return nil, err
	}
	records, err := windowtest.Records(context.Background(), s)
	return records, errors.Join(err, s.Close())
}

// TestCreationCutShort: what a crash leaves of a store that has never been is no store.
func TestCreationCutShort(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.db")
	if _, err := contents(empty); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(empty)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 5000, len(whole)} {
		path := filepath.Join(t.TempDir(), "w.db")
		if err := os.WriteFile(path+".new", whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := contents(path)
		if err != nil { // it has been removed
			records, err = contents(path)
		}
		if err != nil || len(records) > 0 {
			t.Errorf("%d bytes: %d records, %v; want none", size, len(records), err)
		}
		if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%d bytes: the remains are still there: %v", size, err)
		}
	}
}

func TestLocked(t *testing.T) {
	path := write(t)
	s, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Open(path); !errors.Is(err, window.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("second Open = %v, want ErrLocked with the path", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := contents(path); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// TestDamage checks that a damaged file is either what it was, or what it was a
// commit before, or refused with an advice: never something else.
func TestDamage(t *testing.T) {
	original, err := os.ReadFile(write(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "damaged.db")
	sound, refused := 0, 0
	try := func(what string, file []byte) {
		t.Helper()
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := contents(path)
		switch {
		case errors.Is(err, window.ErrCorrupt):
			refused++
			if !strings.Contains(err.Error(), "move it away") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: the error has no advice: %v", what, err)
			}
			if _, err := contents(path); errors.Is(err, window.ErrLocked) {
				t.Errorf("%s: the lock is kept: %v", what, err)
			}
		case err != nil && strings.Contains(err.Error(), "it has the format"):
			refused++
		case err != nil:
			t.Errorf("%s: %v, want an error that wraps ErrCorrupt", what, err)
		case len(records) != 200 && len(records) != 100:
			t.Errorf("%s: %d records are there, and no error", what, len(records))
		default:
			sound++
			for key, value := range records {
				if !strings.HasPrefix(value, key+" "+key) {
					t.Errorf("%s: record %q is %q", what, key, value)
				}
			}
		}
	}
	for _, size := range []int{0, 1, 1000, 5000, len(original) / 2, len(original) - 4096} {
		try(fmt.Sprintf("cut off after %d bytes", size), original[:size])
	}
	for at := 0; at < len(original); at += 997 {
		damaged := append([]byte(nil), original...)
		damaged[at] ^= 0x55
		try(fmt.Sprintf("byte %d changed", at), damaged)
	}
	for page := 0; page < len(original)/4096; page++ {
		damaged := append([]byte(nil), original...)
		clear(damaged[page*4096 : (page+1)*4096])
		try(fmt.Sprintf("page %d lost", page), damaged)
	}
	if sound == 0 || refused == 0 {
		t.Errorf("%d files were sound, %d refused: the test shows nothing", sound, refused)
	}
}

// TestRangeOverDamage changes the file of an open store, as a failing disk would: what
// is read back afterwards is what was written, or refused.
func TestRangeOverDamage(t *testing.T) {
	path := write(t)
	s, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(original), "key 000007 key")
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("KEY"), int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = s.Range(t.Context(), []byte("key 000000"), []byte("key 000200"), 200, func(_, _ []byte) error { n++; return nil })
	if !errors.Is(err, window.ErrCorrupt) || !strings.Contains(err.Error(), `"key 000007"`) || !strings.Contains(err.Error(), path) || n != 7 {
		t.Errorf("Range = %v after %d records, want ErrCorrupt with the record's key and the path after 7", err, n)
	}
	if err := s.Range(t.Context(), []byte("key 000008"), []byte("key 000200"), 200, func(_, _ []byte) error { n++; return nil }); err != nil || n != 199 {
		t.Errorf("Range of the others = %v after %d records", err, n-7)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFull runs this test again in a process that may write no more than a megabyte
// to a file: a full disk is an error that can be tried again, and loses nothing.
func TestFull(t *testing.T) {
	const variable = "GRAPHD_TEST_FULL_DISK"
	if path := os.Getenv(variable); path != "" {
		fill(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "w.db")
	cmd := exec.Command("sh", "-c", "ulimit -f 2048; exec \"$0\" -test.run '^TestFull$'", os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+path)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	records, err := contents(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) == 0 || len(records)%100 != 1 || records["last"] != "written" {
		t.Errorf("%d records are there, last %q", len(records), records["last"])
	}
}

func fill(t *testing.T, path string) {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil; n++ {
		if n == 100 {
			t.Fatal("the file has no limit")
		}
		err = s.Commit(t.Context(), changes(100*n, 100, 1000))
	}
	if !errors.Is(err, window.ErrFull) || !strings.Contains(err.Error(), path) {
		t.Fatalf("Commit = %v, want ErrFull with the path", err)
	}
	records, err := windowtest.Records(t.Context(), s)
	if err != nil || len(records) != 100*(n-1) {
		t.Fatalf("%d records after %d commits, the last of which failed; %v", len(records), n, err)
	}
	// Room is made, and it goes on.
	err = s.Commit(t.Context(), []window.Change{{Key: []byte("key 000000"), End: []byte("key 000100")}, {Key: []byte("last"), Value: []byte("written")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, err := disk.Open(filepath.Join(b.TempDir(), "w.db"))
			if err != nil {
				b.Fatal(err)
			}
			at := 0
			for b.Loop() {
				if err := s.Commit(b.Context(), changes(at, n, 200)); err != nil {
					b.Fatal(err)
				}
				at += n
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
