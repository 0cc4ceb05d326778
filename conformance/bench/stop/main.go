// SPDX-License-Identifier: Apache-2.0

// Command stop measures how soon a guest that never ends makes way: for the garbage
// collector, which waits for it with the whole process, and for who cancelled it. And
// how much memory a recursion without end takes before it is stopped.
//
//	go run ./conformance/bench/stop [-rounds 50] [-memory 1024] [-o json]
//	go run -tags wasmtime ./conformance/bench/stop -engine wasmtime
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/wasm-graph/graphd/conformance/bench"
	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/engines"
	"github.com/wasm-graph/graphd/engine/component/value"
)

//go:embed guest.wasm
var guest []byte

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stop:", err)
		os.Exit(1)
	}
}

// result is what one guest cost.
type result struct {
	Guest    string  `json:"guest"`
	GC       spread  `json:"gcMillis"`     // how long runtime.GC took
	Cancel   spread  `json:"cancelMillis"` // from the cancellation to the return of the call
	Resident float64 `json:"residentKB"`   // by how much the process grew
}

// spread is a median and a maximum.
type spread struct {
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

func spreadOf(v []float64) spread { return spread{bench.Median(v), slices.Max(v)} }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("stop", flag.ContinueOnError)
	engine := flags.String("engine", "", fmt.Sprintf("core engine, of %q", engines.Names()))
	rounds := flags.Int("rounds", 50, "rounds of each guest")
	megabytes := flags.Int("memory", 1024, "memory of the guests that fill or copy it, in MiB")
	format := flags.String("o", "text", "output: text or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *megabytes < 1 {
		return errors.New("rounds and memory must be positive")
	}
	rt, err := bench.Runtime(ctx, *engine)
	if err != nil {
		return err
	}
	c, err := rt.Compile(ctx, "guest", guest)
	if err != nil {
		return err
	}
	results := []result{idle(*rounds)}
	for _, name := range []string{"loop", "fill", "copy"} {
		r, err := interrupt(ctx, c, name, *rounds, *megabytes)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results = append(results, r)
	}
	for _, name := range []string{"recurse", "recurse-wide", "recurse-by-table"} {
		r, err := exhaust(ctx, c, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results = append(results, r)
	}
	if *format == "json" {
		return json.NewEncoder(out).Encode(results)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "guest\tGC, ms\tat most\tcancel, ms\tat most\tresident, KB\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t\n", r.Guest, r.GC.Median, r.GC.Max, r.Cancel.Median, r.Cancel.Max, r.Resident)
	}
	return w.Flush()
}

// idle collects garbage while no guest runs, for comparison.
func idle(rounds int) result {
	var collections []float64
	for range rounds {
		time.Sleep(5 * time.Millisecond)
		start := time.Now()
		runtime.GC()
		collections = append(collections, millis(time.Since(start)))
	}
	return result{Guest: "none", GC: spreadOf(collections)}
}

// interrupt runs a guest that never ends, collects garbage a few times meanwhile, and
// cancels it.
func interrupt(ctx context.Context, c *component.Component, name string, rounds, megabytes int) (result, error) {
	var collections, cancellations []float64
	// The memory is grown once: fresh pages cost the kernel more than the guest.
	i, err := c.Instantiate(ctx, component.InstanceConfig{Deadline: -1, Memory: uint64(megabytes) << 20})
	if err != nil {
		return result{}, err
	}
	defer func() { i.Close(ctx) }()
	for range rounds {
		running, cancel := context.WithCancel(ctx)
		done := make(chan error)
		go func() {
			_, err := i.Func("", name).Call(running, value.U32(uint32(megabytes)<<4))
			done <- err
		}()
		time.Sleep(5 * time.Millisecond)
		start := time.Now()
		runtime.GC()
		collections = append(collections, millis(time.Since(start)))
		time.Sleep(time.Millisecond)
		start = time.Now()
		cancel()
		err := <-done
		cancellations = append(cancellations, millis(time.Since(start)))
		if !errors.Is(err, context.Canceled) {
			return result{}, fmt.Errorf("the guest ended by itself: %w", err)
		}
		if err := i.Close(ctx); err != nil {
			return result{}, err
		}
		if i, err = c.Instantiate(ctx, component.InstanceConfig{Deadline: -1, Memory: uint64(megabytes) << 20}); err != nil {
			return result{}, err
		}
	}
	return result{Guest: name, GC: spreadOf(collections), Cancel: spreadOf(cancellations)}, nil
}

func millis(d time.Duration) float64 { return float64(d) / 1e6 }

// exhaust runs a guest that recurses without end.
func exhaust(ctx context.Context, c *component.Component, name string) (result, error) {
	i, err := c.Instantiate(ctx, component.InstanceConfig{Deadline: -1})
	if err != nil {
		return result{}, err
	}
	defer i.Close(ctx)
	debug.FreeOSMemory()
	before, err := resident()
	if err != nil {
		return result{}, err
	}
	_, err = i.Func("", name).Call(ctx, value.U32(0))
	if !errors.Is(err, component.ErrExhausted) {
		return result{}, fmt.Errorf("the guest was not stopped for its stack: %w", err)
	}
	after, err := resident()
	return result{Guest: name, Resident: (after - before) / 1024}, err
}

// resident returns how much memory the process has, in bytes.
func resident() (float64, error) {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages float64
	_, err = fmt.Sscan(string(data), &size, &pages)
	return pages * float64(os.Getpagesize()), err
}
