// SPDX-License-Identifier: Apache-2.0

// Package kafka_test measures the Kafka path: how soon graphd, with a component in the
// path, takes what is in one topic of Apache Kafka to another, beside a program that
// does so with nothing but the client library.
package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/conformance/guests"
	service "github.com/wasm-graph/graphd/conformance/services/kafka"
	"github.com/wasm-graph/graphd/conformance/services/programs"
)

const (
	rounds     = 5         // of each contender, interleaved
	count      = 1_000_000 // records a round
	size       = 100       // bytes of a value
	partitions = 4         // of each topic
	patience   = time.Minute
	look       = 5 * time.Millisecond // how often a topic is looked at
)

// A contender takes everything from topic "in" to topic out, from the beginning, as a
// process of its own.
type contender struct {
	name  string
	upper bool // turns values into upper case
	start func(b *testing.B, broker, out string) *exec.Cmd
}

// result is one contender's round.
type result struct {
	perSecond float64
	cpu       float64 // microseconds a record
	broker    float64 // the broker's
}

// BenchmarkEcho reports medians, and how many times as fast as the first, bare, each was
// in the same round.
func BenchmarkEcho(b *testing.B) {
	broker := service.Start(b)
	client := connect(b, broker.Addr)
	createTopic(b, broker, client, "in")
	fill(b, client)
	contenders := contenders(b)
	for b.Loop() {
		results := make([][]result, len(contenders))
		for round := range rounds {
			for i, c := range contenders {
				results[i] = append(results[i], measure(b, client, broker, c, fmt.Sprintf("out-%s-%d", c.name, round)))
			}
		}
		median := func(i int, of func(r, bare result) float64) float64 {
			var values []float64
			for round, r := range results[i] {
				values = append(values, of(r, results[0][round]))
			}
			return bench.Median(values)
		}
		for i, c := range contenders {
			b.ReportMetric(median(i, func(r, _ result) float64 { return r.perSecond }), c.name+"-rec/s")
			b.ReportMetric(median(i, func(r, _ result) float64 { return r.cpu }), c.name+"-cpu-us/rec")
			b.ReportMetric(median(i, func(r, _ result) float64 { return r.broker }), c.name+"-broker-us/rec")
			b.ReportMetric(median(i, func(r, bare result) float64 { return r.perSecond / bare.perSecond }), c.name+"/bare")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// contenders builds them all, the baseline first.
func contenders(b *testing.B) []contender {
	b.Helper()
	bare := filepath.Join(b.TempDir(), "bare")
	programs.Run(b, "go", "build", "-o", bare, "./bare")
	baseline := func(flags ...string) func(*testing.B, string, string) *exec.Cmd {
		return func(b *testing.B, broker, out string) *exec.Cmd {
			return exec.Command(bare, append(flags, "-broker", broker, "-group", out, "-in", "in", "-out", out)...)
		}
	}
	graphd := programs.Build(b, "graphd")
	artifacts := b.TempDir()
	component, err := bench.Component(guests.Map())
	if err != nil {
		b.Fatal(err)
	}
	write(b, artifacts, "shout.wasm", component)
	write(b, artifacts, "graph-shout.yaml", []byte(definition))
	ours := func(copying string) func(*testing.B, string, string) *exec.Cmd {
		return func(b *testing.B, broker, out string) *exec.Cmd {
			dir := b.TempDir()
			text := strings.NewReplacer("BROKER", broker, "ARTIFACTS", artifacts, "OUT", out, "COPYING", copying).Replace(resources)
			write(b, dir, "resources.yaml", []byte(text))
			return exec.Command(graphd, "run", "-f", dir, "--addr", programs.FreeAddress(b), "--data-dir", filepath.Join(dir, "data"))
		}
	}
	return []contender{
		{"bare", false, baseline()},
		{"pipelined", false, baseline("-pipelined")},
		{"ours", true, ours("Disabled")},
		{"headers", true, ours("Enabled")}, // the record's time twice, 90 bytes
	}
}

func write(b *testing.B, dir, name string, content []byte) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		b.Fatal(err)
	}
}

const definition = `metadata:
  $schema: "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json"
  name: "shout"
  version: "1.0.0"
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
operations:
  - {operationType: source, name: source}
  - {operationType: map, name: shout/map, module: "shout:1.0.0"}
  - {operationType: sink, name: sink}
connections:
  - {from: {name: source}, to: {name: shout/map}}
  - {from: {name: shout/map}, to: {name: sink}}
`

const resources = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: RegistryEndpoint
metadata: {name: artifacts}
spec:
  host: file://ARTIFACTS
  authentication: {method: Anonymous}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: kafka}
spec:
  endpointType: Kafka
  kafkaSettings:
    host: BROKER
    authentication: {method: Anonymous}
    tls: {mode: Disabled}
    consumerGroupId: OUT
    copyMqttProperties: COPYING
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata: {name: echo}
spec:
  profileRef: default
  nodes:
    - {name: in, nodeType: Source, sourceSettings: {endpointRef: kafka, dataSources: [in]}}
    - {name: shout, nodeType: Graph, graphSettings: {registryEndpointRef: artifacts, artifact: "graph-shout:1.0.0"}}
    - {name: out, nodeType: Destination, destinationSettings: {endpointRef: kafka, dataDestination: OUT}}
  nodeConnections:
    - {from: {name: in}, to: {name: shout}}
    - {from: {name: shout}, to: {name: out}}
`

// connect returns the benchmark's own client.
func connect(b *testing.B, broker string, options ...kgo.Opt) *kgo.Client {
	b.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, options...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	return client
}

func createTopic(b *testing.B, broker *service.Broker, client *kgo.Client, name string) {
	b.Helper()
	broker.CreateTopic(name, partitions)
	for deadline := time.Now().Add(patience); ; { // it is not there at once
		_, err := written(b, client, name)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
		time.Sleep(look)
	}
}

func deleteTopic(b *testing.B, client *kgo.Client, name string) {
	b.Helper()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TopicNames, request.Topics = []string{name}, []kmsg.DeleteTopicsRequestTopic{topic}
	if _, err := request.RequestWith(b.Context(), client); err != nil {
		b.Fatalf("delete topic %s: %v", name, err)
	}
}

// value returns a record's: its number and letters.
func value(n int) []byte {
	v := bytes.Repeat([]byte("abcdefghij"), size/10)
	copy(v, fmt.Sprintf("%08d", n))
	return v
}

// fill produces the records, in turns to the partitions.
func fill(b *testing.B, client *kgo.Client) {
	b.Helper()
	failed := make(chan error, 1)
	for n := range count {
		r := &kgo.Record{Topic: "in", Partition: int32(n % partitions), Value: value(n)}
		client.Produce(b.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
}

// written returns how many records a topic holds.
func written(b *testing.B, client *kgo.Client, name string) (int, error) {
	b.Helper()
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for p := range int32(partitions) {
		at := kmsg.NewListOffsetsRequestTopicPartition()
		at.Partition, at.Timestamp = p, -1 // the end
		topic.Partitions = append(topic.Partitions, at)
	}
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(b.Context(), client)
	if err != nil {
		return 0, fmt.Errorf("look at topic %s: %w", name, err)
	}
	sum := 0
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return 0, fmt.Errorf("look at topic %s: %w", name, err)
			}
			sum += int(p.Offset)
		}
	}
	return sum, nil
}

// measure lets a contender take all records to out, and looks at what it took. The clock
// runs from the first record seen there to the last, so that how long a program takes to
// start and to join its group is not in it.
func measure(b *testing.B, client *kgo.Client, broker *service.Broker, c contender, out string) result {
	b.Helper()
	createTopic(b, broker, client, out)
	defer deleteTopic(b, client, out)
	cmd := c.start(b, broker.Addr, out)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	running := true
	stop := func() {
		if running {
			running = false
			_ = cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
			if err := cmd.Wait(); err != nil {
				b.Errorf("%s: %v\n%s", c.name, err, said.Bytes())
			}
		}
	}
	defer stop()
	var r result
	var began time.Time
	var before, brokerBefore time.Duration
	from := 0
	deadline := time.Now().Add(patience)
	for {
		n, err := written(b, client, out)
		if err != nil {
			b.Fatal(err)
		}
		if from == 0 && n > 0 {
			from, began, before = n, time.Now(), processor(b, cmd.Process.Pid)
			brokerBefore = processor(b, broker.Process())
		}
		if n >= count {
			moved := float64(count - from)
			r = result{
				moved / time.Since(began).Seconds(),
				float64((processor(b, cmd.Process.Pid) - before).Microseconds()) / moved,
				float64((processor(b, broker.Process()) - brokerBefore).Microseconds()) / moved,
			}
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: %d of %d records after %v\n%s", c.name, n, count, patience, said.Bytes())
		}
		time.Sleep(look)
	}
	stop()
	batch := check(b, broker.Addr, c, out)
	b.Logf("%s: %.0f records a second in batches of %.0f, %.2f us of processor time each, and %.2f of the broker's",
		c.name, r.perSecond, batch, r.cpu, r.broker)
	return r
}

// processor returns the processor time that a process has used, as Linux tells it.
func processor(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] { // in user and in system mode
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// check compares what is in out with what was in: the same set, each once; and in each
// partition, what came from one partition is in the order it had there. It returns how
// many records a batch has.
func check(b *testing.B, broker string, c contender, out string) (batch float64) {
	b.Helper()
	var batches batches
	client := connect(b, broker, kgo.ConsumeTopics(out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(8<<20), kgo.WithHooks(&batches))
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	seen := make([]bool, count)
	last := make([]int, partitions*partitions)
	for got := 0; got < count; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.Fatalf("%s: read %d of %d: %v", c.name, got, count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got++
			n, err := strconv.Atoi(string(r.Value[:8]))
			if err != nil || n >= count || seen[n] {
				b.Fatalf("%s: unexpected or a second time: %q", c.name, r.Value)
			}
			seen[n] = true
			want := value(n)
			if c.upper {
				want = bytes.ToUpper(want)
			}
			if !bytes.Equal(r.Value, want) {
				b.Fatalf("%s: got %q, want %q", c.name, r.Value, want)
			}
			pair := int(r.Partition)*partitions + n%partitions
			if n < last[pair] {
				b.Fatalf("%s: record %d comes after %d in partition %d", c.name, n, last[pair], r.Partition)
			}
			last[pair] = n
		})
	}
	return float64(count) / float64(batches.Load())
}

// batches counts those that are read.
type batches struct{ atomic.Int64 }

// OnFetchBatchRead implements kgo.HookFetchRecordBatchRead.
func (b *batches) OnFetchBatchRead(kgo.BrokerMetadata, string, int32, kgo.FetchBatchMetrics) {
	b.Add(1)
}
