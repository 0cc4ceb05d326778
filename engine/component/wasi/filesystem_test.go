// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// errorNames are the cases of error-code, as declared.
func errorNames(t *testing.T) []string {
	t.Helper()
	i, err := declarations().Interface("wasi:filesystem/types@" + version)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range types.Find(i.Exports, "error-code").Type.Fields {
		names = append(names, f.Name)
	}
	return names
}

// disk is a guest with directories: "/rw" that it may change, "/ro" that it may not.
// Both are the same one of the host.
type disk struct {
	*guest
	dir    string // on the host
	rw, ro value.Value
	errors []string
	drops  map[string]map[string]func(any)
	host   *Host
}

func newDisk(t *testing.T, cfg Config) *disk {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"hello.txt": "hello, world", "sub/a": "a", "sub/deep/b": "bb", "outside/secret": "secret"} {
		file := filepath.Join(dir, "root", name)
		if strings.HasPrefix(name, "outside/") {
			file = filepath.Join(dir, name)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(dir, "root")
	for name, target := range map[string]string{
		"link": "hello.txt", "sub/up": "../hello.txt", "dirlink": "sub", "dangling": "nowhere",
		"escape": "../outside/secret", "escape-dir": "../outside", "absolute": "/etc/passwd", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Preopens = []Preopen{{Name: "/rw", Root: root, Write: true}, {Name: "/ro", Root: root}}
	h := New(cfg)
	d := &disk{guest: &guest{t, h.functions()}, dir: dir, errors: errorNames(t), drops: h.drops(), host: h}
	list := d.call("filesystem/preopens get-directories")
	d.rw, d.ro = list.Field(0).Field(0), list.Field(1).Field(0)
	if a, b := list.Field(0).Field(1).Str(), list.Field(1).Field(1).Str(); a != "/rw" || b != "/ro" {
		t.Fatalf("directories are called %q and %q", a, b)
	}
	t.Cleanup(func() {
		d.drop("filesystem/types descriptor", d.rw)
		d.drop("filesystem/types descriptor", d.ro)
		if h.openFiles != 0 {
			t.Errorf("%d files are open after the test", h.openFiles)
		}
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// drop drops an object, as the runtime does: name is "interface resource".
func (d *disk) drop(name string, v value.Value) {
	d.t.Helper()
	iface, resource, _ := strings.Cut(name, " ")
	f := d.drops["wasi:"+iface][resource]
	if f == nil {
		d.t.Fatalf("%s: nothing to drop it", name)
	}
	f(v.Object())
}

// op calls a method of a descriptor. It returns the result's payload, or the name of
// the error.
func (d *disk) op(on value.Value, name string, args ...value.Value) (value.Value, string) {
	d.t.Helper()
	v := d.call("filesystem/types [method]descriptor."+name, append([]value.Value{on}, args...)...)
	if v.Case() == 1 {
		return value.Value{}, d.errors[v.Payload().Case()]
	}
	return v.Payload(), "ok"
}

// must is op that must succeed.
func (d *disk) must(on value.Value, name string, args ...value.Value) value.Value {
	d.t.Helper()
	v, err := d.op(on, name, args...)
	if err != "ok" {
		d.t.Fatalf("%s: %s", name, err)
	}
	return v
}

func str(s string) value.Value { return value.String(s) }

// open opens a path, with words for its flags.
func (d *disk) open(on value.Value, path, flags string) (value.Value, string) {
	d.t.Helper()
	var at, how, as uint32
	for _, f := range strings.Fields(flags) {
		switch f {
		case "follow":
			at |= symlinkFollow
		case "create":
			how |= openCreate
		case "directory":
			how |= openDirectory
		case "exclusive":
			how |= openExclusive
		case "truncate":
			how |= openTruncate
		case "read":
			as |= flagRead
		case "write":
			as |= flagWrite
		case "sync":
			as |= flagDataSync
		case "mutate":
			as |= flagMutateDirectory
		default:
			d.t.Fatalf("flag %s", f)
		}
	}
	return d.op(on, "open-at", value.Flags(at), str(path), value.Flags(how), value.Flags(as))
}

// opened is open that must succeed; the descriptor is dropped after the test.
func (d *disk) opened(on value.Value, path, flags string) value.Value {
	d.t.Helper()
	v, err := d.open(on, path, flags)
	if err != "ok" {
		d.t.Fatalf("open %s (%s): %s", path, flags, err)
	}
	d.t.Cleanup(func() { d.drop("filesystem/types descriptor", v) })
	return v
}

// text returns what is in a file of the host.
func (d *disk) text(name string) string {
	d.t.Helper()
	p, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(p)
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct{ on, path, flags, want string }{
		{"rw", "hello.txt", "read", "ok"},
		{"ro", "hello.txt", "read", "ok"},
		{"ro", "./sub/../hello.txt", "read", "ok"},
		{"rw", "hello.txt", "", "ok"},
		{"rw", "new", "create write", "ok"},
		{"rw", "new", "create read write exclusive sync", "ok"},
		{"rw", "sub/deep/new", "create write truncate", "ok"},
		{"rw", "sub", "directory read", "ok"},
		{"rw", "sub", "directory mutate", "ok"},
		{"rw", "sub", "read", "ok"},
		{"rw", "sub/", "directory", "ok"},
		{"rw", ".", "directory", "ok"},
		{"rw", "link", "follow read", "ok"},
		{"rw", "sub/up", "follow read", "ok"},
		{"rw", "dirlink/a", "read", "ok"},
		{"rw", "dirlink/up", "follow read", "ok"},

		{"ro", "hello.txt", "write", "read-only"},
		{"ro", "hello.txt", "read write", "read-only"},
		{"ro", "hello.txt", "truncate", "read-only"},
		{"ro", "new", "create", "read-only"},
		{"ro", "sub", "directory mutate", "read-only"},
		{"rw", "", "read", "no-entry"},
		{"rw", "nowhere", "read", "no-entry"},
		{"rw", "nowhere/x", "create write", "no-entry"},
		{"rw", "dangling", "follow read", "no-entry"},
		{"rw", "hello.txt/x", "read", "not-directory"},
		{"rw", "hello.txt", "directory", "not-directory"},
		{"rw", "link", "read", "loop"},
		{"rw", "link", "directory", "not-directory"},
		{"rw", "loop", "follow read", "loop"},
		{"rw", "hello.txt", "create write exclusive", "exist"},
		{"rw", "link", "create write exclusive", "exist"},
		{"rw", "sub", "write", "is-directory"},
		{"rw", "sub", "create write", "is-directory"},
		{"rw", "new", "create directory", "invalid"},
		{"rw", "hello.txt", "truncate read", "invalid"},
		{"rw", "a\x00b", "read", "invalid"},
		{"rw", strings.Repeat("x", 300), "read", "name-too-long"},
		{"rw", "pipe", "read", "not-permitted"},

		{"rw", "/hello.txt", "read", "not-permitted"},
		{"rw", "/etc/passwd", "read", "not-permitted"},
		{"rw", "..", "directory read", "not-permitted"},
		{"rw", "../outside/secret", "read", "not-permitted"},
		{"rw", "sub/../../outside/secret", "read", "not-permitted"},
		{"rw", "../root/hello.txt", "read", "not-permitted"},
		{"rw", "escape", "follow read", "not-permitted"},
		{"rw", "escape", "follow create write", "not-permitted"},
		{"rw", "escape-dir/secret", "read", "not-permitted"},
		{"rw", "escape-dir/new", "create write", "not-permitted"},
		{"rw", "escape-dir", "follow directory read", "not-permitted"},
		{"rw", "absolute", "follow read", "not-permitted"},
		{"file", "x", "read", "not-directory"},
		{"sub", "a", "read", "ok"},
		{"sub", "../hello.txt", "read", "not-permitted"},
		{"sub", "up", "follow read", "not-permitted"},
		{"sub", "..", "directory", "not-permitted"},
		{"sub", "deep/../a", "read", "ok"},
	} {
		t.Run(fmt.Sprintf("%s %.20q %s", tt.on, tt.path, tt.flags), func(t *testing.T) {
			d := newDisk(t, Config{})
			makePipe(t, filepath.Join(d.dir, "pipe"))
			on := map[string]func() value.Value{
				"rw":   func() value.Value { return d.rw },
				"ro":   func() value.Value { return d.ro },
				"sub":  func() value.Value { return d.opened(d.rw, "sub", "directory read") },
				"file": func() value.Value { return d.opened(d.rw, "hello.txt", "read") },
			}[tt.on]()
			v, got := d.open(on, tt.path, tt.flags)
			if got != tt.want {
				t.Errorf("open: %s, want %s", got, tt.want)
			}
			if got == "ok" {
				d.drop("filesystem/types descriptor", v)
			}
			if text, err := os.ReadFile(filepath.Join(d.dir, "../outside/secret")); err != nil || string(text) != "secret" {
				t.Errorf("the secret is now %q, %v", text, err)
			}
		})
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	d := newDisk(t, Config{OpenFiles: 3})
	d.opened(d.rw, "hello.txt", "read")
	d.opened(d.rw, "sub", "directory")
	dir := d.must(d.rw, "read-directory")
	for range 2 {
		for _, path := range []string{"hello.txt", "sub"} {
			if _, got := d.open(d.rw, path, "read"); got != "insufficient-memory" {
				t.Errorf("fourth open: %s, want insufficient-memory", got)
			}
		}
		if _, got := d.op(d.rw, "read-directory"); got != "insufficient-memory" {
			t.Errorf("fourth open: %s, want insufficient-memory", got)
		}
	}
	d.drop("filesystem/types directory-entry-stream", dir)
	d.opened(d.rw, "hello.txt", "read")
}

func TestReadAndWrite(t *testing.T) {
	d := newDisk(t, Config{ChunkBytes: 4096})
	f := d.opened(d.rw, "hello.txt", "read write")
	read := func(length, offset uint64) string {
		t.Helper()
		v, err := d.op(f, "read", value.U64(length), value.U64(offset))
		if err != "ok" {
			return err
		}
		return fmt.Sprintf("%.20q %v", v.Field(0).Bytes(), v.Field(1).Bool())
	}
	write := func(text string, offset uint64) string {
		t.Helper()
		v, err := d.op(f, "write", value.Bytes([]byte(text)), value.U64(offset))
		if err != "ok" {
			return err
		}
		return fmt.Sprint(v.U64())
	}
	for _, tt := range []struct{ got, want string }{
		{read(5, 0), `"hello" false`},
		{read(100, 7), `"world" true`},
		{read(0, 0), `"" false`},
		{read(1, 100), `"" true`},
		{read(1, 1<<63), "invalid"},
		{write("HELLO", 0), "5"},
		{write("!", 12), "1"},
		{write("x", 1<<63), "invalid"},
		{read(1<<62, 0), `"HELLO, world!" true`},
		{write(strings.Repeat("y", 5000), 13), "5000"},
		{read(1<<62, 5000), `"yyyyyyyyyyyyy" true`},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
	if v := d.must(f, "read", value.U64(1<<62), value.U64(0)); v.Field(0).Len() != 4096 || v.Field(1).Bool() {
		t.Errorf("read %d bytes at once, end %v; want a chunk of 4096", v.Field(0).Len(), v.Field(1).Bool())
	}
	d.must(f, "set-size", value.U64(3))
	d.must(f, "sync")
	d.must(f, "sync-data")
	d.must(d.rw, "sync")
	d.must(f, "advise", value.U64(0), value.U64(1), value.Enum(2))
	if got := d.text("hello.txt"); got != "HEL" {
		t.Errorf("file is now %q, want HEL", got)
	}
}

// What a descriptor was not opened for is refused.
func TestFlags(t *testing.T) {
	d := newDisk(t, Config{})
	reader, writer := d.opened(d.rw, "hello.txt", "read"), d.opened(d.rw, "hello.txt", "write")
	for _, tt := range []struct {
		on   value.Value
		name string
		args []value.Value
		want string
	}{
		{reader, "write", []value.Value{value.Bytes([]byte("x")), value.U64(0)}, "bad-descriptor"},
		{reader, "write-via-stream", []value.Value{value.U64(0)}, "bad-descriptor"},
		{reader, "append-via-stream", nil, "bad-descriptor"},
		{reader, "set-size", []value.Value{value.U64(0)}, "bad-descriptor"},
		{writer, "read", []value.Value{value.U64(1), value.U64(0)}, "bad-descriptor"},
		{writer, "read-via-stream", []value.Value{value.U64(0)}, "bad-descriptor"},
		{d.rw, "read", []value.Value{value.U64(1), value.U64(0)}, "is-directory"},
		{d.rw, "read-via-stream", []value.Value{value.U64(0)}, "is-directory"},
		{d.rw, "write-via-stream", []value.Value{value.U64(0)}, "bad-descriptor"},
		{d.rw, "advise", []value.Value{value.U64(0), value.U64(0), value.Enum(0)}, "bad-descriptor"},
		{reader, "read-via-stream", []value.Value{value.U64(1 << 63)}, "invalid"},
		{writer, "write-via-stream", []value.Value{value.U64(1 << 63)}, "invalid"},
		{writer, "set-size", []value.Value{value.U64(1 << 63)}, "invalid"},
		{reader, "read-directory", nil, "not-directory"},
		{reader, "create-directory-at", []value.Value{str("x")}, "not-directory"},
	} {
		if _, got := d.op(tt.on, tt.name, tt.args...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		name  string
		on    value.Value
		flags uint32
		typ   uint32
	}{
		{"reader", reader, flagRead, typeRegularFile},
		{"writer", writer, flagWrite, typeRegularFile},
		{"rw", d.rw, flagRead | flagMutateDirectory, typeDirectory},
		{"ro", d.ro, flagRead, typeDirectory},
		{"sub", d.opened(d.rw, "sub", "directory read"), flagRead | flagMutateDirectory, typeDirectory},
	} {
		if got := d.must(tt.on, "get-flags").Bits(); got != uint64(tt.flags) {
			t.Errorf("flags of %s = %b, want %b", tt.name, got, tt.flags)
		}
		if got := d.must(tt.on, "get-type").Case(); got != tt.typ {
			t.Errorf("type of %s = %d, want %d", tt.name, got, tt.typ)
		}
	}
}

func TestFileStreams(t *testing.T) {
	d := newDisk(t, Config{})
	f, err := d.open(d.rw, "hello.txt", "read write")
	if err != "ok" {
		t.Fatal(err)
	}
	in := d.must(f, "read-via-stream", value.U64(7))
	out := d.must(f, "write-via-stream", value.U64(5))
	end := d.must(f, "append-via-stream")
	d.drop("filesystem/types descriptor", f) // the streams go on
	got := []string{
		d.stream("input-stream.read", in, value.U64(3)),
		d.stream("output-stream.blocking-write-and-flush", out, value.Bytes([]byte(":"))),
		d.stream("output-stream.blocking-write-and-flush", out, value.Bytes([]byte("-"))),
		d.stream("output-stream.blocking-write-and-flush", end, value.Bytes([]byte("!"))),
		d.stream("output-stream.blocking-write-zeroes-and-flush", end, value.U64(1)),
		d.stream("input-stream.blocking-read", in, value.U64(100)),
		d.stream("input-stream.read", in, value.U64(100)),
		d.stream("input-stream.read", in, value.U64(100)),
	}
	want := []string{`ok "wor"`, "ok", "ok", "ok", "ok", `ok "ld!\x00"`, "closed", "closed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	if got, want := d.text("hello.txt"), "hello:-world!\x00"; got != want {
		t.Errorf("file is now %q, want %q", got, want)
	}
	if d.host.openFiles != 1 {
		t.Errorf("%d files are open, want the one of the streams", d.host.openFiles)
	}
	for _, s := range []value.Value{out, end} {
		d.drop("io/streams output-stream", s)
	}
	d.drop("io/streams input-stream", in)
	d.drop("io/streams input-stream", d.call("cli/stdin get-stdin"))
	d.drop("io/streams output-stream", d.call("cli/stdout get-stdout"))
}

// The error of a stream says what happened, and not where on the host.
func TestFileStreamError(t *testing.T) {
	d := newDisk(t, Config{})
	f := d.opened(d.rw, "hello.txt", "read write")
	in, out := d.must(f, "read-via-stream", value.U64(0)), d.must(f, "write-via-stream", value.U64(1<<63-2))
	if err := f.Object().(*descriptor).file.File.Close(); err != nil { // pulled from under it
		t.Fatal(err)
	}
	for _, v := range []value.Value{
		d.call("io/streams [method]input-stream.read", in, value.U64(1)),
		d.call("io/streams [method]output-stream.blocking-write-and-flush", out, value.Bytes([]byte("xyz"))),
	} {
		err := v.Payload().Payload()
		if text := d.call("io/error [method]error.to-debug-string", err).Str(); text == "" || strings.Contains(text, d.dir) {
			t.Errorf("error says %q", text)
		}
		if code := d.call("filesystem/types filesystem-error-code", err); code.Case() != 1 || d.errors[code.Payload().Case()] != "bad-descriptor" {
			t.Errorf("filesystem-error-code = %+v, want bad-descriptor", code)
		}
	}
	other := value.Own(&ioError{errors.New("tape torn")})
	if code := d.call("filesystem/types filesystem-error-code", other); code.Case() != 0 {
		t.Errorf("filesystem-error-code of another error = %+v, want none", code)
	}
	d.drop("io/streams input-stream", in)
	d.drop("io/streams output-stream", out)
}

func TestReadDirectory(t *testing.T) {
	d := newDisk(t, Config{})
	for i := range 600 { // more than are read at once
		if err := os.WriteFile(filepath.Join(d.dir, "sub/deep", fmt.Sprint(i)), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	list := func(path string) map[string]uint32 {
		t.Helper()
		dir := d.opened(d.ro, path, "directory read")
		s := d.must(dir, "read-directory")
		defer d.drop("filesystem/types directory-entry-stream", s)
		names := map[string]uint32{}
		for {
			v := d.call("filesystem/types [method]directory-entry-stream.read-directory-entry", s)
			switch e := v.Payload(); {
			case v.Case() == 1:
				t.Fatalf("read-directory-entry: %s", d.errors[v.Payload().Case()])
			case e.Case() == 0:
				return names
			default:
				names[e.Payload().Field(1).Str()] = e.Payload().Field(0).Case()
			}
		}
	}
	want := map[string]uint32{"a": typeRegularFile, "deep": typeDirectory, "up": typeSymbolicLink}
	if diff := cmp.Diff(want, list("sub")); diff != "" {
		t.Errorf("entries of sub (-want +got):\n%s", diff)
	}
	if got := len(list("sub/deep")); got != 601 {
		t.Errorf("%d entries in sub/deep, want 601", got)
	}
}

func TestStat(t *testing.T) {
	d := newDisk(t, Config{})
	when := time.Unix(1700000000, 123456789)
	if err := os.Chtimes(filepath.Join(d.dir, "hello.txt"), when.Add(time.Second), when); err != nil {
		t.Fatal(err)
	}
	check := func(name string, v value.Value) {
		t.Helper()
		time := v.Field(4).Payload()
		if v.Field(0).Case() != typeRegularFile || v.Field(1).U64() != 1 || v.Field(2).U64() != 12 ||
			time.Field(0).U64() != 1700000000 || time.Field(1).U32() != 123456789 {
			t.Errorf("%s = %+v", name, v)
		}
	}
	check("stat", d.must(d.opened(d.ro, "hello.txt", "read"), "stat"))
	check("stat-at", d.must(d.ro, "stat-at", value.Flags(0), str("hello.txt")))
	check("stat-at of a link", d.must(d.ro, "stat-at", value.Flags(symlinkFollow), str("link")))
	for _, tt := range []struct {
		path string
		want uint32
	}{{"link", typeSymbolicLink}, {"sub", typeDirectory}, {".", typeDirectory}, {"escape", typeSymbolicLink}} {
		if got := d.must(d.ro, "stat-at", value.Flags(0), str(tt.path)).Field(0).Case(); got != tt.want {
			t.Errorf("type of %s = %d, want %d", tt.path, got, tt.want)
		}
	}
	if got := d.must(d.ro, "stat").Field(0).Case(); got != typeDirectory {
		t.Errorf("type of the directory = %d", got)
	}
	for path, want := range map[string]string{"nowhere": "no-entry", "../outside": "not-permitted", "escape": "not-permitted", "dangling": "no-entry"} {
		for _, name := range []string{"stat-at", "metadata-hash-at"} {
			if _, got := d.op(d.ro, name, value.Flags(symlinkFollow), str(path)); got != want {
				t.Errorf("%s of %s: %s, want %s", name, path, got, want)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	d := newDisk(t, Config{})
	a, b, other := d.opened(d.rw, "hello.txt", "read"), d.opened(d.ro, "link", "follow read"), d.opened(d.rw, "sub/a", "read")
	same := func(a, b value.Value) bool {
		return d.call("filesystem/types [method]descriptor.is-same-object", a, b).Bool()
	}
	if !same(a, b) || same(a, other) || !same(d.rw, d.ro) || same(d.rw, a) {
		t.Errorf("is-same-object: %v %v %v %v, want true false true false", same(a, b), same(a, other), same(d.rw, d.ro), same(d.rw, a))
	}
	hash := func(v value.Value) [2]uint64 { return [2]uint64{v.Field(0).U64(), v.Field(1).U64()} }
	of := hash(d.must(a, "metadata-hash"))
	if got := hash(d.must(d.rw, "metadata-hash-at", value.Flags(symlinkFollow), str("link"))); got != of {
		t.Errorf("hash by another way = %x, want %x", got, of)
	}
	if got := hash(d.must(other, "metadata-hash")); got == of {
		t.Errorf("two files have the hash %x", of)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "hello.txt"), []byte("something else"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := hash(d.must(a, "metadata-hash")); got != of {
		t.Errorf("hash after a change = %x, want %x: guests take it for the inode", got, of)
	}
}

func timestamp(seconds uint64, nanoseconds uint32) value.Value {
	v := datetime(seconds, nanoseconds)
	return value.Variant(2, &v)
}

func TestSetTimes(t *testing.T) {
	d := newDisk(t, Config{WallClock: func() time.Time { return time.Unix(1600000000, 5) }})
	keep, now := value.Variant(0, nil), value.Variant(1, nil)
	modified := func(name string) time.Time {
		t.Helper()
		info, err := os.Stat(filepath.Join(d.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	f := d.opened(d.rw, "hello.txt", "read")
	d.must(f, "set-times", keep, timestamp(1, 2))
	if got := modified("hello.txt"); !got.Equal(time.Unix(1, 2)) {
		t.Errorf("set-times set %v", got)
	}
	d.must(f, "set-times", now, keep)
	if got := modified("hello.txt"); !got.Equal(time.Unix(1, 2)) {
		t.Errorf("set-times that should not set %v", got)
	}
	d.must(d.rw, "set-times-at", value.Flags(symlinkFollow), str("link"), keep, now)
	if got := modified("hello.txt"); !got.Equal(time.Unix(1600000000, 5)) {
		t.Errorf("set-times-at set %v", got)
	}
	d.must(d.opened(d.rw, "sub", "directory"), "set-times", keep, timestamp(9, 0))
	if got := modified("sub"); !got.Equal(time.Unix(9, 0)) {
		t.Errorf("set-times of a directory set %v", got)
	}
	d.must(d.rw, "set-times", keep, now)
	for _, tt := range []struct {
		on   value.Value
		name string
		args []value.Value
		want string
	}{
		{f, "set-times", []value.Value{keep, timestamp(0, 1e9)}, "invalid"},
		{f, "set-times", []value.Value{timestamp(1<<63, 0), keep}, "overflow"},
		{d.opened(d.ro, "hello.txt", "read"), "set-times", []value.Value{now, now}, "read-only"},
		{d.ro, "set-times-at", []value.Value{value.Flags(0), str("hello.txt"), now, now}, "read-only"},
		{d.rw, "set-times-at", []value.Value{value.Flags(0), str("link"), now, now}, "unsupported"},
		{d.rw, "set-times-at", []value.Value{value.Flags(symlinkFollow), str("escape"), now, now}, "not-permitted"},
		{d.rw, "set-times-at", []value.Value{value.Flags(0), str("nowhere"), now, now}, "no-entry"},
	} {
		if _, got := d.op(tt.on, tt.name, tt.args...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// A file that has moved is not found again.
	d.must(d.rw, "rename-at", str("hello.txt"), d.rw, str("moved"))
	if _, got := d.op(f, "set-times", now, now); got != "unsupported" {
		t.Errorf("set-times of what has moved: %s, want unsupported", got)
	}
}

// Everything that changes a directory, and what is there after it.
func TestChange(t *testing.T) {
	all := []string{"absolute", "dangling", "dirlink", "escape", "escape-dir", "hello.txt", "link", "loop", "sub", "sub/a", "sub/deep", "sub/deep/b", "sub/up"}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(names, n) })
	}
	with := func(list []string, names ...string) []string {
		list = append(slices.Clone(list), names...)
		slices.Sort(list)
		return list
	}
	none := value.Flags(0)
	for _, tt := range []struct {
		name string
		do   func(d *disk) (value.Value, string)
		want string
		tree []string // all where nil
	}{
		{"mkdir", func(d *disk) (value.Value, string) { return d.op(d.rw, "create-directory-at", str("new")) }, "ok", with(all, "new")},
		{"mkdir there", func(d *disk) (value.Value, string) { return d.op(d.rw, "create-directory-at", str("sub")) }, "exist", nil},
		{"mkdir ro", func(d *disk) (value.Value, string) { return d.op(d.ro, "create-directory-at", str("new")) }, "read-only", nil},
		{"mkdir outside", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "create-directory-at", str("escape-dir/new"))
		}, "not-permitted", nil},
		{"mkdir up", func(d *disk) (value.Value, string) { return d.op(d.rw, "create-directory-at", str("../new")) }, "not-permitted", nil},

		{"unlink", func(d *disk) (value.Value, string) { return d.op(d.rw, "unlink-file-at", str("hello.txt")) }, "ok", without("hello.txt")},
		{"unlink link", func(d *disk) (value.Value, string) { return d.op(d.rw, "unlink-file-at", str("escape")) }, "ok", without("escape")},
		{"unlink link to directory", func(d *disk) (value.Value, string) { return d.op(d.rw, "unlink-file-at", str("dirlink")) }, "ok", without("dirlink")},
		{"unlink directory", func(d *disk) (value.Value, string) { return d.op(d.rw, "unlink-file-at", str("sub")) }, "is-directory", nil},
		{"unlink nothing", func(d *disk) (value.Value, string) { return d.op(d.rw, "unlink-file-at", str("nowhere")) }, "no-entry", nil},
		{"unlink ro", func(d *disk) (value.Value, string) { return d.op(d.ro, "unlink-file-at", str("hello.txt")) }, "read-only", nil},
		{"unlink outside", func(d *disk) (value.Value, string) { return d.op(d.rw, "unlink-file-at", str("escape-dir/secret")) }, "not-permitted", nil},

		{"rmdir", func(d *disk) (value.Value, string) {
			d.must(d.rw, "unlink-file-at", str("sub/deep/b"))
			return d.op(d.rw, "remove-directory-at", str("sub/deep"))
		}, "ok", without("sub/deep", "sub/deep/b")},
		{"rmdir full", func(d *disk) (value.Value, string) { return d.op(d.rw, "remove-directory-at", str("sub")) }, "not-empty", nil},
		{"rmdir file", func(d *disk) (value.Value, string) { return d.op(d.rw, "remove-directory-at", str("hello.txt")) }, "not-directory", nil},
		{"rmdir link", func(d *disk) (value.Value, string) { return d.op(d.rw, "remove-directory-at", str("dirlink")) }, "not-directory", nil},
		{"rmdir itself", func(d *disk) (value.Value, string) { return d.op(d.rw, "remove-directory-at", str(".")) }, "invalid", nil},
		{"rmdir ro", func(d *disk) (value.Value, string) { return d.op(d.ro, "remove-directory-at", str("sub/deep")) }, "read-only", nil},

		{"rename", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "rename-at", str("hello.txt"), d.rw, str("sub/new"))
		}, "ok", with(without("hello.txt"), "sub/new")},
		{"rename into a directory", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "rename-at", str("hello.txt"), d.opened(d.rw, "sub", "directory"), str("new"))
		}, "ok", with(without("hello.txt"), "sub/new")},
		{"rename between directories", func(d *disk) (value.Value, string) {
			return d.op(d.opened(d.rw, "sub/deep", "directory"), "rename-at", str("b"), d.opened(d.rw, "sub", "directory"), str("new"))
		}, "ok", with(without("sub/deep/b"), "sub/new")},
		{"rename out of a directory", func(d *disk) (value.Value, string) {
			return d.op(d.opened(d.rw, "sub", "directory"), "rename-at", str("../hello.txt"), d.rw, str("new"))
		}, "not-permitted", nil},
		{"rename up", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "rename-at", str("hello.txt"), d.opened(d.rw, "sub", "directory"), str("../new"))
		}, "not-permitted", nil},
		{"rename nothing", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "rename-at", str("nowhere"), d.rw, str("new"))
		}, "no-entry", nil},
		{"rename ro", func(d *disk) (value.Value, string) {
			return d.op(d.ro, "rename-at", str("hello.txt"), d.ro, str("new"))
		}, "read-only", nil},
		{"rename to ro", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "rename-at", str("hello.txt"), d.ro, str("new"))
		}, "read-only", nil},
		{"rename outside", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "rename-at", str("hello.txt"), d.rw, str("escape-dir/new"))
		}, "not-permitted", nil},
		{"rename from outside", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "rename-at", str("escape-dir/secret"), d.rw, str("new"))
		}, "not-permitted", nil},
		{"rename from a moved directory", func(d *disk) (value.Value, string) {
			deep, sub := d.opened(d.rw, "sub/deep", "directory"), d.opened(d.rw, "sub", "directory")
			d.must(d.rw, "rename-at", str("sub/deep"), d.rw, str("moved"))
			return d.op(deep, "rename-at", str("b"), sub, str("new"))
		}, "unsupported", with(without("sub/deep", "sub/deep/b"), "moved", "moved/b")},

		{"link", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "link-at", none, str("hello.txt"), d.rw, str("sub/new"))
		}, "ok", with(all, "sub/new")},
		{"link and follow", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "link-at", value.Flags(symlinkFollow), str("link"), d.rw, str("new"))
		}, "invalid", nil},
		{"link there", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "link-at", none, str("hello.txt"), d.rw, str("link"))
		}, "exist", nil},
		{"link from outside", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "link-at", none, str("../outside/secret"), d.rw, str("new"))
		}, "not-permitted", nil},
		{"link ro", func(d *disk) (value.Value, string) {
			return d.op(d.ro, "link-at", none, str("hello.txt"), d.rw, str("new"))
		}, "read-only", nil},

		{"symlink", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "symlink-at", str("../hello.txt"), str("sub/new"))
		}, "ok", with(all, "sub/new")},
		{"symlink outside", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "symlink-at", str("../../outside/secret"), str("sub/new"))
		}, "not-permitted", nil},
		{"symlink up", func(d *disk) (value.Value, string) { return d.op(d.rw, "symlink-at", str(".."), str("new")) }, "not-permitted", nil},
		{"symlink absolute", func(d *disk) (value.Value, string) {
			return d.op(d.rw, "symlink-at", str("/etc/passwd"), str("new"))
		}, "not-permitted", nil},
		{"symlink empty", func(d *disk) (value.Value, string) { return d.op(d.rw, "symlink-at", str(""), str("new")) }, "no-entry", nil},
		{"symlink ro", func(d *disk) (value.Value, string) { return d.op(d.ro, "symlink-at", str("a"), str("new")) }, "read-only", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(t, Config{})
			if _, got := tt.do(d); got != tt.want {
				t.Errorf("result: %s, want %s", got, tt.want)
			}
			var tree []string
			err := filepath.WalkDir(d.dir, func(name string, _ fs.DirEntry, err error) error {
				if name, _ := filepath.Rel(d.dir, name); name != "." {
					tree = append(tree, filepath.ToSlash(name))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			want := tt.tree
			if want == nil {
				want = all
			}
			slices.Sort(tree)
			if diff := cmp.Diff(want, tree); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			outside, err := os.ReadDir(filepath.Join(d.dir, "../outside"))
			if err != nil || len(outside) != 1 || outside[0].Name() != "secret" {
				t.Errorf("outside there is now %v, %v", outside, err)
			}
		})
	}
}

func TestBetweenPreopens(t *testing.T) {
	d := newDisk(t, Config{})
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}()
	other := value.Own(&descriptor{preopen: &Preopen{Name: "/other", Root: root, Write: true}, dir: root, name: "."})
	if _, got := d.op(d.rw, "rename-at", str("hello.txt"), other, str("x")); got != "cross-device" {
		t.Errorf("rename: %s, want cross-device", got)
	}
}

func TestReadlink(t *testing.T) {
	d := newDisk(t, Config{})
	for path, want := range map[string]string{"link": "hello.txt", "sub/up": "../hello.txt", "dangling": "nowhere"} {
		if got := d.must(d.ro, "readlink-at", str(path)).Str(); got != want {
			t.Errorf("readlink %s = %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{"absolute": "not-permitted", "hello.txt": "invalid", "nowhere": "no-entry", "escape-dir/x": "not-permitted"} {
		if _, got := d.op(d.ro, "readlink-at", str(path)); got != want {
			t.Errorf("readlink %s: %s, want %s", path, got, want)
		}
	}
}
