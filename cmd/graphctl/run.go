// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/endpoint"
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
	taps   []string
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
output, everything else to standard error. A recording, as graphctl record makes it, is
an input, too; graphctl replay plays one as it was recorded.

With --tap NODE what comes to an operation is recorded, of a source what comes from it.

` + optionHelp(),
		Example: "  graphctl run graphs/simple.yaml --modules build/artifacts --input samples/temperature/input\n" +
			"  graphctl run graph.yaml --modules build/artifacts --input in.jsonl --option lateness=1s --tap window=window.rec",
		Args: exactly("GRAPH.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.inputs, "input", nil, "`DIR|FILE` with the messages; SOURCE=DIR|FILE for each where a graph has several sources")
	flags.StringVar(&f.output, "output", "", "`FILE` to write the results to (default standard output)")
	flags.StringArrayVar(&f.taps, "tap", nil, "`NODE[=FILE]` to record (default file: NODE.rec)")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, file string) (err error) {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	logger, err := f.logger(stderr)
	if err != nil {
		return err
	}
	s, err := f.plan(file, stderr)
	if err != nil {
		return err
	}
	inputs, start, err := f.openInputs(s, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inputs.close()) }()

	compiler, err := wiring.NewCompiler(ctx, wiring.CompiledDir(""), logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compiler.Close(context.WithoutCancel(ctx))) }()
	if err := s.load(ctx, compiler, &f.modules); err != nil {
		return err
	}

	output, err := f.openOutput(cmd.OutOrStdout())
	if err != nil {
		return err
	}
	virtual := schedule.NewVirtualTime(start)
	config := s.config(virtual, recording.NewSink(recording.NewWriter(output)), logger)
	for _, in := range inputs {
		config.Sources = append(config.Sources, in.source)
	}
	taps, err := f.openTaps(s.plan, file, virtual.Now)
	if err != nil {
		return errors.Join(err, output.close())
	}
	config.Watch = taps.watch()
	g, err := engine.New(config)
	if err != nil {
		return errors.Join(err, output.close(), taps.close())
	}
	stopBar := inputs.showProgress(stderr)
	err = errors.Join(g.Run(ctx), output.close(), taps.close())
	stopBar()
	fmt.Fprintln(stderr, summary(g.Stats()))
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// taps are the recordings that are made of a run.
type taps []*tap

// tap is a recording in a file.
type tap struct {
	*recording.Tap
	output *output
}

// openTaps opens what --tap says.
func (f *runFlags) openTaps(p *plan.Plan, graph string, now func() time.Time) (opened taps, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
		}
	}()
	for _, arg := range f.taps {
		node, path, given := strings.Cut(arg, "=")
		if !given {
			path = strings.ReplaceAll(node, "/", "-") + ".rec"
		}
		if err := f.checkOutput("--tap", path); err != nil {
			return opened, err
		}
		// A name that isn't there must not leave an empty file behind.
		if !slices.ContainsFunc(p.Nodes, func(n plan.Node) bool { return n.Operation == node }) {
			return opened, unknownNode("--tap", node, p)
		}
		file, err := os.Create(path)
		if err != nil {
			return opened, err
		}
		out := &output{bufio.NewWriterSize(file, 64<<10), file}
		t, err := recording.NewTap(out, recording.TapConfig{Plan: p, Operation: node, Of: fmt.Sprintf("%s at %s", graph, node), Now: now})
		if err != nil {
			return opened, errors.Join(err, out.close())
		}
		opened = append(opened, &tap{t, out})
	}
	return opened, nil
}

// unknownNode says that a plan has no operation of that name.
func unknownNode(flag, name string, p *plan.Plan) error {
	var names []string
	for _, n := range p.Nodes {
		names = append(names, n.Operation)
	}
	text := fmt.Sprintf("the graph has no operation %q, which %s names", name, flag)
	if near, ok := nearest.Word(name, names); ok {
		return &usageError{fmt.Sprintf("%s; did you mean %q?", text, near)}
	}
	return &usageError{text + "; it has " + strings.Join(names, ", ")}
}

// watch tells all taps; nil if there are none, so that nobody watches.
func (ts taps) watch() func(schedule.Event) {
	switch len(ts) {
	case 0:
		return nil
	case 1:
		return ts[0].Watch
	}
	return func(e schedule.Event) {
		for _, t := range ts {
			t.Watch(e)
		}
	}
}

func (ts taps) close() error {
	var errs []error
	for _, t := range ts {
		errs = append(errs, t.Close(), t.output.close())
	}
	return errors.Join(errs...)
}

// input is the input of one source.
type input struct {
	recording.Input
	source *recording.Source
}

type inputs []input

// openInputs opens the input of each source of s, and returns the time at which the
// run starts: that of the first message, or the zero Time.
func (f *runFlags) openInputs(s *simulation, stdin io.Reader) (opened inputs, start time.Time, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
		}
	}()
	paths, err := f.inputPaths(s.sources())
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

// inputPaths returns what --input says for each of the sources of these names.
func (f *runFlags) inputPaths(names []string) ([]string, error) {
	if len(f.inputs) == 0 {
		return nil, &usageError{"--input is missing; it names the folder or file with the messages"}
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
	if err := f.checkOutput("--output", f.output); err != nil {
		return nil, err
	}
	file, err := os.Create(f.output)
	if err != nil {
		return nil, err
	}
	return &output{bufio.NewWriterSize(file, 64<<10), file}, nil
}

// checkOutput refuses to write, as that flag says, to a file that is an input, too, or
// one of the samples in an input's folder.
func (f *runFlags) checkOutput(flag, path string) error {
	out, err := os.Stat(path)
	if err != nil || !out.Mode().IsRegular() {
		return nil // there is nothing to lose
	}
	for _, arg := range f.inputs {
		_, second, _ := strings.Cut(arg, "=")
		for _, in := range []string{arg, second} {
			info, err := os.Stat(in)
			switch {
			case err != nil:
			case os.SameFile(info, out):
				return fmt.Errorf("%s %s is an input, too, and would be overwritten while it is read; choose another file", flag, path)
			case info.IsDir() && isSampleIn(in, out):
				return fmt.Errorf("%s %s is one of the samples in the input %s, and would be overwritten; choose another file", flag, path, in)
			}
		}
	}
	return nil
}

// isSampleIn reports whether a file is one of the samples in a folder.
func isSampleIn(dir string, file os.FileInfo) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		return recording.IsSample(e.Name()) && err == nil && os.SameFile(info, file)
	})
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
