// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/oras"
)

func newValidate() *cobra.Command {
	var modules moduleFlags
	var format string
	cmd := &cobra.Command{
		Use:   "validate GRAPH.yaml",
		Short: "Check a graph definition",
		Long: `Validate checks a graph definition and lists all its faults, each with its place and,
where possible, with what to write instead. With --modules it also fetches the modules
and checks that they implement what the operations ask of them.`,
		Example: "  graphctl validate graphs/simple.yaml --modules build/artifacts",
		Args:    exactly("GRAPH.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return &usageError{fmt.Sprintf("invalid argument %q for --output; want text or json", format)}
			}
			definition, problems, err := check(cmd.Context(), args[0], modules)
			if err != nil {
				return err
			}
			if err := printProblems(cmd.OutOrStdout(), format, args[0], definition, problems); err != nil {
				return err
			}
			if problems.Err() != nil {
				return fmt.Errorf("%s is not valid", args[0])
			}
			return nil
		},
	}
	modules.add(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT` of the result: text or json")
	return cmd
}

// check reads a definition and, if they are named, its modules.
func check(ctx context.Context, file string, from moduleFlags) (d *graph.Definition, problems document.Problems, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	d, problems = graph.Parse(file, text)
	if problems.Err() != nil || from.modules == "" {
		return d, problems, nil
	}
	source, err := from.open()
	if err != nil {
		return nil, nil, err
	}
	compiler, err := wiring.NewCompiler(ctx, wiring.CompiledDir(""), stderrLogger())
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, compiler.Close(context.WithoutCancel(ctx))) }()
	_, more := wiring.LoadModules(ctx, compiler, source, d)
	problems = append(problems, more...)
	problems.Sort()
	return d, problems, nil
}

// verdict is the result of graphctl validate -o json.
type verdict struct {
	File     string            `json:"file"`
	Valid    bool              `json:"valid"`
	Problems document.Problems `json:"problems"`
}

func printProblems(w io.Writer, format, file string, d *graph.Definition, problems document.Problems) error {
	if format == "json" {
		v := verdict{File: file, Valid: problems.Err() == nil, Problems: problems}
		if v.Problems == nil {
			v.Problems = document.Problems{} // a list, not null
		}
		return printJSON(w, v)
	}
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.Error() + "\n")
	}
	if problems.Err() == nil {
		fmt.Fprintf(&b, "%s: valid, %d operations, %d modules\n", file, len(d.Operations), len(d.Modules()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// readDefinition reads a definition that is to be used. Its warnings go to stderr.
func readDefinition(file string, stderr io.Writer) (*graph.Definition, []byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	d, problems := graph.Parse(file, text)
	for _, w := range problems.Warnings() {
		fmt.Fprintln(stderr, w.Error())
	}
	if err := problems.Err(); err != nil {
		return nil, nil, fmt.Errorf("%s is not valid:\n%w", file, err)
	}
	return d, text, nil
}

// moduleFlags say where modules come from.
type moduleFlags struct {
	modules string
	remote  remoteFlags
}

func (f *moduleFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.modules, "modules", "", "`DIR|REGISTRY` with the modules: a folder, an OCI layout, or a registry's host")
	f.remote.add(cmd)
}

func (f *moduleFlags) open() (oras.Source, error) {
	opts, err := f.remote.options()
	if err != nil {
		return nil, err
	}
	registries := wiring.NewRegistries(wiring.ArtifactDir(""), stderrLogger())
	return registries.Open(oras.Endpoint(f.modules), opts)
}

// load fetches and compiles the modules of d.
func (f *moduleFlags) load(ctx context.Context, compiler *wiring.Compiler, d *graph.Definition) (wiring.Modules, error) {
	if f.modules == "" && len(d.Modules()) > 0 {
		return nil, &usageError{"--modules is missing; it names the folder or registry with the modules " + strings.Join(d.Modules(), ", ")}
	}
	if len(d.Modules()) == 0 {
		return nil, nil
	}
	source, err := f.open()
	if err != nil {
		return nil, err
	}
	modules, problems := wiring.LoadModules(ctx, compiler, source, d)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("%s can't be run:\n%w", d.File, err)
	}
	return modules, nil
}

// stderrLogger is for what goes wrong beside the work.
func stderrLogger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }
