// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/wasm-graph/graphd/oras"
	"github.com/wasm-graph/graphd/oras/cache"
)

// shelf is a source in memory that counts what is asked of it, and can be down.
type shelf struct {
	mu       sync.Mutex
	content  map[string]string // by reference
	down     error
	resolves atomic.Int64
	fetches  atomic.Int64
}

func (s *shelf) String() string { return "shelf" }

func (s *shelf) get(ref string) (*oras.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, fmt.Errorf("shelf: %w", s.down)
	}
	if path, _, pinned, err := oras.Split(ref); err == nil && pinned != "" {
		for name, text := range s.content {
			if a := artifact(text); a.Digest == pinned && strings.HasPrefix(name, path+":") {
				return a, nil
			}
		}
		return nil, oras.ErrNotFound
	}
	text, ok := s.content[ref]
	if !ok {
		return nil, oras.ErrNotFound
	}
	return artifact(text), nil
}

func (s *shelf) set(ref, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content[ref] = text
}

func (s *shelf) setDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *shelf) Resolve(_ context.Context, ref string, _ oras.Kind) (string, error) {
	s.resolves.Add(1)
	a, err := s.get(ref)
	if err != nil {
		return "", err
	}
	return a.Digest, nil
}

func (s *shelf) Fetch(_ context.Context, ref string, _ oras.Kind) (*oras.Artifact, error) {
	s.fetches.Add(1)
	return s.get(ref)
}

func artifact(text string) *oras.Artifact {
	return &oras.Artifact{
		Digest:        digest.FromString("manifest of " + text).String(),
		ContentDigest: digest.FromString(text).String(),
		MediaType:     "application/wasm",
		Content:       []byte(text),
	}
}

func open(t *testing.T, dir string, config cache.Config) *cache.Cache {
	t.Helper()
	c, err := cache.Open(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fetch fetches ref through a cache and compares it with what text makes.
func fetch(t *testing.T, source oras.Source, ref, text string) {
	t.Helper()
	got, err := source.Fetch(t.Context(), ref, oras.Component)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(artifact(text), got); diff != "" {
		t.Errorf("Fetch(%s): -want +got\n%s", ref, diff)
	}
}

func TestFetchesOnce(t *testing.T) {
	dir := t.TempDir()
	s := &shelf{content: map[string]string{"a:1": "one", "b:1": "one"}}
	source := open(t, dir, cache.Config{}).Source(s)
	fetch(t, source, "a:1", "one")
	fetch(t, source, "a:1", "one")
	fetch(t, source, "b:1", "one") // the same artifact
	fetch(t, open(t, dir, cache.Config{}).Source(s), "a:1", "one")
	if got := s.fetches.Load(); got != 1 {
		t.Errorf("%d fetches, want 1", got)
	}
	if got := s.resolves.Load(); got != 4 {
		t.Errorf("%d resolves, want 4: a tag is always asked for", got)
	}
	s.set("a:1", "two")
	fetch(t, source, "a:1", "two")
	fetch(t, source, "a@"+artifact("one").Digest, "one")
	if got := s.resolves.Load(); got != 5 {
		t.Errorf("%d resolves, want 5: a digest needs nobody", got)
	}
}

func TestRegistryGone(t *testing.T) {
	dir := t.TempDir()
	s := &shelf{content: map[string]string{"a:1": "one"}}
	fetch(t, open(t, dir, cache.Config{}).Source(s), "a:1", "one")

	s.setDown(oras.ErrUnavailable)
	source := open(t, dir, cache.Config{}).Source(s) // as after a restart
	fetch(t, source, "a:1", "one")
	fetch(t, source, "a@"+artifact("one").Digest, "one")
	if got, err := source.Resolve(t.Context(), "a:1", oras.Component); err != nil || got != artifact("one").Digest {
		t.Errorf("Resolve = %s, %v", got, err)
	}
	for _, ref := range []string{"a:2", "b@" + digest.FromString("x").String()} {
		if _, err := source.Fetch(t.Context(), ref, oras.Component); !errors.Is(err, oras.ErrUnavailable) {
			t.Errorf("Fetch(%s): %v", ref, err)
		}
	}
	if _, err := source.Resolve(t.Context(), "a:2", oras.Component); !errors.Is(err, oras.ErrUnavailable) {
		t.Errorf("Resolve of what was never fetched: %v", err)
	}
	if _, err := source.Fetch(t.Context(), "a:1", oras.Graph); !errors.Is(err, oras.ErrUnavailable) {
		t.Errorf("Fetch of another kind: %v", err)
	}

	// What came last may never have worked; what is proven has.
	s.setDown(nil)
	s.set("a:1", "two")
	fetch(t, source, "a:1", "two")
	c := open(t, dir, cache.Config{})
	c.Prove(source.String(), "a:1", oras.Component, artifact("one").Digest)
	source = c.Source(s)
	fetch(t, source, "a:1", "two")
	s.setDown(oras.ErrUnavailable)
	fetch(t, source, "a:1", "one")
	if got, err := source.Resolve(t.Context(), "a:1", oras.Component); err != nil || got != artifact("one").Digest {
		t.Errorf("Resolve of what is proven = %s, %v", got, err)
	}

	// A registry that answers is right, also when it says no.
	for _, refusal := range []error{oras.ErrNotFound, oras.ErrDenied, oras.ErrNotArtifact} {
		s.setDown(refusal)
		if _, err := source.Fetch(t.Context(), "a:1", oras.Component); !errors.Is(err, refusal) {
			t.Errorf("Fetch = %v, want %v", err, refusal)
		}
	}
}

// each calls visit with the files of a folder of the cache.
func each(t *testing.T, dir, sub string, visit func(file string)) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(sub)))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		visit(filepath.Join(dir, filepath.FromSlash(sub), entry.Name()))
	}
}

func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"other bytes": func(file string) error { return os.WriteFile(file, []byte("eno"), 0o600) },
		"cut off":     func(file string) error { return os.Truncate(file, 1) },
		"empty":       func(file string) error { return os.Truncate(file, 0) },
		"gone":        os.Remove,
	} {
		for _, sub := range []string{"blobs/sha256", "artifacts/sha256", "references"} {
			t.Run(name+" in "+sub, func(t *testing.T) {
				dir := t.TempDir()
				s := &shelf{content: map[string]string{"a:1": "one"}}
				source := open(t, dir, cache.Config{}).Source(s)
				fetch(t, source, "a:1", "one")
				each(t, dir, sub, func(file string) {
					if err := damage(file); err != nil {
						t.Fatal(err)
					}
				})
				fetch(t, source, "a:1", "one")
				s.setDown(oras.ErrUnavailable)
				fetch(t, source, "a:1", "one") // it was mended
			})
		}
	}
}

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(1_000_000+clock.Add(1), 0) }
	s := &shelf{content: map[string]string{}}
	c := open(t, dir, cache.Config{MaxBytes: 25, Now: now})
	source := c.Source(s)
	for _, name := range []string{"a", "b", "c"} {
		s.set(name+":1", strings.Repeat(name, 10))
	}
	fetch(t, source, "a:1", "aaaaaaaaaa")
	fetch(t, source, "b:1", "bbbbbbbbbb")
	for _, text := range []string{"aaaaaaaaaa", "bbbbbbbbbb"} {
		if err := c.Note(artifact(text).Digest, []byte("note")); err != nil {
			t.Fatal(err)
		}
	}
	fetch(t, source, "a:1", "aaaaaaaaaa") // used after b
	fetch(t, source, "c:1", "cccccccccc") // takes b's place
	for text, want := range map[string]bool{"aaaaaaaaaa": true, "bbbbbbbbbb": false} {
		if _, got := c.Noted(artifact(text).Digest); got != want {
			t.Errorf("there is a note of %s: %t, want %t", text, got, want)
		}
	}
	records := 0
	each(t, dir, "artifacts/sha256", func(string) { records++ })
	if records != 2 {
		t.Errorf("there are %d records, want those of a and c", records)
	}
	s.setDown(oras.ErrUnavailable)
	fetch(t, source, "a:1", "aaaaaaaaaa")
	fetch(t, source, "c:1", "cccccccccc")
	if _, err := source.Fetch(t.Context(), "b:1", oras.Component); !errors.Is(err, oras.ErrUnavailable) {
		t.Errorf("what was used longest ago is still there: %v", err)
	}
	s.setDown(nil)
	fetch(t, source, "b:1", "bbbbbbbbbb")

	// The newest stays, however large. What somebody is writing stays, for a day.
	s.set("d:1", strings.Repeat("d", 100))
	fetch(t, source, "d:1", strings.Repeat("d", 100))
	s.setDown(oras.ErrUnavailable)
	fetch(t, source, "d:1", strings.Repeat("d", 100))
	fresh, stale := filepath.Join(dir, "blobs", "sha256", ".writing-1"), filepath.Join(dir, "blobs", "sha256", ".writing-2")
	for file, age := range map[string]time.Duration{fresh: time.Hour, stale: 25 * time.Hour} {
		if err := os.WriteFile(file, []byte("part"), 0o600); err != nil {
			t.Fatal(err)
		}
		then := now().Add(-age)
		if err := os.Chtimes(file, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if freed, err := c.Collect(); err != nil || freed != 4 {
		t.Errorf("Collect() = %d, %v; want 4", freed, err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error(err)
	}
}

// TestFullDisk: a cache that can't be written to doesn't stand in the way.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s := &shelf{content: map[string]string{"a:1": "one"}}
	source := open(t, dir, cache.Config{}).Source(s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder was: nothing can be made in it
		t.Fatal(err)
	}
	fetch(t, source, "a:1", "one")
	fetch(t, source, "a:1", "one")
	if _, err := cache.Open(dir, cache.Config{}); err == nil {
		t.Error("a file was opened as a cache")
	}
}

func TestOnlyForItsOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	open(t, dir, cache.Config{})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v; want 0700", info.Mode(), err)
	}
}

// fillers is set where the test binary runs as one of the processes of
// TestTwoProcesses.
const fillers = "CACHE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillers); dir != "" {
		if err := fill(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fill fetches much through a small cache, and waits before that for a line on
// standard input.
func fill(dir string) error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	c, err := cache.Open(dir, cache.Config{MaxBytes: 200_000})
	if err != nil {
		return err
	}
	s := &shelf{content: map[string]string{}}
	source := c.Source(s)
	for i := range 400 {
		ref, text := fmt.Sprintf("a:%d", i%40), strings.Repeat(fmt.Sprint(i%40), 5000)
		s.set(ref, text)
		a, err := source.Fetch(context.Background(), ref, oras.Component)
		if err != nil {
			return err
		}
		if !bytes.Equal(a.Content, []byte(text)) || a.Digest != artifact(text).Digest {
			return fmt.Errorf("%s is not what it was", ref)
		}
	}
	return nil
}

// TestTwoProcesses fill one cache, which is too small for both, at the same time.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	var processes []*exec.Cmd
	var starts []func()
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), fillers+"="+dir)
		cmd.Stderr = t.Output()
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, cmd)
		starts = append(starts, func() { fmt.Fprintln(stdin) })
	}
	for _, start := range starts {
		start()
	}
	for _, p := range processes {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	each(t, dir, "blobs/sha256", func(file string) {
		data, err := os.ReadFile(file)
		if err != nil || digest.FromBytes(data).Encoded() != filepath.Base(file) {
			t.Errorf("%s is left behind: %v", file, err)
		}
	})
}
