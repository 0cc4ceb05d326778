// SPDX-License-Identifier: Apache-2.0

//go:build guests

package guests_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/guests"
	"github.com/wasm-graph/graphd/engine/component"
)

// built returns a file that the Makefile builds.
func built(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../build/guests", name))
	if err != nil {
		t.Fatalf("%v; run make -C conformance/guests", err)
	}
	return data
}

func TestToolchains(t *testing.T) {
	for _, tt := range []struct {
		file   string
		silent bool // has no way to standard error
		more   func(*testing.T, *component.Component)
	}{
		{file: "c/shout.component.wasm", silent: true},
		{file: "c/shout.wasm", silent: true},
		{file: "rust/shout.component.wasm", silent: true},
		{file: "rust/shout.wasm", silent: true},
		{file: "rust/shout-wasip1.component.wasm"},
		{file: "rust/shout-wasip1.wasm"},
		{file: "js/starlingmonkey.component.wasm", more: waitAndFetch},
		{file: "js/quickjs.component.wasm", silent: true},
		{file: "js/quickjs-async.component.wasm", silent: true},
		{file: "python/shout.component.wasm"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			data := built(t, tt.file)
			if !strings.Contains(tt.file, ".component.") { // a core module: ours to wrap
				data = componentOf(t, data)
				validate(t, data)
				if err := wasmTools(t, data[:len(data)-1], "validate", "--features", "all"); err == nil {
					t.Error("wasm-tools validates the component even without its last byte")
				}
			}
			c := compile(t, data)
			shout(t, c, tt.silent)
			if tt.more != nil {
				tt.more(t, c)
			}
		})
	}
}

func TestMapByWasmTools(t *testing.T) { uppercase(t, built(t, "c/map.component.wasm")) }

// waitAndFetch has the guest in JavaScript wait, and send a request that is denied.
func waitAndFetch(t *testing.T, c *component.Component) {
	in := message{Topic: "in", Payload: "x"}
	o := instantiate(t, c, component.InstanceConfig{})
	o.start("delay", "60000")
	if got, err := o.process(in); err != nil || got.Payload != "X" || o.now < time.Minute {
		t.Errorf("process with delay = %+v, %v, after %v; want the result after 1m", got, err, o.now)
	}

	o = instantiate(t, c, component.InstanceConfig{})
	o.start("report", "http://127.0.0.1/")
	for range 2 {
		var f *failure
		if got, err := o.process(in); !errors.As(err, &f) {
			t.Errorf("process with a report = %+v, %v; want an error of the operator", got, err)
		}
	}
}

func TestHostileByWasmTools(t *testing.T) { hostile(t, built(t, "c/hostile.component.wasm")) }

// The core modules that are kept are those that come out of the sources.
func TestKeptModules(t *testing.T) {
	for name, kept := range map[string][]byte{"map": guests.Map(), "hostile": guests.Hostile()} {
		if !bytes.Equal(built(t, "c/"+name+".wasm"), kept) {
			t.Errorf("c/testdata/%[1]s.wasm is not what c/%[1]s.c compiles to; copy build/guests/c/%[1]s.wasm there", name)
		}
	}
}

// validate checks a component with wasm-tools.
func validate(t testing.TB, data []byte) {
	t.Helper()
	if err := wasmTools(t, data, "validate", "--features", "all"); err != nil {
		t.Errorf("wasm-tools validate: %v", err)
	}
}

// wasmTools runs a command of wasm-tools on data. What it says of it goes to the log.
func wasmTools(t testing.TB, data []byte, args ...string) error {
	t.Helper()
	program := os.Getenv("WASM_TOOLS")
	if program == "" {
		t.Fatal("WASM_TOOLS does not name the program; run make -C conformance/guests check")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	if len(out) > 0 {
		t.Logf("wasm-tools %s: %s", strings.Join(args, " "), out)
	}
	return err
}
