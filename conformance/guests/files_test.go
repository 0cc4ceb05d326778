// SPDX-License-Identifier: Apache-2.0

//go:build guests

package guests_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/wasi"
	gmessage "github.com/wasm-graph/graphd/engine/message"
	contract "github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
)

// An operation has what its options allow it.
func TestFilesOfOperation(t *testing.T) {
	rt, err := component.New(component.Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := processor.Load(t.Context(), rt, "files", built(t, "rust/files-wasip1.component.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"in", "out"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "in/text"), []byte("text"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GRAPHD_TEST", "inherited")
	var options plan.Options
	if err := options.Set("operation.f.allow", "dir:"+dir+"/in=/in,dir-write:"+dir+"/out=/out,env:GRAPHD_TEST,env:MODE=given"); err != nil {
		t.Fatal(err)
	}
	i, err := m.Opener(contract.Config{Operation: "f", Kind: contract.Map}, processor.Environment{
		Allow: options.Operations["f"].Allow, BufferBorder: 1 << 20,
	}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	script := "read /in/text\nwrite /in/new text\ncopy /in/text /out/copy\nenv GRAPHD_TEST\nenv MODE\nenv HOME"
	out, err := i.Map(t.Context(), &gmessage.Message{Topic: "script", Payload: []byte(script)})
	if err != nil {
		t.Fatal(err)
	}
	want := "text\nerror: Read-only file system (os error 69)\n4\ninherited\ngiven\nerror: environment variable not found"
	if got := string(out.Payload); got != want {
		t.Errorf("results:\n%s\nwant\n%s", got, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "out/copy")); err != nil || string(text) != "text" {
		t.Errorf("copy is %q, %v", text, err)
	}
	if err := errors.Join(i.Close(), m.Close(context.Background())); err != nil {
		t.Error(err)
	}
}

// A program that uses files by Rust's standard library has what it is granted.
func TestFiles(t *testing.T) {
	c := compile(t, built(t, "rust/files-wasip1.component.wasm"))
	dir := t.TempDir()
	for name, text := range map[string]string{"data/hello": "hello, world", "shared/read": "me", "secret": "secret"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"data/link": "hello", "data/escape": "../secret", "data/out": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	system := wasi.Config{Env: [][2]string{{"GREETING", "hi"}}}
	for _, p := range []wasi.Preopen{{Name: "/data", Write: true}, {Name: "/shared"}} {
		root, err := os.OpenRoot(filepath.Join(dir, p.Name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := root.Close(); err != nil {
				t.Error(err)
			}
		})
		p.Root = root
		system.Preopens = append(system.Preopens, p)
	}
	script := [][2]string{
		{"read /data/hello", "hello, world"},
		{"read /data/link", "hello, world"},
		{"read /data/./nothing/../hello", "error: No such file or directory"},
		{"stat /data/hello", "file 12"},
		{"stat /data/link", "file 12"},
		{"lstat /data/link", "link"},
		{"stat /data", "directory"},
		{"write /data/new one", "ok"},
		{"append /data/new  two", "ok"},
		{"read /data/new", "one two"},
		{"patch /data/new --", "on--"},
		{"create /data/new", "error: File exists"},
		{"create /data/fresh", "ok"},
		{"copy /data/hello /data/copy", "12"},
		{"large /data/large", "1000000 true"},
		{"touch /data/hello 1000000000", "1000000000"},
		{"mkdir /data/a/b/c", "ok"},
		{"write /data/a/b/c/d text", "ok"},
		{"rename /data/a/b/c/d /data/a/moved", "ok"},
		{"link /data/hello /data/a/hard", "ok"},
		{"list /data/a", "b hard moved"},
		{"rmdir /data/a", "error: Directory not empty"},
		{"rmdir /data/hello", "error: Not a directory"},
		{"remove /data/fresh", "ok"},
		{"remove-all /data/a", "ok"},
		{"list /data", "copy escape hello large link new out"},
		{"read /data", "error: Bad file descriptor"},
		{"write /data/nowhere/x text", "error: No such file or directory"},
		{"read /shared/read", "me"},
		{"list /shared", "read"},
		{"write /shared/new text", "error: Read-only file system"},
		{"write /shared/read text", "error: Read-only file system"},
		{"remove /shared/read", "error: Read-only file system"},
		{"copy /shared/read /data/read", "2"},
		{"rename /data/read /shared/x", "error: Read-only file system"},
		{"read /data/escape", "error: Operation not permitted"},
		{"read /data/out/secret", "error: Operation not permitted"},
		{"write /data/out/secret gone", "error: Operation not permitted"},
		{"read /data/../secret", "error: Operation not permitted"},
		{"read /secret", "error: Capabilities insufficient"},
		{"read /etc/passwd", "error: Capabilities insufficient"},
		{"list /", "error: Capabilities insufficient"},
		{"env GREETING", "hi"},
		{"env HOME", "error: environment variable not found"},
	}
	var commands, want []string
	for _, line := range script {
		commands, want = append(commands, line[0]), append(want, line[1])
	}
	run := func(system wasi.Config) []string {
		t.Helper()
		o := grant(t, c, component.InstanceConfig{Deadline: 10 * time.Second}, system)
		o.start()
		got, err := o.process(message{Topic: "script", Payload: strings.Join(commands, "\n")})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(got.Payload, "\n")
	}
	got := run(system)
	if len(got) != len(want) {
		t.Fatalf("%d results of %d commands: %q", len(got), len(want), got)
	}
	for i := range want {
		if got, _, _ := strings.Cut(got[i], " (os error"); got != want[i] {
			t.Errorf("%s: got %q, want %q", commands[i], got, want[i])
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "secret")); err != nil || string(text) != "secret" {
		t.Errorf("the secret is now %q, %v", text, err)
	}

	// And without a grant, nothing.
	for i, got := range run(wasi.Config{}) {
		if !strings.HasPrefix(got, "error: ") {
			t.Errorf("without a grant, %s: got %q, want an error", commands[i], got)
		}
	}
}
