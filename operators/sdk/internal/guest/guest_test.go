// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/internal/guest"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

type process func(string) (string, error)

// imports takes the functions of a runtime out of an Env, which offers them as a Host.
type imports struct {
	sdk.Imports
	env *sdktest.Env
}

func (i imports) Log(level sdk.Level, context, message string) {
	i.env.Host().Log.WithContext(context).Log(level, message)
}

func newImports() (imports, *sdktest.Env) {
	env := sdktest.New()
	return imports{env: env}, env
}

func call(o *guest.Operator[process], in string) (string, error) {
	return guest.Process(o, func(p process) (string, error) { return p(in) })
}

func TestInitAndProcess(t *testing.T) {
	imports, env := newImports()
	o := guest.New[process]("map")
	o.Handle(func(host *sdk.Host) (process, error) {
		host.Log.Info("opened")
		suffix := host.Config.Text("suffix", "?")
		return func(in string) (string, error) { return in + suffix, nil }, nil
	})
	if _, err := call(o, "early"); err == nil {
		t.Error("process before init succeeded")
	}
	if !o.Init(imports, sdk.Config{Parameters: []sdk.Parameter{{Key: "suffix", Value: "!"}}}) {
		t.Fatal("init was refused")
	}
	if out, err := call(o, "in"); out != "in!" || err != nil {
		t.Errorf("process = %q, %v", out, err)
	}
	if !o.Init(imports, sdk.Config{}) {
		t.Fatal("the second init was refused")
	}
	if out, err := call(o, "in"); out != "in?" || err != nil {
		t.Errorf("process after the second init = %q, %v", out, err)
	}
	if got := env.Logs()[0]; got != (sdktest.LogEntry{Level: sdk.LevelInfo, Context: "map", Message: "opened"}) {
		t.Errorf("log: %v", got)
	}
}

func TestInitRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		open func(*sdk.Host) (process, error)
		want string
	}{
		{"error", func(*sdk.Host) (process, error) { return nil, errors.New("no such unit") }, "init: no such unit"},
		{"panic", func(*sdk.Host) (process, error) { panic("oh") }, "init: panic: oh"},
		{"nothing", nil, "no init function called Handle"},
	} {
		imports, env := newImports()
		o := guest.New[process]("map")
		if tt.open != nil {
			o.Handle(tt.open)
		}
		if o.Init(imports, sdk.Config{}) {
			t.Errorf("%s: init was accepted", tt.name)
		}
		if !env.Logged(sdk.LevelError, tt.want) {
			t.Errorf("%s: %q was not logged: %v", tt.name, tt.want, env.Logs())
		}
		if _, err := call(o, ""); err == nil {
			t.Errorf("%s: process succeeded", tt.name)
		}
	}
}

type stringer struct{}

func (stringer) String() string { return "a stringer" }

func blame() { panic(errors.New("an error")) }

func TestPanicsBecomeErrors(t *testing.T) {
	var none map[string]int
	for _, tt := range []struct {
		name, want string
		f          func()
	}{
		{"error", "panic: an error", blame},
		{"text", "panic: text", func() { panic("text") }},
		{"number", "panic: 7", func() { panic(7) }},
		{"stringer", "panic: a stringer", func() { panic(stringer{}) }},
		{"other", "panic: a value that is neither", func() { panic(struct{}{}) }},
		{"nil", "panic: panic called with nil argument", func() { panic(nil) }},
		{"index", "panic: runtime error: index out of range", func() { _ = []int{}[len(none)] }},
		{"nil map", "panic: assignment to entry in nil map", func() { none["x"] = 1 }},
	} {
		imports, env := newImports()
		o := guest.New[process]("map")
		o.Handle(func(*sdk.Host) (process, error) {
			return func(in string) (string, error) {
				if in == "panic" {
					tt.f()
				}
				return in, nil
			}, nil
		})
		if !o.Init(imports, sdk.Config{}) {
			t.Fatal("init was refused")
		}
		if out, err := call(o, "panic"); out != "" || err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.name, out, err, tt.want)
		}
		if out, err := call(o, "next"); out != "next" || err != nil {
			t.Errorf("%s: the call after it: %q, %v", tt.name, out, err)
		}
		if tt.name == "error" && !env.Logged(sdk.LevelError, "guest_test.blame\n\t") {
			t.Errorf("the stack was not logged: %v", env.Logs())
		}
	}
}

func TestHandlePanics(t *testing.T) {
	open := func(*sdk.Host) (process, error) { return nil, nil }
	for name, f := range map[string]func(o *guest.Operator[process]){
		"nil":   func(o *guest.Operator[process]) { o.Handle(nil) },
		"twice": func(o *guest.Operator[process]) { o.Handle(open); o.Handle(open) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f(guest.New[process]("map"))
		}()
	}
}
