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
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// replayFlags are the flags of graphctl replay.
type replayFlags struct {
	simulationFlags
	output      outputFlag
	results     string
	speed       string
	asRecorded  bool
	until       string
	trace       string
	diff        string
	diffModules string
}

func newReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay RECORDING GRAPH.yaml --modules DIR|REGISTRY",
		Short: "Play a recording through a graph: again, or to look into it",
		Long: `Replay plays a recording, which graphctl record or a tap has made, through a graph and
writes what comes out of it. The same comes out every time, at any speed.

Time is that of the messages: a window closes when a message comes that is late enough.
With --as-recorded the clock and the frontier are what they were when it was recorded,
so that the same messages are late, and the same windows close at the same places.

--trace shows what became of one message, and of the windows it went into: every
operation with what it was given and what it made of it, its logs, and the end. Messages
are named by their number in the recording, from 1; by their stamp; or by a user property.

--diff plays the recording through a second version of the graph and shows in what the
two differ, message by message and window by window. If they do, the exit code is 1.

--until ends the replay after a message, or at a time: a time of day as in
2024-05-01T12:00:00Z, or one from the beginning as in 90s. What is held then stays held.

A recording that breaks off is played as far as it goes, with a warning; one that is
damaged as well, with an error. Files with sample lines, and folders of samples, can be
played, too, but don't know when their messages came.

Results go to standard output or, with --trace, --diff or -o json, only to --results.

` + optionHelp(),
		Example: "  graphctl replay line3.rec graph.yaml --modules build/artifacts > results.jsonl\n" +
			"  graphctl replay line3.rec graph.yaml --modules build/artifacts --as-recorded --trace 4711\n" +
			"  graphctl replay line3.rec graph.yaml --modules build/artifacts --until 10m --speed 10\n" +
			"  graphctl replay line3.rec graph.yaml --modules build/artifacts --diff graph-new.yaml -o json",
		Args: exactly("RECORDING", "GRAPH.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1]) },
	}
	f.add(cmd)
	f.output.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.results, "results", "", "`FILE` to write the results to")
	flags.StringVar(&f.speed, "speed", "max", "`FACTOR` of how much faster than it was recorded: 1, 10, 0.5; or max")
	flags.BoolVar(&f.asRecorded, "as-recorded", false, "keep clock and frontier as they were recorded")
	flags.StringVar(&f.until, "until", "", "`TIME|N` to end at: message N, a time of day, or a time from the beginning")
	flags.StringVar(&f.trace, "trace", "", "`ID` of a message to follow: its number, its stamp, or KEY=VALUE of a user property")
	flags.StringVar(&f.diff, "diff", "", "`GRAPH.yaml` to compare with")
	flags.StringVar(&f.diffModules, "diff-modules", "", "`DIR|REGISTRY` with the modules of the graph to compare with (default those of --modules)")
	return cmd
}

// replayReport is what graphctl replay -o json prints.
type replayReport struct {
	Recording   string                 `json:"recording"`
	Read        uint64                 `json:"read"`
	Sent        uint64                 `json:"sent"`
	Filtered    uint64                 `json:"filtered"`
	Failed      uint64                 `json:"failed"`
	Held        int64                  `json:"held"`
	Damage      string                 `json:"damage,omitempty"`
	Trace       *traceReport           `json:"trace,omitempty"`
	Compared    int                    `json:"compared,omitempty"`
	Differences []recording.Difference `json:"differences,omitempty"`
}

type traceReport struct {
	Steps []recording.Step `json:"steps"`
	Ends  []recording.End  `json:"ends"`
}

func (f *replayFlags) run(cmd *cobra.Command, path, file string) (err error) {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	logger, err := f.logger(stderr)
	if err != nil {
		return err
	}
	speed, trace, err := f.check()
	if err != nil {
		return err
	}
	f.alone = f.trace != "" // so that it is known who has logged what
	graph, err := f.plan(file, stderr)
	if err != nil {
		return err
	}
	var other *simulation
	if f.diff != "" {
		if other, err = f.plan(f.diff, stderr); err != nil {
			return err
		}
	}
	compiler, err := wiring.NewCompiler(ctx, wiring.CompiledDir(""), logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compiler.Close(context.WithoutCancel(ctx))) }()
	if err := graph.load(ctx, compiler, &f.modules); err != nil {
		return err
	}
	if other != nil {
		modules := f.modules
		if f.diffModules != "" {
			modules.modules = f.diffModules
		}
		if err := other.load(ctx, compiler, &modules); err != nil {
			return err
		}
	}
	results, err := f.openResults(cmd.OutOrStdout(), path, speed > 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, results.close()) }()

	p := passage{flags: f, path: path, speed: speed, stderr: stderr}
	report := replayReport{Recording: path}
	first, second := recording.NewOutcomes(), recording.NewOutcomes()
	watch := trace.watch()
	if other != nil {
		if watch = first.Watch; trace.Trace != nil {
			watch = func(e schedule.Event) { first.Watch(e); trace.Watch(e) }
		}
	}
	stats, damage, err := p.play(ctx, graph, results, trace.logger(logger), watch)
	if err != nil {
		return err
	}
	if other != nil {
		p.speed = 0
		if _, _, err := p.play(ctx, other, io.Discard, logger, second.Watch); err != nil {
			return fmt.Errorf("%s: %w", f.diff, err)
		}
		report.Differences, report.Compared = recording.Compare(first, second)
	}
	fmt.Fprintln(stderr, summary(stats))
	report.Read, report.Sent, report.Filtered, report.Failed = stats.Received, stats.Sent, stats.Filtered, stats.Dropped+stats.Undeliverable
	for _, o := range stats.Operations {
		report.Held += o.Held
	}
	if damage != nil {
		report.Damage = damage.Error()
	}
	if trace.Trace != nil {
		report.Trace = &traceReport{trace.Steps(), trace.Ends()}
	}
	if err := f.print(cmd.OutOrStdout(), report, trace); err != nil {
		return err
	}
	return f.verdict(stderr, file, report, damage)
}

// follower is the trace that was asked for, or none.
type follower struct{ *recording.Trace }

func (f follower) watch() func(schedule.Event) {
	if f.Trace == nil {
		return nil
	}
	return f.Watch
}

func (f follower) logger(l *slog.Logger) *slog.Logger {
	if f.Trace == nil {
		return l
	}
	return f.Logger(l.Handler())
}

// check reads the flags that need no file.
func (f *replayFlags) check() (speed float64, trace follower, err error) {
	if err := f.output.check(); err != nil {
		return 0, trace, err
	}
	if f.speed != "max" {
		if speed, err = strconv.ParseFloat(f.speed, 64); err != nil || !(speed > 0 && speed <= 1e9) {
			return 0, trace, &usageError{fmt.Sprintf("invalid argument %q for --speed; want max, or a factor such as 1, 10 or 0.5", f.speed)}
		}
	}
	if f.trace != "" {
		t, err := recording.NewTrace(f.trace)
		if err != nil {
			return 0, trace, &usageError{fmt.Sprintf("invalid argument %q for --trace; %v", f.trace, err)}
		}
		trace.Trace = t
	}
	if f.diffModules != "" && f.diff == "" {
		return 0, trace, &usageError{"--diff-modules is given without --diff"}
	}
	if _, err := f.limit(time.Time{}); err != nil {
		return 0, trace, err
	}
	return speed, trace, nil
}

// limit reads --until; the recording begins at a time.
func (f *replayFlags) limit(began time.Time) (func(recording.Moment) bool, error) {
	if f.until == "" {
		return nil, nil
	}
	if n, err := strconv.ParseUint(f.until, 10, 64); err == nil {
		return func(m recording.Moment) bool { return m.Number > n }, nil
	}
	end, err := time.Parse(time.RFC3339, f.until)
	if err != nil {
		d, err := time.ParseDuration(f.until)
		if err != nil || d < 0 {
			return nil, &usageError{fmt.Sprintf("invalid argument %q for --until; want a message's number, a time such as 2024-05-01T12:00:00Z, or one from the beginning such as 90s", f.until)}
		}
		end = began.Add(d)
	}
	return func(m recording.Moment) bool { return m.When().After(end) }, nil
}

// reports says whether standard output is for a report rather than for results.
func (f *replayFlags) reports() bool {
	return f.trace != "" || f.diff != "" || f.output.format == "json"
}

// openResults opens what results go to. Those of a paced replay are not to wait.
func (f *replayFlags) openResults(stdout io.Writer, recording string, paced bool) (*output, error) {
	var to io.Writer = stdout
	var file *os.File
	switch {
	case f.results != "":
		r := runFlags{inputs: []string{recording}}
		if err := r.checkOutput("--results", f.results); err != nil {
			return nil, err
		}
		var err error
		if file, err = os.Create(f.results); err != nil {
			return nil, err
		}
		to = file
	case f.reports():
		to = io.Discard
	}
	size := 64 << 10
	if paced {
		size = 1 // every write is larger, and so passes through
	}
	return &output{bufio.NewWriterSize(to, size), file}, nil
}

// passage is a recording on its way through graphs.
type passage struct {
	flags  *replayFlags
	path   string
	speed  float64
	stderr io.Writer
}

// play plays the recording through a graph, whose results go to a writer.
func (p *passage) play(ctx context.Context, s *simulation, results io.Writer, logger *slog.Logger, watch func(schedule.Event)) (stats schedule.Stats, damage *recording.Damage, err error) {
	moments, header, err := recording.OpenMoments(p.path)
	if err != nil {
		return stats, nil, err
	}
	defer func() { err = errors.Join(err, moments.Close()) }()
	first, err := p.first()
	if err != nil {
		return stats, nil, err
	}
	r := &recording.Replay{Moments: moments, AsRecorded: p.flags.asRecorded, Speed: p.speed}
	if r.Sources, err = matchSources(header.Sources, s.sources()); err != nil {
		return stats, nil, err
	}
	began := header.Began
	switch {
	case began.IsZero():
		if began = first.When(); p.flags.asRecorded {
			return stats, nil, &usageError{fmt.Sprintf("--as-recorded needs a recording; %s has samples, which don't say when they came", p.path)}
		}
		if first.Message != nil && began.IsZero() && (p.speed > 0 || p.flags.until != "") {
			if _, err := strconv.ParseUint(p.flags.until, 10, 64); p.speed > 0 || err != nil {
				return stats, nil, &usageError{fmt.Sprintf("--speed and a time for --until need a recording; %s has samples, which don't say when they came", p.path)}
			}
		}
	}
	if r.Until, err = p.flags.limit(began); err != nil {
		return stats, nil, err
	}
	start := header.Began
	if !p.flags.asRecorded {
		start = time.Time{}
		if first.Stamped {
			start = first.Message.Time.Time()
		}
	}
	r.Virtual = schedule.NewVirtualTime(start)
	config := s.config(r.Virtual, recording.NewSink(recording.NewWriter(results)), logger)
	config.Feed, config.Watch = r.Feed, watch
	g, err := engine.New(config)
	if err != nil {
		return stats, nil, err
	}
	stopBar := showBar(p.stderr, func() (float64, string) {
		messages, done, total := r.Progress()
		return float64(done) / float64(max(total, 1)), fmt.Sprintf("%d messages", messages)
	})
	err = g.Run(ctx)
	stopBar()
	if ctx.Err() != nil {
		return stats, nil, errors.New("interrupted")
	}
	return g.Stats(), r.Damage(), err
}

// first returns the first moment with a message; a zero one if there is none.
func (p *passage) first() (m recording.Moment, err error) {
	moments, _, err := recording.OpenMoments(p.path)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, moments.Close()) }()
	for {
		// What is wrong with it is told when it is played.
		if m, err := moments.Next(); err != nil || m.Message != nil {
			return m, nil
		}
	}
}

// matchSources finds the place of each source of a recording among those of a graph.
func matchSources(recorded, sources []string) ([]int, error) {
	if len(recorded) == 1 && len(sources) == 1 {
		return []int{0}, nil
	}
	places := make([]int, len(recorded))
	for i, name := range recorded {
		if places[i] = slices.Index(sources, name); places[i] < 0 {
			return nil, &usageError{fmt.Sprintf("the recording has the sources %s, and the graph %s; where there are several, their names have to be the same",
				quoted(recorded), quoted(sources))}
		}
	}
	return places, nil
}

func quoted(names []string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = strconv.Quote(name)
	}
	return strings.Join(texts, ", ")
}

// print writes the report, if one was asked for.
func (f *replayFlags) print(w io.Writer, r replayReport, trace follower) error {
	if f.output.format == "json" {
		return printJSON(w, r)
	}
	var b strings.Builder
	if trace.Trace != nil {
		b.WriteString(trace.String())
	}
	for _, d := range r.Differences {
		b.WriteString(d.String())
	}
	if f.diff != "" {
		fmt.Fprintf(&b, "%d of %d messages and windows differ\n", len(r.Differences), r.Compared)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdict says whether a replay of a graph was a success.
func (f *replayFlags) verdict(stderr io.Writer, graph string, r replayReport, damage *recording.Damage) error {
	var errs []error
	if damage != nil && damage.Truncated {
		fmt.Fprintf(stderr, "graphctl: warning: %v\n", damage)
	} else if damage != nil {
		errs = append(errs, damage)
	}
	if r.Trace != nil && len(r.Trace.Steps) == 0 {
		errs = append(errs, fmt.Errorf("none of the %d messages played is %s, as --trace asks for", r.Read, f.trace))
	}
	if len(r.Differences) > 0 {
		errs = append(errs, fmt.Errorf("%s and %s differ in %d of %d messages and windows", graph, f.diff, len(r.Differences), r.Compared))
	}
	return errors.Join(errs...)
}
