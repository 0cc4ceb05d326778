// SPDX-License-Identifier: Apache-2.0

// Command bare echoes records of Kafka from one topic to another with nothing but the
// client library: the baseline of the benchmark above it. It polls, produces what came
// with what it came with, and commits once all of that is confirmed, as a program does
// that must lose nothing; or, with -pipelined, goes on producing meanwhile and commits
// every 100 ms what is confirmed from the oldest on, which takes more care to write. It
// runs until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	broker := flags.String("broker", "localhost:9092", "host:port of a broker")
	group := flags.String("group", "bare", "consumer group")
	in := flags.String("in", "in", "topic to consume")
	out := flags.String("out", "out", "topic to produce to")
	linger := flags.Duration("linger", 5*time.Millisecond, "how long a batch waits for more")
	maxBytes := flags.Int("max-bytes", 1_000_000, "bytes of a batch at most")
	pipelined := flags.Bool("pipelined", false, "don't wait for confirmations before the next poll")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options := []kgo.Opt{
		kgo.SeedBrokers(*broker),
		kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(*in),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(*linger),
		kgo.ProducerBatchMaxBytes(int32(*maxBytes)),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.BlockRebalanceOnPoll(),
	}
	if *pipelined {
		options = append(options, kgo.AutoCommitMarks(), kgo.AutoCommitInterval(100*time.Millisecond))
	} else {
		options = append(options, kgo.DisableAutoCommit())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	online := context.WithoutCancel(ctx) // what was polled is finished
	echo := &echo{client: client, topic: *out}
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 10_000)
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) { echo.produce(r, *pipelined) })
		if !*pipelined {
			if err := errors.Join(client.Flush(online), echo.failure()); err != nil {
				return err
			}
			if err := client.CommitUncommittedOffsets(online); err != nil {
				return err
			}
		}
		client.AllowRebalance()
	}
	return nil
}

// echo produces to a topic.
type echo struct {
	client *kgo.Client
	topic  string

	mu       sync.Mutex
	err      error      // guarded by mu
	underWay []*pending // guarded by mu: with -pipelined, oldest first
}

// pending is a record that is produced, and which it was.
type pending struct {
	from *kgo.Record
	done bool
}

func (e *echo) produce(r *kgo.Record, pipelined bool) {
	p := &pending{from: r}
	if pipelined {
		e.mu.Lock()
		e.underWay = append(e.underWay, p)
		e.mu.Unlock()
	}
	out := &kgo.Record{Topic: e.topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
	e.client.Produce(context.Background(), out, func(_ *kgo.Record, err error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if err != nil {
			e.err = err
			return
		}
		p.done = true
		for len(e.underWay) > 0 && e.underWay[0].done {
			e.client.MarkCommitRecords(e.underWay[0].from)
			e.underWay = e.underWay[1:]
		}
	})
}

// failure returns why a record could not be produced.
func (e *echo) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
