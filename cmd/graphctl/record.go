// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/memory"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// recordFlags are the flags of graphctl record.
type recordFlags struct {
	output    outputFlag
	broker    string
	graphd    graphdFlags
	tls       bool
	user      string
	password  string // of a file
	cert, key string // of files
	qos       int
	files     []string
	endpoint  string
	namespace string
	topics    []string
	lateness  time.Duration
	count     uint64
	limit     time.Duration
	level     string
	graph     string
	tap       string
}

func newRecord() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record FILE (--topic FILTER --broker HOST[:PORT] | --graphd HOST:PORT --graph NAME)",
		Short: "Record messages from an MQTT broker or a running graph, to replay them",
		Long: `Record subscribes to topics of a broker and writes what comes to a file, with the time
at which it came and how far the frontier was: what graphctl replay needs to play it as
it was. It ends after --count messages, after --for, or when it is interrupted.

The broker is given by flags, or is a DataflowEndpoint in resources: -f names them, and
--endpoint the object.

The recording is a client of its own. It takes no message away from anybody, unless the
filter is a shared subscription ($share/GROUP/FILTER), and leaves no session behind.

With --graphd it is instead what comes to an operation (--tap) of a graph that graphd
runs, or from its sources, with the graph's own frontier; --graphd is
the address that graphd listens on. The graph doesn't wait for the recording.`,
		Example: "  graphctl record line3.rec --broker localhost --topic 'line3/#' --for 10m\n" +
			"  graphctl record line3.rec --broker broker:8883 --tls --user line3 --password-file password --topic 'line3/#'\n" +
			"  graphctl record window.rec --graphd localhost:9600 --graph complex --tap complex/module-window/delay --count 1000\n" +
			"  graphctl record line3.rec -f resources --endpoint broker --topic line3/temperature --topic line3/humidity\n" +
			"  graphctl record line3.rec --broker broker:8883 --tls --ca ca.pem --topic 'line3/#' --count 10000",
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.output.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.broker, "broker", "", "`HOST[:PORT]` of the broker")
	flags.BoolVar(&f.tls, "tls", false, "connect to --broker over TLS")
	flags.StringVarP(&f.user, "user", "u", "", "`NAME` to show to --broker, with --password-file")
	flags.StringVar(&f.password, "password-file", "", "`FILE` with the password of --user")
	flags.StringVar(&f.cert, "cert", "", "`FILE` with the certificate to show to --broker and those between it and its authority, PEM (implies --tls)")
	flags.StringVar(&f.key, "key", "", "`FILE` with the key of --cert, PEM")
	f.graphd.add(cmd)
	flags.Lookup("ca").Usage += "; with --broker it implies --tls"
	flags.IntVar(&f.qos, "qos", 1, "quality of service to subscribe with: 0 or 1")
	flags.StringSliceVarP(&f.files, "file", "f", nil, "`FILE|DIR` of resources; may be given several times")
	flags.StringVar(&f.endpoint, "endpoint", "", "`NAME` of the DataflowEndpoint in the resources")
	flags.StringVar(&f.namespace, "namespace", resource.DefaultNamespace, "`NAME` of the namespace of --endpoint")
	flags.StringArrayVar(&f.topics, "topic", nil, "`FILTER` of the topics; may be given several times")
	flags.DurationVar(&f.lateness, "lateness", plan.DefaultLateness, "`DURATION` that the frontier stays behind")
	flags.StringVar(&f.graph, "graph", "", "`NAME` of the graph in graphd, or NAMESPACE/NAME")
	flags.StringVar(&f.tap, "tap", "", "`NODE` of the graph whose messages are recorded (default its sources)")
	flags.Uint64Var(&f.count, "count", 0, "`N` messages to end after")
	flags.DurationVar(&f.limit, "for", 0, "`DURATION` to end after")
	flags.StringVar(&f.level, "log-level", "info", "least `LEVEL` of what is logged: debug, info, warn or error")
	return cmd
}

// recordReport is what graphctl record -o json prints.
type recordReport struct {
	Recording string   `json:"recording"`
	Topics    []string `json:"topics,omitempty"`
	Graph     string   `json:"graph,omitempty"`
	Tap       string   `json:"tap,omitempty"`
	Messages  uint64   `json:"messages"`
	Seconds   float64  `json:"seconds"`
}

func (f *recordFlags) run(cmd *cobra.Command, path string) (err error) {
	stderr := cmd.ErrOrStderr()
	if err := f.check(); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return &usageError{fmt.Sprintf("invalid argument %q for --log-level; want debug, info, warn or error", f.level)}
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	var source endpoint.Source
	var tapped *recording.Player
	ctx, stop := context.WithCancelCause(cmd.Context())
	defer stop(nil)
	if !f.tapped() {
		source, err = f.source(logger)
	} else if tapped, err = f.openTap(ctx); err == nil {
		defer func() { err = errors.Join(err, tapped.Close()) }()
	}
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; choose another name, or remove it", path)
	}
	if err != nil {
		return err
	}
	out := &steadyWriter{bufio.NewWriterSize(file, 64<<10), time.Now()}
	defer func() { err = errors.Join(err, out.Flush(), file.Close()) }()

	if f.limit > 0 {
		timer := time.AfterFunc(f.limit, func() { stop(nil) })
		defer timer.Stop()
	}
	began := time.Now()
	var recorded atomic.Uint64
	stopBar := showBar(stderr, func() (share float64, text string) {
		if f.limit > 0 {
			share = float64(time.Since(began)) / float64(f.limit)
		}
		if f.count > 0 {
			share = max(share, float64(recorded.Load())/float64(f.count))
		}
		return min(share, 1), fmt.Sprintf("%d messages", recorded.Load())
	})
	if tapped != nil {
		err = f.copyTap(ctx, tapped, out, &recorded)
	} else {
		err = f.subscribe(ctx, stop, source, out, &recorded, logger)
	}
	stopBar()
	if err != nil {
		return err
	}
	report := recordReport{Recording: path, Topics: f.topics, Graph: f.graph, Tap: f.tap, Messages: recorded.Load(), Seconds: time.Since(began).Seconds()}
	if f.output.format == "json" {
		return printJSON(cmd.OutOrStdout(), report)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d messages in %.0f s\n", path, report.Messages, report.Seconds)
	return err
}

// subscribe records what comes from source until ctx ends.
func (f *recordFlags) subscribe(ctx context.Context, stop context.CancelCauseFunc, source endpoint.Source, out io.Writer, recorded *atomic.Uint64, logger *slog.Logger) error {
	p, err := f.plan()
	if err != nil {
		return err
	}
	tap, err := recording.NewTap(out, recording.TapConfig{
		Plan: p, Of: strings.Join(f.topics, " "), Now: time.Now, Failed: stop,
	})
	if err != nil {
		return err
	}
	g, err := engine.New(engine.Config{
		Plan: p, Options: plan.Options{Lateness: &f.lateness}, HLC: wiring.NewClock("graphctl-record"), Logger: logger,
		Openers: make([]operator.Opener, len(p.Nodes)),
		Sources: []endpoint.Source{source},
		Sinks:   []endpoint.Sink{memory.NewSink(func(*message.Message) error { return nil })},
		Watch: func(e schedule.Event) {
			if f.count > 0 && recorded.Load() == f.count {
				return // it is ending
			}
			tap.Watch(e)
			if recorded.Store(tap.Messages()); recorded.Load() == f.count && f.count > 0 {
				stop(nil)
			}
		},
	})
	if err != nil {
		return err
	}
	// Whether the broker was there is asked before the graph lets go of it.
	var alone atomic.Bool
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		alone.Store(!source.Connected())
		end()
	})()
	err = g.Run(running)
	if err == nil && alone.Load() && tap.Messages() == 0 {
		err = errors.New("the broker was not reached, so there is nothing in the recording")
		if trouble := endpoint.Trouble(source); trouble != nil {
			err = fmt.Errorf("%w: %w", err, trouble)
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return errors.Join(err, tap.Close())
}

// tapped reports whether a graph is recorded, and not a broker. Where graphd is may come
// from the environment, which says nothing about what is meant.
func (f *recordFlags) tapped() bool { return f.graphd.given() }

// check refuses flags that don't go together.
func (f *recordFlags) check() error {
	if err := f.output.check(); err != nil {
		return err
	}
	switch {
	case f.tapped() && (f.broker != "" || f.endpoint != "" || len(f.files) > 0 || len(f.topics) > 0):
		return &usageError{"--graphd goes neither with a broker nor with --topic"}
	case f.tapped() && f.graph == "":
		return &usageError{"--graph is missing; it is the name of a graph that " + f.graphd.server + " runs"}
	case !f.tapped() && (f.graph != "" || f.tap != ""):
		return &usageError{"--graphd is missing; it is where graphd listens, such as localhost:9600"}
	case f.limit < 0:
		return &usageError{"--for is not negative"}
	case f.tapped():
		return nil
	case len(f.topics) == 0:
		return &usageError{"--topic is missing; it is a filter such as 'line3/#'"}
	case f.broker == "" && f.endpoint == "":
		return &usageError{"--broker is missing; it is the broker's host, or use -f and --endpoint"}
	case f.broker != "" && (f.endpoint != "" || len(f.files) > 0):
		return &usageError{"--broker goes neither with -f nor with --endpoint"}
	case f.endpoint != "" && len(f.files) == 0:
		return &usageError{"-f is missing; it names the resources with --endpoint " + f.endpoint}
	case f.endpoint != "" && (f.tls || f.graphd.ca != "" || f.user+f.password+f.cert+f.key != ""):
		return &usageError{"--tls, --ca, --user and --cert go with --broker; the endpoint says for itself how it is reached, and as whom"}
	case (f.user == "") != (f.password == ""):
		return &usageError{"--user and --password-file go together"}
	case (f.cert == "") != (f.key == ""):
		return &usageError{"--cert and --key go together"}
	case f.qos != 0 && f.qos != 1:
		return &usageError{fmt.Sprintf("invalid argument %d for --qos; want 0 or 1", f.qos)}
	case f.lateness < 0:
		return &usageError{"--lateness is not negative"}
	}
	return nil
}

// source makes what receives the messages.
func (f *recordFlags) source(logger *slog.Logger) (endpoint.Source, error) {
	drivers := wiring.NewDrivers("")
	binding := deploy.Binding{Client: "graphctl-record-" + strings.ToLower(rand.Text()), Logger: logger}
	if f.broker != "" {
		binding.Endpoint = &resource.DataflowEndpoint{MQTT: resource.MQTT{
			Host: f.broker, KeepAlive: time.Minute, TLS: resource.TLS{Disabled: !f.tls && f.graphd.ca == "" && f.cert == ""},
		}}
		if err := f.identify(&binding); err != nil {
			return nil, err
		}
		if f.graphd.ca != "" {
			text, err := os.ReadFile(f.graphd.ca)
			if err != nil {
				return nil, err
			}
			binding.CA = &resource.ConfigMap{Data: map[string][]byte{f.graphd.ca: text}}
		}
	} else if err := f.find(&binding); err != nil {
		return nil, err
	}
	e := *binding.Endpoint
	if e.Kafka != nil { // a group of its own, which takes nothing away from those that work
		k := *e.Kafka
		k.Group = binding.Client
		e.Kafka = &k
	}
	e.MQTT.QoS, e.MQTT.SessionExpiry, e.MQTT.MaxInflight = f.qos, 0, 1000
	binding.Endpoint = &e
	return drivers.Source(binding, f.topics)
}

// identify says who we are to --broker, as resources say it.
func (f *recordFlags) identify(b *deploy.Binding) error {
	b.Secret = &resource.Secret{Data: map[string][]byte{}}
	who := &b.Endpoint.MQTT.Authentication
	if f.user != "" {
		who.Password = "--password-file"
		b.Secret.Data[resource.UsernameKey] = []byte(f.user)
	}
	if f.cert != "" {
		who.Certificate = "--cert"
	}
	for name, path := range map[string]string{
		resource.PasswordKey: f.password, resource.ClientCertificateKey: f.cert, resource.ClientPrivateKeyKey: f.key,
	} {
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if name == resource.PasswordKey {
			text = bytes.TrimRight(text, "\r\n")
		}
		b.Secret.Data[name] = text
	}
	return nil
}

// find looks the endpoint up in the resources.
func (f *recordFlags) find(b *deploy.Binding) error {
	set, problems, err := resource.Load(f.files...)
	if err != nil {
		return err
	}
	if err := problems.Err(); err != nil {
		return fmt.Errorf("the resources have faults:\n%w", err)
	}
	key := resource.Key{Namespace: f.namespace, Name: f.endpoint}
	if b.Endpoint = set.Endpoints[key]; b.Endpoint == nil {
		return fmt.Errorf("there is no DataflowEndpoint %s in %s", key, strings.Join(f.files, ", "))
	}
	if name := b.Endpoint.TLS().TrustedCA; name != "" {
		key.Name = name
		if b.CA = set.ConfigMaps[key]; b.CA == nil {
			return fmt.Errorf("there is no ConfigMap %s, which the endpoint %s trusts", key, f.endpoint)
		}
	}
	if key.Name = b.Endpoint.SecretRef(); key.Name != "" {
		if b.Secret = set.Secrets[key]; b.Secret == nil {
			return fmt.Errorf("there is no Secret %s, which the endpoint %s authenticates with", key, f.endpoint)
		}
	}
	return nil
}

// plan is that of a graph that does nothing.
func (f *recordFlags) plan() (*plan.Plan, error) {
	return plan.New(&graph.Definition{
		Metadata:    graph.Metadata{Name: "recording"},
		Operations:  []graph.Operation{{Name: "source", Kind: graph.Source}, {Name: "sink", Kind: graph.Sink}},
		Connections: []graph.Connection{{From: "source", To: "sink"}},
	}, nil, plan.Options{})
}

// steadyWriter is a buffer that is emptied every second, by the next write: while a
// recording is made the frontier is written that often.
type steadyWriter struct {
	*bufio.Writer
	last time.Time
}

// Write implements io.Writer.
func (w *steadyWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if now := time.Now(); err == nil && now.Sub(w.last) >= time.Second {
		w.last = now
		err = w.Flush()
	}
	return n, err
}
