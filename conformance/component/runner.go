// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// outcome is what became of one assertion.
type outcome struct {
	File  string `json:"file"` // the .wast it comes from, or the script
	Line  int    `json:"line"`
	Type  string `json:"type"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// runner runs one script: it holds the definitions and instances that the script
// has named so far. The empty name is the latest one's.
type runner struct {
	runtime     *component.Runtime
	dir         string
	definitions map[string]*component.Component
	instances   map[string]*component.Instance
	all         []*component.Instance
	host        []*component.Interface
}

// runScript runs every command of the script at path.
func runScript(ctx context.Context, rt *component.Runtime, path string) ([]outcome, error) {
	s, err := readScript(path)
	if err != nil {
		return nil, err
	}
	r := &runner{
		runtime: rt, dir: filepath.Dir(path), host: (&host{}).interfaces(),
		definitions: map[string]*component.Component{}, instances: map[string]*component.Instance{},
	}
	defer r.close(ctx)
	file := s.Source
	if file == "" {
		file = path
	}
	var out []outcome
	for _, c := range s.Commands {
		o := outcome{File: file, Line: c.Line, Type: c.Type, OK: true}
		if err := r.do(ctx, c); err != nil {
			o.OK, o.Error = false, err.Error()
		}
		out = append(out, o)
	}
	return out, nil
}

func (r *runner) close(ctx context.Context) {
	for _, i := range r.all {
		i.Close(ctx)
	}
	for _, d := range r.definitions {
		d.Close(ctx)
	}
}

// do carries out one command; an error is a failed assertion.
func (r *runner) do(ctx context.Context, c command) error {
	switch c.Type {
	case "module", "component":
		if err := r.define(ctx, c); err != nil {
			return err
		}
		return r.instantiate(ctx, c.Name, c.Name)
	case "module_definition", "component_definition":
		return r.define(ctx, c)
	case "module_instance", "component_instance":
		return r.instantiate(ctx, c.Instance, c.Module)
	case "assert_return":
		return r.assertReturn(ctx, c)
	case "assert_trap", "assert_exhaustion":
		if c.Filename != "" {
			return r.assertUninstantiable(ctx, c)
		}
		_, err := r.invoke(ctx, c.Action)
		if t := (*component.Trap)(nil); !errors.As(err, &t) && !errors.Is(err, component.ErrPoisoned) {
			return fmt.Errorf("got %v, want a trap: %s", err, c.Text)
		}
		return nil
	case "assert_malformed", "assert_invalid":
		d, err := r.compile(ctx, c)
		if err == nil {
			d.Close(ctx)
			return fmt.Errorf("compiled, want an error: %s", c.Text)
		}
		return nil
	case "assert_unlinkable", "assert_uninstantiable":
		return r.assertUninstantiable(ctx, c)
	case "action":
		_, err := r.invoke(ctx, c.Action)
		return err
	}
	return fmt.Errorf("unknown command %q", c.Type)
}

func (r *runner) compile(ctx context.Context, c command) (*component.Component, error) {
	if c.ModuleType == "text" {
		return nil, errors.New("the script holds text, not a binary")
	}
	data, err := os.ReadFile(filepath.Join(r.dir, c.Filename))
	if err != nil {
		return nil, err
	}
	return r.runtime.Compile(ctx, c.Filename, data)
}

func (r *runner) define(ctx context.Context, c command) error {
	d, err := r.compile(ctx, c)
	if err != nil {
		// What follows must not act on what came before.
		delete(r.definitions, "")
		delete(r.instances, "")
		return err
	}
	r.definitions[""], r.definitions[c.Name] = d, d
	return nil
}

func (r *runner) instantiate(ctx context.Context, name, definition string) error {
	d := r.definitions[definition]
	if d == nil {
		return fmt.Errorf("no component %q", definition)
	}
	i, err := r.start(ctx, d)
	if err != nil {
		delete(r.instances, "")
		return err
	}
	r.all = append(r.all, i)
	r.instances[""], r.instances[name] = i, i
	return nil
}

// start instantiates d with what the host gives; what is missing traps when it is
// called.
func (r *runner) start(ctx context.Context, d *component.Component) (*component.Instance, error) {
	return d.Instantiate(ctx, component.InstanceConfig{Imports: r.host})
}

func (r *runner) assertUninstantiable(ctx context.Context, c command) error {
	d, err := r.compile(ctx, c)
	if err != nil {
		if c.Type == "assert_unlinkable" {
			return nil
		}
		return err
	}
	defer d.Close(ctx)
	if c.Type == "assert_unlinkable" && satisfies(d.Type().Imports, r.host) != nil {
		return nil
	}
	i, err := r.start(ctx, d)
	if err == nil {
		i.Close(ctx)
		return fmt.Errorf("instantiated, want an error: %s", c.Text)
	}
	return nil
}

func (r *runner) invoke(ctx context.Context, a action) (value.Value, error) {
	if a.Type != "invoke" {
		return value.Value{}, fmt.Errorf("unknown action %q", a.Type)
	}
	i := r.instances[a.Module]
	if i == nil {
		return value.Value{}, fmt.Errorf("no instance %q", a.Module)
	}
	f := i.Func("", a.Field)
	if f == nil {
		return value.Value{}, fmt.Errorf("no exported function %q", a.Field)
	}
	params := f.Type().Params
	if len(a.Args) != len(params) {
		return value.Value{}, fmt.Errorf("%d arguments for %d parameters", len(a.Args), len(params))
	}
	args := make([]value.Value, len(params))
	for n, p := range params {
		var err error
		if args[n], err = a.Args[n].as(p.Type); err != nil {
			return value.Value{}, fmt.Errorf("argument %q: %w", p.Name, err)
		}
	}
	return f.Call(ctx, args...)
}

func (r *runner) assertReturn(ctx context.Context, c command) error {
	got, err := r.invoke(ctx, c.Action)
	if err != nil {
		return err
	}
	if len(c.Expected) == 0 {
		if !got.IsZero() {
			return fmt.Errorf("got a %v, want no result", got.Kind())
		}
		return nil
	}
	i := r.instances[c.Action.Module]
	t := i.Func("", c.Action.Field).Type().Result
	if t == nil {
		return errors.New("got no result")
	}
	want, err := c.Expected[0].as(t)
	if err != nil {
		return err
	}
	if !equal(got, want) {
		return fmt.Errorf("got another %v than expected (bits %#x, text %q)", got.Kind(), got.Bits(), got.Str())
	}
	return nil
}
