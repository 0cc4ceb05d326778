// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/resource/schema"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// simulationFlags are the flags of what runs graphs in virtual time.
type simulationFlags struct {
	modules moduleFlags
	set     []string
	options []string
	level   string
	alone   bool // no operation is to have several instances, whatever the options say
}

func (f *simulationFlags) add(cmd *cobra.Command) {
	f.modules.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.set, "set", nil, "`KEY=VALUE` of a parameter of the graph")
	flags.StringArrayVar(&f.options, "option", nil, "`KEY=VALUE` of an option of the run, such as lateness=1s")
	flags.StringVar(&f.level, "log-level", "info", "least `LEVEL` of what is logged: debug, info, warn or error")
}

// optionHelp lists the options of --option.
func optionHelp() string {
	var b strings.Builder
	b.WriteString("Options, for --option KEY=VALUE, and their defaults:\n\n")
	for _, a := range schema.Annotations() {
		if !slices.Contains(a.Kinds, "DataflowGraph") {
			continue
		}
		value := a.Default
		if values := a.Values(); len(values) > 0 {
			value += " (of " + strings.Join(values, ", ") + ")"
		}
		fmt.Fprintf(&b, "  %-28s %s\n", strings.TrimPrefix(a.Name, schema.AnnotationPrefix), value)
	}
	b.WriteString(`
"graphctl explain annotations" says what each is for: they are those of resources without
"graphd.io/". <name> is an operation's, with / written as a dot. max-stall, drift-policy
and durability matter only in real time, so to graphd.`)
	return b.String()
}

// logger writes to w without times: they would be those of the machine.
func (f *simulationFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, &usageError{fmt.Sprintf("invalid argument %q for --log-level; want debug, info, warn or error", f.level)}
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})), nil
}

// configuration reads --set and --option.
func (f *simulationFlags) configuration() (settings []plan.Setting, options plan.Options, err error) {
	for _, s := range f.set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, options, &usageError{fmt.Sprintf("invalid argument %q for --set; want KEY=VALUE", s)}
		}
		settings = append(settings, plan.Setting{Key: key, Value: value})
	}
	for _, o := range f.options {
		key, value, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			return nil, options, &usageError{fmt.Sprintf("invalid argument %q for --option; want KEY=VALUE", o)}
		}
		if err := options.Set(key, value); err != nil {
			return nil, options, &usageError{err.Error()}
		}
	}
	return settings, options, nil
}

// simulation is a graph to be run in virtual time.
type simulation struct {
	definition *graph.Definition
	text       []byte
	plan       *plan.Plan
	options    plan.Options
	modules    wiring.Modules // nil until they are loaded
	models     nn.Backend     // likewise
}

// plan reads and plans a definition.
func (f *simulationFlags) plan(file string, stderr io.Writer) (*simulation, error) {
	settings, options, err := f.configuration()
	if err != nil {
		return nil, err
	}
	if f.alone {
		for name, o := range options.Operations {
			o.Parallelism = 1
			options.Operations[name] = o
		}
	}
	definition, text, err := readDefinition(file, stderr)
	if err != nil {
		return nil, err
	}
	p, err := plan.New(definition, settings, options)
	if err != nil {
		return nil, err
	}
	if len(p.Unused) > 0 {
		return nil, unusedSetting(p.Unused[0], definition)
	}
	return &simulation{definition: definition, text: text, plan: p, options: options}, nil
}

// load fetches and compiles the modules of s, and readies what runs their models.
func (s *simulation) load(ctx context.Context, compiler *wiring.Compiler, from *moduleFlags) (err error) {
	if s.models, err = wiring.NewNN(); err != nil {
		return err
	}
	s.modules, err = from.load(ctx, compiler, s.definition)
	return err
}

// config puts a run together but for its input. Everything that comes out goes to sink.
func (s *simulation) config(virtual *schedule.VirtualTime, sink *recording.Sink, logger *slog.Logger) engine.Config {
	surroundings := wiring.Simulation{Time: virtual, Seed: s.text, NN: s.models, Logger: logger}
	config := engine.Config{
		Plan: s.plan, Options: s.options, Openers: surroundings.Openers(s.plan, s.modules), Virtual: virtual, Logger: logger,
	}
	for range s.plan.Sinks {
		config.Sinks = append(config.Sinks, sink)
	}
	if _, topic, ok := strings.Cut(s.options.DeadLetter, "/"); ok {
		config.DeadLetter = deadLetters{sink, topic}
	}
	return config
}

// sources lists the names of the plan's sources.
func (s *simulation) sources() []string {
	var names []string
	for _, i := range s.plan.Sources {
		names = append(names, s.plan.Nodes[i].Operation)
	}
	return names
}

// unusedSetting says that no operation declares the parameter of that key.
func unusedSetting(key string, d *graph.Definition) error {
	declared := plan.Declared(d)
	text := fmt.Sprintf("no operation of %s declares the parameter %q given with --set", d.File, key)
	if near, ok := nearest.Word(key, declared); ok {
		text += fmt.Sprintf("; did you mean %q?", near)
	} else if len(declared) > 0 {
		text += "; declared are " + strings.Join(declared, ", ")
	}
	return &usageError{text}
}

// summary is one line about a run.
func summary(s schedule.Stats) string {
	return fmt.Sprintf("read %d, sent %d, filtered %d, failed %d", s.Received, s.Sent, s.Filtered, s.Dropped+s.Undeliverable)
}
