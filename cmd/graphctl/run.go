// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/schedule"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// runFlags are the flags of graphctl run.
type runFlags struct {
	simulationFlags
	inputs []string
	output string
}

// simulationFlags are the flags of what runs graphs in virtual time.
type simulationFlags struct {
	modules moduleFlags
	set     []string
	options []string
	level   string
}

func (f *simulationFlags) add(cmd *cobra.Command) {
	f.modules.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.set, "set", nil, "`KEY=VALUE` of a parameter of the graph")
	flags.StringArrayVar(&f.options, "option", nil, "`KEY=VALUE` of an option of the run, such as lateness=1s")
	flags.StringVar(&f.level, "log-level", "info", "least `LEVEL` of what is logged: debug, info, warn or error")
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run GRAPH.yaml --modules DIR|REGISTRY --input DIR|FILE",
		Short: "Run a graph over recorded messages, without any broker",
		Long: `Run feeds recorded messages to a graph and writes what comes out of it, until the
input ends. Time is that of the messages: equal input gives equal output.

The input is a folder, of which every *.json goes to topic probe/1 and every *.raw to
topic snapshot_simulation, in the order of their names; or a file with one message a
line; or - for such lines on standard input. Output has the same form:

  {"topic":"t","payload":"...","userProperties":[["key","value"]],"timestamp":"..."}

Payloads that are not UTF-8 are in payloadBase64 instead. Results go to standard
output, everything else to standard error.`,
		Example: "  graphctl run graphs/simple.yaml --modules build/artifacts --input samples/temperature/input",
		Args:    exactly("GRAPH.yaml"),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.inputs, "input", nil, "`DIR|FILE` with the messages; SOURCE=DIR|FILE for each where a graph has several sources")
	flags.StringVar(&f.output, "output", "", "`FILE` to write the results to (default standard output)")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, file string) (err error) {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	logger, err := f.logger(stderr)
	if err != nil {
		return err
	}
	settings, options, err := f.configuration()
	if err != nil {
		return err
	}
	definition, text, err := readDefinition(file, stderr)
	if err != nil {
		return err
	}
	p, err := plan.New(definition, settings, options)
	if err != nil {
		return err
	}
	if len(p.Unused) > 0 {
		return unusedSetting(p.Unused[0], definition)
	}
	inputs, start, err := f.openInputs(p, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inputs.close()) }()

	compiler, err := wiring.NewCompiler(ctx, wiring.CacheDir(), logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compiler.Close(context.WithoutCancel(ctx))) }()
	modules, err := f.modules.load(ctx, compiler, definition)
	if err != nil {
		return err
	}

	output, err := f.openOutput(cmd.OutOrStdout())
	if err != nil {
		return err
	}
	virtual := schedule.NewVirtualTime(start)
	simulation := wiring.Simulation{Time: virtual, Seed: text, Logger: logger}
	config := engine.Config{
		Plan: p, Options: options, Openers: simulation.Openers(p, modules), Virtual: virtual, Logger: logger,
	}
	sink := recording.NewSink(recording.NewWriter(output))
	for range p.Sinks {
		config.Sinks = append(config.Sinks, sink)
	}
	if _, topic, ok := strings.Cut(options.DeadLetter, "/"); ok {
		config.DeadLetter = deadLetters{sink, topic}
	}
	for _, in := range inputs {
		config.Sources = append(config.Sources, in.source)
	}
	g, err := engine.New(config)
	if err != nil {
		return errors.Join(err, output.close())
	}
	stopBar := inputs.showProgress(stderr)
	err = errors.Join(g.Run(ctx), output.close())
	stopBar()
	s := g.Stats()
	fmt.Fprintf(stderr, "read %d, sent %d, filtered %d, failed %d\n", s.Received, s.Sent, s.Filtered, s.Dropped+s.Undeliverable)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
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

// input is the input of one source.
type input struct {
	recording.Input
	source *recording.Source
}

type inputs []input

// openInputs opens the input of each source of p, and returns the time at which the
// run starts: that of the first message, or the zero Time.
func (f *runFlags) openInputs(p *plan.Plan, stdin io.Reader) (opened inputs, start time.Time, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
		}
	}()
	paths, err := f.inputPaths(p)
	if err != nil {
		return nil, start, err
	}
	for _, path := range paths {
		var in recording.Input
		if path == "-" {
			in = recording.NewReader("standard input", io.NopCloser(stdin))
		} else if in, err = recording.Open(path); err != nil {
			return opened, start, err
		}
		ahead := &lookAhead{Input: in}
		opened = append(opened, input{ahead, recording.NewSource(ahead)})
	}
	return opened, opened[0].Input.(*lookAhead).start(), nil
}

// inputPaths returns what --input says for each source of p.
func (f *runFlags) inputPaths(p *plan.Plan) ([]string, error) {
	if len(f.inputs) == 0 {
		return nil, &usageError{"--input is missing; it names the folder or file with the messages"}
	}
	var names []string
	for _, i := range p.Sources {
		names = append(names, p.Nodes[i].Operation)
	}
	paths := make([]string, len(names))
	for _, arg := range f.inputs {
		name, path, _ := strings.Cut(arg, "=")
		i := slices.Index(names, name)
		if i < 0 {
			i, path = 0, arg
			if len(names) > 1 {
				return nil, &usageError{fmt.Sprintf("the graph has several sources; write --input SOURCE=%s, where SOURCE is one of %s", arg, strings.Join(names, ", "))}
			}
		}
		if paths[i] != "" {
			return nil, &usageError{fmt.Sprintf("--input for source %q is given twice", names[i])}
		}
		paths[i] = path
	}
	for i, path := range paths {
		if path == "" {
			return nil, &usageError{fmt.Sprintf("--input for source %q is missing; write --input %s=PATH", names[i], names[i])}
		}
	}
	return paths, nil
}

func (ins inputs) close() error {
	var errs []error
	for _, in := range ins {
		errs = append(errs, in.Close())
	}
	return errors.Join(errs...)
}

// lookAhead is an Input whose first record can be seen before it is read, and whose
// progress can be asked for by another goroutine.
type lookAhead struct {
	recording.Input
	peeked      bool
	first       recording.Record
	err         error
	done, total atomic.Int64
}

func (l *lookAhead) peek() (recording.Record, error) {
	if !l.peeked {
		l.first, l.err = l.Read()
		l.peeked = true
	}
	return l.first, l.err
}

// start is when a run over this input starts: the time of the first message, or the
// zero Time where it has none. What is wrong with that message is told when it is read.
func (l *lookAhead) start() time.Time {
	if first, err := l.peek(); err == nil && first.Stamped {
		return first.Time.Time()
	}
	return time.Time{}
}

// Read implements recording.Input.
func (l *lookAhead) Read() (recording.Record, error) {
	if l.peeked {
		l.peeked = false
		return l.first, l.err
	}
	r, err := l.Input.Read()
	done, total := l.Input.Progress()
	l.done.Store(done)
	l.total.Store(total)
	return r, err
}

// Progress implements recording.Input.
func (l *lookAhead) Progress() (done, total int64) { return l.done.Load(), l.total.Load() }

// showProgress draws a bar while the inputs are read, if w is a terminal. The
// function it returns takes the bar away.
func (ins inputs) showProgress(w io.Writer) (stop func()) {
	return showBar(w, func() (share float64, text string) {
		var messages uint64
		for _, in := range ins {
			messages += in.source.Read()
			if done, total := in.Progress(); total > 0 {
				share += float64(done) / float64(total) / float64(len(ins))
			}
		}
		return share, fmt.Sprintf("%d messages", messages)
	})
}

// isTerminal reports whether people look at what is written to w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// output is where results go, buffered.
type output struct {
	*bufio.Writer
	file *os.File // nil: not ours to close
}

func (f *runFlags) openOutput(stdout io.Writer) (*output, error) {
	if f.output == "" {
		return &output{Writer: bufio.NewWriterSize(stdout, 64<<10)}, nil
	}
	if err := f.checkOutput(); err != nil {
		return nil, err
	}
	file, err := os.Create(f.output)
	if err != nil {
		return nil, err
	}
	return &output{bufio.NewWriterSize(file, 64<<10), file}, nil
}

// checkOutput refuses an output that would overwrite an input while it is read.
func (f *runFlags) checkOutput() error {
	out, err := os.Stat(f.output)
	if err != nil || !out.Mode().IsRegular() {
		return nil // there is nothing to lose
	}
	for _, arg := range f.inputs {
		_, path, _ := strings.Cut(arg, "=")
		for _, path := range []string{arg, path} {
			if in, err := os.Stat(path); err == nil && os.SameFile(in, out) {
				return fmt.Errorf("--output %s is an input, too, and would be overwritten while it is read; choose another file", f.output)
			}
		}
	}
	return nil
}

func (o *output) close() error {
	err := o.Flush()
	if o.file != nil {
		err = errors.Join(err, o.file.Close())
	}
	return err
}

// deadLetters writes what is dropped among the results, under a topic of its own.
type deadLetters struct {
	*recording.Sink
	topic string
}

// Send implements endpoint.Sink.
func (d deadLetters) Send(ctx context.Context, m *message.Message, done func(error)) error {
	dead := m.Clone()
	dead.Topic = d.topic
	return d.Sink.Send(ctx, dead, done)
}

var _ endpoint.Sink = deadLetters{}
