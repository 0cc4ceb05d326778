// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(coretest.EveryEngine{M: m}) }

const guestWIT = `package test:guest;
world guest {
  import wasi:cli/exit@0.2.12;
  import wasi:cli/stdin@0.2.12;
  import wasi:cli/stdout@0.2.12;
  import wasi:clocks/monotonic-clock@0.2.12;
  import wasi:io/streams@0.2.12;
  export exit: func(code: u8);
  export sleep: func(duration: u64) -> u32;
  export copy: func() -> u64;
}`

// GuestComponent makes a component of testdata/guest.wasm against the declarations of
// this package.
func GuestComponent() ([]byte, error) {
	module, err := os.ReadFile("testdata/guest.wasm")
	if err != nil {
		return nil, err
	}
	all := fstest.MapFS{"guest.wit": {Data: []byte(guestWIT)}}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		all[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		return nil, err
	}
	packages, err := wit.Parse(all)
	if err != nil {
		return nil, err
	}
	world, err := packages.World("guest")
	if err != nil {
		return nil, err
	}
	return encode.Component(module, world, encode.Options{})
}

func compileGuest(t *testing.T) *component.Component {
	t.Helper()
	data, err := GuestComponent()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := component.New(component.Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := rt.Compile(t.Context(), "guest", data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A compiled guest gets what the functions of a Host give, through the runtime.
func TestComponent(t *testing.T) {
	c := compileGuest(t)
	run := func(cfg Config, deadline time.Duration, name string, args ...value.Value) (value.Value, error) {
		t.Helper()
		i, err := c.Instantiate(t.Context(), component.InstanceConfig{Imports: New(cfg).Interfaces(), Deadline: deadline})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := i.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		return i.Func("", name).Call(t.Context(), args...)
	}

	text := strings.Repeat("0123456789", 10000)
	var out bytes.Buffer
	got, err := run(Config{Stdin: strings.NewReader(text), Stdout: &out}, 0, "copy")
	if err != nil || got.U64() != uint64(len(text)) || out.String() != text {
		t.Errorf("copied %d bytes, error %v, and wrote %d; want %d", got.U64(), err, out.Len(), len(text))
	}

	clock := &virtualClock{now: 5}
	got, err = run(clock.config(), 0, "sleep", value.U64(3600e9))
	if err != nil || got.U32() != 1 || clock.now != 3600e9+5 {
		t.Errorf("sleep made %d ready, error %v, and the clock show %d; want 1, none, 3600e9+5", got.U32(), err, clock.now)
	}
	if _, err = run(Config{}, 10*time.Millisecond, "sleep", value.U64(3600e9)); !errors.Is(err, component.ErrDeadline) {
		t.Errorf("sleep beyond the deadline: got error %v, want %v", err, component.ErrDeadline)
	}

	var exit *ExitError
	if _, err = run(Config{}, 0, "exit", value.U8(7)); !errors.As(err, &exit) || exit.Code != 7 {
		t.Errorf("exit: got error %v, want exit with code 7", err)
	}
}
