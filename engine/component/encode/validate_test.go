// SPDX-License-Identifier: Apache-2.0

//go:build guests

package encode_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/encode/preview1"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

// These tests ask wasm-tools, the reference, for its opinion. It must be in PATH:
// without it they fail.

// tool runs wasm-tools on a file.
func tool(t *testing.T, data []byte, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("wasm-tools")
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, append(args, file)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Logf("wasm-tools %v: %v\n%s", args, err, &stderr)
	}
	return string(out), err
}

func validate(t *testing.T, data []byte) error {
	t.Helper()
	_, err := tool(t, data, "validate", "--features", "all")
	return err
}

func TestValid(t *testing.T) {
	for name, text := range worlds {
		t.Run(name, func(t *testing.T) {
			w := world(t, text)
			out, err := encode.Component(dummy(t, w).assemble(), w, encode.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(t, out); err != nil {
				t.Fatal(err)
			}
			// And it has the type that the world declares.
			text, err := tool(t, out, "component", "wit")
			if err != nil {
				t.Fatal(err)
			}
			p, err := wit.ParseText("wasm-tools", text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			root, err := p.World("root:component/root")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(print(t, w), print(t, root)); diff != "" {
				t.Errorf("type of the component (-world +component):\n%s", diff)
			}
		})
	}
}

// The reference finds the components for random worlds valid as well.
func TestValidRandom(t *testing.T) {
	for seed := range 100 {
		text := worldTexts.Example(seed)
		if out, _ := encodeRandom(t, text); validate(t, out) != nil {
			t.Errorf("seed %d:\n%s", seed, text)
		}
	}
}

func TestValidBuilt(t *testing.T) {
	w := builtWorld()
	out, err := encode.Component(dummy(t, w).assemble(), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, out); err != nil {
		t.Error(err)
	}
}

func TestValidMerged(t *testing.T) {
	if err := validate(t, merged(t)); err != nil {
		t.Error(err)
	}
}

func TestValidGo(t *testing.T) {
	w := world(t, goWorld)
	out, err := encode.Component(buildGo(t), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, out); err != nil {
		t.Error(err)
	}
}

// What is not right must be found, by wasm-tools and by our own runtime alike.
func TestCorruptIsInvalid(t *testing.T) {
	w := world(t, worlds["uses"])
	good, err := encode.Component(dummy(t, w).assemble(), w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, from, to string }{
		{"alias of nothing", "\x02\x0ccabi_realloc", "\x02\x0ccabi_reallox"},
		{"function of another name", "\x00\x03put", "\x00\x03pit"},
		{"preamble", "\x00asm\x0d\x00\x01\x00", "\x00asm\x0d\x00\x02\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !bytes.Contains(good, []byte(tt.from)) {
				t.Fatalf("the component has no %q", tt.from)
			}
			bad := bytes.Replace(good, []byte(tt.from), []byte(tt.to), 1)
			if err := validate(t, bad); err == nil {
				t.Error("wasm-tools finds it valid")
			}
			if _, err := compile(t, bad); err == nil {
				t.Error("the runtime finds it valid")
			}
		})
	}
	if err := validate(t, good[:len(good)-1]); err == nil {
		t.Error("wasm-tools finds a truncated one valid")
	}
}

// The adapter that is committed is what its text says.
func TestAdapterIsBuiltFromText(t *testing.T) {
	text, err := os.ReadFile("preview1/adapter.wat")
	if err != nil {
		t.Fatal(err)
	}
	built, err := tool(t, text, "parse")
	if err != nil {
		t.Fatal(err)
	}
	if built != string(preview1.Adapter()) {
		t.Errorf("adapter.wasm (%d bytes) is not what adapter.wat becomes (%d bytes); run: wasm-tools parse adapter.wat -o adapter.wasm",
			len(preview1.Adapter()), len(built))
	}
}
