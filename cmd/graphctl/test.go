// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/graphtest"
	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/engine/state"
	"github.com/wasm-graph/graphd/oras"
)

// testFlags are the flags of graphctl test.
type testFlags struct {
	simulationFlags
	filter  string
	format  string
	update  bool
	isolate bool
}

func newTest() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [DIR|FILE...]",
		Short: "Run the tests of graphs",
		Long: `Test runs the tests in the folders, files *` + graphtest.Extension + ` in them or below, by
default those of the current folder. A test names a graph, a folder with messages, and
what is to come out; it runs in virtual time, so that a window takes no longer than the
work in it. The formats are those of Azure's dataflow-dev.

Modules come from --modules. Without that, they are built: of the module NAME the folder
operators/NAME is taken that is nearest above the graph.

Beside a test, or beside its graph, may be statestore.json, what the state store holds
to begin with, and tk_schema_config.json, a schema that all operators are given. What
the tests of one DIR leave in the state store is there for its next ones.

The report is in TAP or, on a terminal, text for people; -o chooses.`,
		Example: "  graphctl test samples\n  graphctl test samples --filter opc --modules build/artifacts -o junit > report.xml",
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.filter, "filter", "", "`REGEXP` of the names or files of the tests to run")
	flags.StringVarP(&f.format, "output", "o", "", "`FORMAT` of the report: "+strings.Join(graphtest.Formats(), ", "))
	flags.BoolVar(&f.update, "update", false, "write what came out to the expected files of tests that fail")
	flags.BoolVar(&f.isolate, "isolate", false, "begin each test with a state store of its own")
	return cmd
}

func (f *testFlags) run(cmd *cobra.Command, dirs []string) (err error) {
	ctx := cmd.Context()
	if f.format == "" {
		f.format = "tap"
		if isTerminal(cmd.OutOrStdout()) {
			f.format = "text"
		}
	}
	if !slices.Contains(graphtest.Formats(), f.format) {
		return &usageError{fmt.Sprintf("invalid argument %q for --output; want %s", f.format, strings.Join(graphtest.Formats(), ", "))}
	}
	filter, err := regexp.Compile(f.filter)
	if err != nil {
		return &usageError{fmt.Sprintf("invalid argument %q for --filter: %v", f.filter, err)}
	}
	t := &tester{flags: &f.simulationFlags, update: f.update, workshop: newWorkshop()}
	if t.settings, t.options, err = f.configuration(); err != nil {
		return err
	}
	if _, err := f.logger(&bytes.Buffer{}); err != nil {
		return err
	}
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	suites, total, err := findTests(dirs, filter)
	if err != nil {
		return err
	}
	compiler, err := wiring.NewCompiler(ctx, wiring.CompiledDir(""), stderrLogger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compiler.Close(context.WithoutCancel(ctx))) }()
	if t.models, err = wiring.NewNN(); err != nil {
		return err
	}
	t.compiler = &onceCompiler{Compiler: compiler, modules: map[[sha256.Size]byte]*processor.Module{}}

	report := graphtest.NewReport(cmd.OutOrStdout(), f.format, total)
	for _, tests := range suites {
		store := newSharedState()
		for _, test := range tests {
			if f.isolate {
				store = newSharedState()
			}
			report.Add(t.test(ctx, test, store))
			if ctx.Err() != nil {
				return errors.Join(report.End(), errors.New("interrupted"))
			}
		}
	}
	if err := report.End(); err != nil {
		return err
	}
	if bad := report.Failed + report.Errored; bad > 0 {
		return fmt.Errorf("%d of %d tests did not pass", bad, total)
	}
	return t.checkSettings()
}

// loaded is a test, or why there is none.
type loaded struct {
	file string
	test *graphtest.Case
	err  error
}

// findTests reads the tests of each of dirs that match filter.
func findTests(dirs []string, filter *regexp.Regexp) (suites [][]loaded, total int, err error) {
	for _, dir := range dirs {
		files, err := graphtest.Find(dir)
		if err != nil {
			return nil, 0, err
		}
		var tests []loaded
		for _, file := range files {
			test, err := graphtest.Load(file)
			if filter.MatchString(file) || err == nil && filter.MatchString(test.Name) {
				tests = append(tests, loaded{file, test, err})
			}
		}
		suites = append(suites, tests)
		total += len(tests)
	}
	if total == 0 {
		return nil, 0, fmt.Errorf("no test matches --filter %q", filter)
	}
	return suites, total, nil
}

// tester runs tests.
type tester struct {
	flags    *simulationFlags
	settings []plan.Setting
	options  plan.Options
	update   bool
	compiler *onceCompiler
	models   nn.Backend
	workshop *workshop
	declared []string // keys of the settings that some graph declares
}

// onceCompiler compiles each component once.
type onceCompiler struct {
	*wiring.Compiler
	modules map[[sha256.Size]byte]*processor.Module
}

// Load implements deploy.Compiler.
func (c *onceCompiler) Load(ctx context.Context, name string, wasm []byte) (*processor.Module, error) {
	sum := sha256.Sum256(wasm)
	if m := c.modules[sum]; m != nil {
		return m, nil
	}
	m, err := c.Compiler.Load(ctx, name, wasm)
	if err == nil {
		c.modules[sum] = m
	}
	return m, err
}

// checkSettings refuses a setting that no graph declares.
func (t *tester) checkSettings() error {
	for _, s := range t.settings {
		if !slices.Contains(t.declared, s.Key) {
			return &usageError{fmt.Sprintf("no graph of these tests declares the parameter %q given with --set", s.Key)}
		}
	}
	return nil
}

// test runs one test and compares.
func (t *tester) test(ctx context.Context, l loaded, store *sharedState) graphtest.Result {
	result := graphtest.Result{File: l.file, Name: l.file, Status: graphtest.Errored}
	if l.err != nil {
		result.Problems = graphtest.Lines(l.err)
		return result
	}
	result.Name = l.test.Name
	var log bytes.Buffer
	begin := time.Now()
	outputs, err := t.outputs(ctx, l.test, store, &log)
	result.Elapsed = time.Since(begin)
	if err != nil {
		result.Problems, result.Log = graphtest.Lines(err), log.String()
		return result
	}
	problems, err := l.test.Check(outputs)
	if (err != nil || len(problems) > 0) && t.update {
		problems, err = nil, l.test.Update(outputs)
		result.Updated = err == nil
	}
	switch {
	case err != nil:
		result.Problems, result.Log = graphtest.Lines(err), log.String()
	case len(problems) > 0:
		result.Status, result.Problems, result.Log = graphtest.Failed, graphtest.Texts(problems), log.String()
	default:
		result.Status = graphtest.Passed
	}
	return result
}

// outputs runs the graph of a test over its input.
func (t *tester) outputs(ctx context.Context, c *graphtest.Case, store *sharedState, log *bytes.Buffer) (outputs graphtest.Outputs, err error) {
	logger, err := t.flags.logger(log)
	if err != nil {
		return nil, err
	}
	definition, text, err := readTestGraph(c, log)
	if err != nil {
		return nil, err
	}
	if file := beside(c, "statestore.json"); file != "" {
		if err := store.load(ctx, file); err != nil {
			return nil, err
		}
	}
	t.declared = append(t.declared, plan.Declared(definition)...)
	p, err := plan.New(definition, t.settings, t.options)
	if err != nil {
		return nil, err
	}
	if len(p.Sources) != 1 {
		return nil, c.Problemf(c.Graph.Pos, "", "the graph has %d sources, and a test has input for one", len(p.Sources))
	}
	modules, err := t.modules(ctx, definition)
	if err != nil {
		return nil, err
	}
	in, err := recording.Open(c.Input.Name)
	if err != nil {
		return nil, c.Problemf(c.Input.Pos, "", "%v", err)
	}
	input := &lookAhead{Input: in}
	defer func() { err = errors.Join(err, input.Close()) }()
	virtual := schedule.NewVirtualTime(input.start())
	store.follow(virtual)
	simulation := wiring.Simulation{Time: virtual, Seed: text, State: store.Store, NN: t.models, Logger: logger}
	sink := memory.NewSink(func(m *message.Message) error { outputs.Add(m); return nil })
	config := engine.Config{
		Plan: p, Options: t.options, Openers: simulation.Openers(p, modules), Virtual: virtual, Logger: logger,
		Sources: []endpoint.Source{recording.NewSource(input)},
	}
	for range p.Sinks {
		config.Sinks = append(config.Sinks, sink)
	}
	g, err := engine.New(config)
	if err != nil {
		return nil, err
	}
	late := c.Problemf(c.TimePos, "", "the test takes longer than its timeout of %v", c.Timeout)
	limited, cancel := context.WithTimeoutCause(ctx, c.Timeout, late)
	defer cancel()
	err = g.Run(limited)
	if cause := context.Cause(limited); errors.Is(cause, late) {
		return nil, cause
	}
	return outputs, err
}

// modules fetches or builds the modules of a graph.
func (t *tester) modules(ctx context.Context, d *graph.Definition) (wiring.Modules, error) {
	var source oras.Source = t.workshop.beside(filepath.Dir(d.File))
	if t.flags.modules.modules != "" {
		var err error
		if source, err = t.flags.modules.open(); err != nil {
			return nil, err
		}
	}
	modules, problems := wiring.LoadModules(ctx, t.compiler, source, d)
	return modules, problems.Err()
}

// schemaFile is the name of the file with a schema for all operators.
const schemaFile = "tk_schema_config.json"

// readTestGraph reads the graph of a test and, where there is one, the schema beside
// it, which comes before those of the graph.
func readTestGraph(c *graphtest.Case, log *bytes.Buffer) (*graph.Definition, []byte, error) {
	if _, err := os.Stat(c.Graph.Name); err != nil {
		return nil, nil, c.Problemf(c.Graph.Pos, "", "%v", err)
	}
	d, text, err := readDefinition(c.Graph.Name, log)
	if err != nil {
		return nil, nil, err
	}
	file := beside(c, schemaFile)
	if file == "" {
		return d, text, nil
	}
	content, err := graphtest.ReadJSON(file)
	if err != nil {
		return nil, nil, err
	}
	extended := *d
	extended.Schemas = append([]graph.Schema{{Name: schemaFile, Format: "JsonSchema/draft-07", Content: string(content)}}, d.Schemas...)
	return &extended, text, nil
}

// beside returns the path of a file beside a test, or else beside its graph; empty if
// there is none.
func beside(c *graphtest.Case, name string) string {
	for _, dir := range []string{filepath.Dir(c.File), filepath.Dir(c.Graph.Name)} {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// sharedState is a state store that several runs in virtual time share. Each run
// begins anew in time; the store's own time goes on.
type sharedState struct {
	state.Store
	begin   time.Time // of the store's time
	elapsed time.Duration
	run     *schedule.VirtualTime // the present one; nil before the first
	started time.Time             // of the present run, in its time
	files   map[string]bool       // those that were loaded
}

func newSharedState() *sharedState {
	s := &sharedState{begin: schedule.NewVirtualTime(time.Time{}).Now(), files: map[string]bool{}}
	s.Store = wiring.NewSimulatedState(s.now)
	return s
}

func (s *sharedState) now() time.Time {
	if s.run == nil {
		return s.begin
	}
	return s.begin.Add(s.elapsed + s.run.Now().Sub(s.started))
}

// follow makes the store's time go on with run, which has not begun.
func (s *sharedState) follow(run *schedule.VirtualTime) {
	s.elapsed = s.now().Sub(s.begin)
	s.run, s.started = run, run.Now()
}

// load sets what a file says, once.
func (s *sharedState) load(ctx context.Context, file string) error {
	if s.files[file] {
		return nil
	}
	pairs, err := graphtest.ReadStore(file)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if _, _, err := s.Set(ctx, []byte(p[0]), []byte(p[1]), state.SetOptions{}); err != nil {
			return &document.Problem{Severity: document.Error, File: file, Position: document.Position{Line: 1, Column: 1}, Message: fmt.Sprintf("set key %q: %v", p[0], err)}
		}
	}
	s.files[file] = true
	return nil
}
