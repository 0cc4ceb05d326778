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
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/oras"
)

// validateFlags are the flags of graphctl validate.
type validateFlags struct {
	simulationFlags
	resources []string
	format    string
}

func newValidate() *cobra.Command {
	var f validateFlags
	cmd := &cobra.Command{
		Use:   "validate {GRAPH.yaml | -f FILE|DIR...}",
		Short: "Check a graph definition, or resources",
		Long: `Validate checks a graph definition or, with -f, files and folders of resources, and lists
all their faults, each with its place and, where possible, with what to write instead. It
exits 0 where there are only warnings, and 1 where there are errors.

Of a definition, with --registry or --modules, which are the same, it also fetches the
modules and checks that they implement what the operations ask of them, that this runtime
has what they were built for, and that parameters without which an operation doesn't start
are given, by --set; it warns of what modules import that graphd won't let them have.

Resources are checked together: every file given, and of a folder all *.yaml, *.yml and
*.json files in it. What they refer to must be among them. Definitions are fetched and
checked with what a DataflowGraph makes of them where a RegistryEndpoint's host is a
folder or an OCI layout, and with --registry, which stands for all the others, where it
is not. Warnings tell what has no effect, what is shown to others unprotected, and what
runs here and would be refused by Azure IoT Operations.`,
		Example: "  graphctl validate graphs/simple.yaml --modules build/artifacts\n" +
			"  graphctl validate graph.yaml --registry ghcr.io --set limit=20\n" +
			"  graphctl validate -f samples/temperature/resources",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(f.resources) > 0 {
				return exactly()(cmd, args)
			}
			return exactly("GRAPH.yaml, or -f FILE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.format != "text" && f.format != "json" {
				return &usageError{fmt.Sprintf("invalid argument %q for --output; want text or json", f.format)}
			}
			if len(f.resources) > 0 {
				return f.runResources(cmd)
			}
			if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
				return &usageError{args[0] + " is a folder; name a graph definition in it, or write -f for a folder of resources"}
			}
			return f.run(cmd, args[0])
		},
	}
	f.modules.add(cmd)
	flags := cmd.Flags()
	flags.StringSliceVarP(&f.resources, "file", "f", nil, "`FILE` or folder of resources; may be given several times")
	flags.StringVar(&f.modules.modules, "registry", "", "`REGISTRY` with the modules, or with the definitions of resources")
	flags.StringArrayVar(&f.set, "set", nil, "`KEY=VALUE` of a parameter of the graph")
	flags.StringVarP(&f.format, "output", "o", "text", "`FORMAT` of the result: text or json")
	cmd.MarkFlagsMutuallyExclusive("modules", "registry")
	cmd.MarkFlagsMutuallyExclusive("file", "set")
	return cmd
}

func (f *validateFlags) run(cmd *cobra.Command, file string) error {
	definition, problems, err := f.check(cmd.Context(), file)
	if err != nil {
		return err
	}
	if err := printProblems(cmd.OutOrStdout(), f.format, file, definition, problems); err != nil {
		return err
	}
	if problems.Err() != nil {
		return fmt.Errorf("%s is not valid", file)
	}
	return nil
}

// check reads a definition and, if they are named, its modules.
func (f *validateFlags) check(ctx context.Context, file string) (d *graph.Definition, problems document.Problems, err error) {
	text, err := readInput(file)
	if err != nil {
		return nil, nil, err
	}
	d, problems = graph.Parse(file, text)
	if problems.Err() != nil || f.modules.modules == "" && len(f.set) == 0 {
		return d, problems, nil
	}
	more, err := f.checkParameters(d)
	if err != nil {
		return nil, nil, err
	}
	problems = append(problems, more...)
	if f.modules.modules != "" {
		if more, err = f.checkModules(ctx, d); err != nil {
			return nil, nil, err
		}
		problems = append(problems, more...)
	}
	problems.Sort()
	return d, problems, nil
}

// checkParameters checks what --set gives against what the definition declares.
func (f *validateFlags) checkParameters(d *graph.Definition) (document.Problems, error) {
	settings, options, err := f.configuration()
	if err != nil {
		return nil, err
	}
	p, err := plan.New(d, settings, options)
	var faults interface{ Unwrap() []error }
	if errors.As(err, &faults) {
		var problems document.Problems
		for _, err := range faults.Unwrap() {
			var problem *document.Problem
			if !errors.As(err, &problem) {
				return nil, err
			}
			problems = append(problems, problem)
		}
		return problems, nil
	}
	if err == nil && len(p.Unused) > 0 {
		err = unusedSetting(p.Unused[0], d)
	}
	return nil, err
}

// checkModules fetches and compiles the modules, and looks at what they want.
func (f *validateFlags) checkModules(ctx context.Context, d *graph.Definition) (problems document.Problems, err error) {
	source, err := f.modules.open()
	if err != nil {
		return nil, err
	}
	compiler, err := wiring.NewCompiler(ctx, wiring.CompiledDir(""), stderrLogger())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, compiler.Close(context.WithoutCancel(ctx))) }()
	modules, problems := wiring.LoadModules(ctx, compiler, source, d)
	warned := map[string]bool{}
	for _, op := range d.Operations {
		m := modules[op.Module]
		if m == nil || warned[op.Module] {
			continue
		}
		warned[op.Module] = true
		warn := func(imports []string, what, hint string) {
			if len(imports) > 0 {
				problems = append(problems, &document.Problem{
					Severity: document.Warning, File: d.File, Position: op.ModulePos, Hint: hint,
					Message: fmt.Sprintf("module %q imports %s, which %s", op.Module, strings.Join(imports, ", "), what),
				})
			}
		}
		denied, unknown := processor.Withheld(m.Component().Type())
		warn(denied, "operators are denied", "calls of them return errors")
		warn(unknown, "nobody provides", "calls of them end the operator")
	}
	return problems, nil
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

// readInput reads a file that was named on the command line. What is none gets a hint.
func readInput(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		return data, nil
	}
	if info, statErr := os.Stat(file); statErr == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder; name a file in it", file)
	}
	if isReference(file) {
		return nil, fmt.Errorf("%w; if that is an artifact in a registry, get its file with \"graphctl pull %s\"", err, file)
	}
	return nil, err
}

// readDefinition reads a definition that is to be used. Its warnings go to stderr.
func readDefinition(file string, stderr io.Writer) (*graph.Definition, []byte, error) {
	text, err := readInput(file)
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
