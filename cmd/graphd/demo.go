// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/broker"
	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/graphs"
	"github.com/wasm-graph/graphd/operators/build"
	"github.com/wasm-graph/graphd/oras"
)

// The topics of the demonstration.
const (
	rawTopic       = "sensor/temperature/raw"
	processedTopic = "sensor/temperature/processed"
)

// demoResources is what the demonstration runs; the broker's address is filled in.
const demoResources = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: broker}
spec:
  endpointType: Mqtt
  mqttSettings:
    host: %q
    authentication: {method: Anonymous}
    tls: {mode: Disabled}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata: {name: demo}
spec:
  nodes:
  - {name: sensors, nodeType: Source, sourceSettings: {endpointRef: broker, dataSources: [` + rawTopic + `]}}
  - {name: simple, nodeType: Graph, graphSettings: {registryEndpointRef: default, artifact: "graph-simple:1.0.0"}}
  - {name: results, nodeType: Destination, destinationSettings: {endpointRef: broker, dataDestination: ` + processedTopic + `}}
  nodeConnections:
  - {from: {name: sensors}, to: {name: simple}}
  - {from: {name: simple}, to: {name: results}}
`

// demoFlags are the flags of graphd demo.
type demoFlags struct {
	seconds   int
	modules   string
	plainHTTP bool
	rate      float64
	log       logFlags
}

func newDemoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a graph at work: simulated sensors, an MQTT broker and the graph in one process",
		Long: `Demo starts an MQTT broker on a free port of this machine, publishes simulated
temperatures in Fahrenheit, runs the graph simple, whose only operation is a WebAssembly
component, and prints what comes out in Celsius. Any MQTT client may join in.

The component is taken from --modules, or compiled from operators/temperature in the
current folder with the Go toolchain of this machine.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := f.log.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), logger)
		},
	}
	cmd.Flags().IntVar(&f.seconds, "seconds", 0, "end by itself after so many seconds, with an error if anything was lost; 0 runs until interrupted")
	cmd.Flags().StringVar(&f.modules, "modules", "", "folder, OCI layout or registry with temperature:1.0.0")
	cmd.Flags().BoolVar(&f.plainHTTP, "plain-http", false, "talk HTTP to the registry")
	cmd.Flags().Float64Var(&f.rate, "rate", 4, "messages a second that the sensors publish, up to 1000")
	f.log.add(cmd, "warn")
	return cmd
}

func (f *demoFlags) run(ctx context.Context, stdout io.Writer, logger *slog.Logger) (err error) {
	if f.rate <= 0 || f.rate > 1000 || f.seconds < 0 {
		return errors.New("--rate is above 0 and at most 1000, --seconds not negative")
	}
	artifacts, err := f.artifacts(ctx, stdout)
	if err != nil {
		return err
	}
	b, err := broker.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	set, problems := resource.Parse("demo.yaml", fmt.Appendf(nil, demoResources, b.Address()))
	if err := problems.Err(); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	n, err := newNode(whole, uuid.NewString(), logger, wiring.CompiledDir(""), func(*resource.Set, *resource.RegistryEndpoint) (deploy.Artifacts, error) {
		return artifacts, nil
	}, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close(whole)) }()

	// The graph is stopped once everything has come out, not when ctx ends.
	running, stop := context.WithCancel(whole)
	var deployment sync.WaitGroup
	wanted := make(chan *resource.Set, 1)
	wanted <- set
	deployment.Go(func() { n.deployment.Run(running, wanted) })
	defer deployment.Wait()
	defer stop()
	if err := awaitReady(ctx, n.deployment); err != nil {
		return err
	}
	show := &show{stdout: stdout, broker: b}
	return show.run(ctx, f.rate, time.Duration(f.seconds)*time.Second)
}

// demoArtifacts has the graph simple, and components from elsewhere. Nothing of it ever
// changes.
type demoArtifacts struct {
	component func(ctx context.Context, ref string) ([]byte, error)
}

// Definition implements deploy.Artifacts.
func (demoArtifacts) Definition(context.Context, string) (deploy.Artifact, error) {
	content, err := fs.ReadFile(graphs.Files, "simple.yaml")
	return deploy.Artifact{Content: content, Digest: "embedded", ContentDigest: "embedded"}, err
}

// Component implements deploy.Artifacts.
func (a demoArtifacts) Component(ctx context.Context, ref string) (deploy.Artifact, error) {
	content, err := a.component(ctx, ref)
	return deploy.Artifact{Content: content, Digest: "embedded", ContentDigest: ref}, err
}

// Resolve implements deploy.Artifacts.
func (demoArtifacts) Resolve(context.Context, string, deploy.ArtifactKind) (string, error) {
	return "embedded", nil
}

// Prove implements deploy.Artifacts.
func (demoArtifacts) Prove(string, deploy.ArtifactKind, string) {}

// artifacts returns what has the temperature component: --modules, or a build.
func (f *demoFlags) artifacts(ctx context.Context, stdout io.Writer) (deploy.Artifacts, error) {
	if f.modules != "" {
		source, err := oras.Open(oras.Endpoint(f.modules), oras.Options{PlainHTTP: f.plainHTTP})
		if err != nil {
			return nil, err
		}
		return demoArtifacts{func(ctx context.Context, ref string) ([]byte, error) {
			a, err := source.Fetch(ctx, ref, oras.Component)
			if err != nil {
				return nil, err
			}
			return a.Content, nil
		}}, nil
	}
	dir := filepath.Join("operators", "temperature")
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no %s here to compile: run the demo in a clone of the repository, or give it --modules DIR with a temperature.wasm", dir)
	}
	fmt.Fprintln(stdout, "Compiling operators/temperature to a WebAssembly component ...")
	built, err := build.Operator(ctx, dir)
	if err != nil {
		return nil, err
	}
	return demoArtifacts{func(context.Context, string) ([]byte, error) { return built.Bytes, nil }}, nil
}

// awaitReady waits until the graph is connected, and fails where it can't start.
func awaitReady(ctx context.Context, d *deploy.Deployment) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if d.Ready() == nil {
			return nil
		}
		for _, s := range d.Status() {
			if s.Runs() && s.Health.State == engine.Unavailable {
				return fmt.Errorf("the graph does not start: %s", s.Health.Message)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

// show publishes readings and prints results.
type show struct {
	stdout io.Writer
	broker *broker.Broker

	mu       sync.Mutex
	sent     int           // guarded by mu
	received int           // guarded by mu
	changed  chan struct{} // has room for one signal: received has changed
}

func (s *show) run(ctx context.Context, rate float64, duration time.Duration) error {
	s.changed = make(chan struct{}, 1)
	host, port, err := net.SplitHostPort(s.broker.Address())
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, `
The graph is running until it is interrupted (Ctrl-C), with an MQTT broker on %s. To join in:

  mosquitto_sub -V mqttv5 -h %[2]s -p %[3]s -t '%[4]s'
  mosquitto_pub -V mqttv5 -h %[2]s -p %[3]s -t '%[5]s' -m '{"temperature":{"value":100.0,"unit":"F"}}'

`, s.broker.Address(), host, port, processedTopic, rawTopic)
	if err := s.broker.Subscribe(processedTopic, s.take); err != nil {
		return err
	}
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	began := time.Now()
	reading := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer reading.Stop()
	report := time.NewTicker(5 * time.Second)
	defer report.Stop()
	lastReceived, lastReport := 0, began
	for {
		select {
		case <-ctx.Done():
			return s.finish(began)
		case <-report.C:
			sent, received := s.counts()
			now := time.Now()
			s.printf("-- %d readings in, %d results out, %.1f results a second\n",
				sent, received, float64(received-lastReceived)/now.Sub(lastReport).Seconds())
			lastReceived, lastReport = received, now
		case <-reading.C:
			if err := s.publish(); err != nil {
				return err
			}
		}
	}
}

// publish publishes the next reading: a sine between 68 and 212 °F.
func (s *show) publish() error {
	s.mu.Lock()
	n := s.sent
	s.sent++
	s.mu.Unlock()
	value := 140 + 72*math.Sin(float64(n)/10)
	return s.broker.Publish(rawTopic, fmt.Appendf(nil, `{"temperature":{"value":%.1f,"unit":"F"}}`, value))
}

// take prints a result.
func (s *show) take(topic string, payload []byte) {
	s.printf("%s %s\n", topic, payload)
	s.mu.Lock()
	s.received++
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// printf prints whole lines, from any goroutine.
func (s *show) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.stdout, format, args...)
}

func (s *show) counts() (sent, received int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.received
}

// finish waits a moment for what is under way, and sums up.
func (s *show) finish(began time.Time) error {
	elapsed := time.Since(began)
	patience := time.NewTimer(5 * time.Second)
	defer patience.Stop()
	for late := false; !late; {
		if sent, received := s.counts(); received >= sent {
			break
		}
		select {
		case <-s.changed:
		case <-patience.C:
			late = true
		}
	}
	sent, received := s.counts()
	s.printf("\n%d readings in, %d results out in %.1f s, %.1f results a second\n",
		sent, received, elapsed.Seconds(), float64(received)/elapsed.Seconds())
	switch {
	case received == 0:
		return errors.New("nothing came out")
	case received < sent:
		return fmt.Errorf("%d results did not come out", sent-received)
	}
	return nil
}
