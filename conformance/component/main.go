// SPDX-License-Identifier: Apache-2.0

// Command component runs conformance suites of the Component Model: every script
// below a folder, in the format that `wasm-tools json-from-wast` writes.
//
//	wasm-tools json-from-wast suite.wast -o out/suite.json --wasm-dir out
//	go run ./conformance/component -dir out [-engine wazero] [-o json] [-v]
//	go run -tags wasmtime ./conformance/component -dir out -engine wasmtime
//
// It prints each assertion that failed with its file and line, and as its last line
// how many passed and failed. It exits with 1 when one failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/engines"
)

func main() {
	failed, err := run(context.Background(), os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "component:", err)
		os.Exit(2)
	case failed > 0:
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (failed int, err error) {
	flags := flag.NewFlagSet("component", flag.ContinueOnError)
	dir := flags.String("dir", "", "folder with scripts (required)")
	name := flags.String("engine", "wazero", fmt.Sprintf("core engine, one of %q in this build", engines.Names()))
	format := flags.String("o", "text", "output: text or json")
	verbose := flags.Bool("v", false, "print assertions that passed, too")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	if *dir == "" {
		return 0, errors.New("-dir is required")
	}
	engine, err := engines.Open(ctx, *name)
	if err != nil {
		return 0, err
	}
	defer engine.Close(ctx)
	rt, err := component.New(component.Config{Engine: engine})
	if err != nil {
		return 0, err
	}
	outcomes, err := runAll(ctx, rt, *dir)
	if err != nil {
		return 0, err
	}
	return report(out, outcomes, *format, *verbose)
}

func runAll(ctx context.Context, rt *component.Runtime, dir string) (all []outcome, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		o, err := runScript(ctx, rt, path)
		all = append(all, o...)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no scripts below %s", dir)
	}
	return all, err
}

// report prints outcomes and returns how many failed.
func report(out io.Writer, outcomes []outcome, format string, verbose bool) (failed int, err error) {
	for _, o := range outcomes {
		if !o.OK {
			failed++
		}
	}
	if format == "json" {
		return failed, json.NewEncoder(out).Encode(outcomes)
	}
	for _, o := range outcomes {
		switch {
		case !o.OK:
			fmt.Fprintf(out, "FAIL %s:%d: %s: %s\n", o.File, o.Line, o.Type, o.Error)
		case verbose:
			fmt.Fprintf(out, "ok   %s:%d: %s\n", o.File, o.Line, o.Type)
		}
	}
	_, err = fmt.Fprintf(out, "%d passed, %d failed\n", len(outcomes)-failed, failed)
	return failed, err
}
