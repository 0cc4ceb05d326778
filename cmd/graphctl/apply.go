// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
)

// applyFlags are the flags of graphctl apply.
type applyFlags struct {
	graphd  graphdFlags
	output  outputFlag
	files   []string
	dry     bool
	wait    bool
	timeout time.Duration
}

func newApply() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|-",
		Short: "Give resources to a graphd that runs",
		Long: `Apply gives the objects in files, or in all YAML and JSON files of a folder, to graphd,
which runs them and keeps them: they are there again when it is restarted. Objects that
it has already are replaced, and the graphs that they matter to are changed; everything
else goes on as it is.

All of them are taken, or none: graphd checks first what everything would be together.
What is wrong is said with its place, and nothing of what runs is touched. An object in a
file that graphd was started with can't be applied; it is changed in that file.

With --wait it returns once every graph concerned does its work, or fails after --timeout.

` + serverHelp,
		Example: "  graphctl apply -f samples/temperature/resources --wait\n" +
			"  graphctl apply -f graph.yaml --dry-run\n" +
			"  kubectl get dataflowgraph complex -o yaml | graphctl apply -f -",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.graphd.add(cmd)
	f.output.add(cmd)
	flags := cmd.Flags()
	flags.StringSliceVarP(&f.files, "file", "f", nil, "`FILE|DIR` with objects, or - for standard input; may be given several times")
	flags.BoolVar(&f.dry, "dry-run", false, "only say what would be done")
	flags.BoolVar(&f.wait, "wait", false, "wait until the graphs do their work")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "`DURATION` to wait at most")
	return cmd
}

func (f *applyFlags) run(cmd *cobra.Command) error {
	if err := f.output.check(); err != nil {
		return err
	}
	files, err := readObjects(cmd.InOrStdin(), f.files)
	if err != nil {
		return err
	}
	client, err := f.graphd.client()
	if err != nil {
		return err
	}
	defer client.Close()
	outcome, err := client.Apply(cmd.Context(), api.ApplyRequest{Files: files, DryRun: f.dry})
	if err != nil {
		return notApplied("nothing was applied", err)
	}
	for _, w := range outcome.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), printable(w.Error()))
	}
	if err := f.output.print(cmd.OutOrStdout(), outcomeText(outcome, f.dry), outcome); err != nil {
		return err
	}
	if !f.wait || f.dry {
		return nil
	}
	return f.await(cmd.Context(), client, outcome)
}

// notApplied says that what a user wanted was not done, with each problem in a line.
func notApplied(what string, err error) error {
	var fault *api.Fault
	if errors.As(err, &fault) && len(fault.Problems) > 0 {
		return fmt.Errorf("%s:\n%w", what, err)
	}
	return err
}

func outcomeText(o *api.Outcome, dry bool) string {
	var b strings.Builder
	for _, c := range o.Items {
		fmt.Fprintf(&b, "%s %s", refOf(c.Ref), c.Action)
		if dry {
			b.WriteString(" (dry run)")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// readObjects reads files, and those of folders; "-" is stdin.
func readObjects(stdin io.Reader, paths []string) ([]api.ApplyFile, error) {
	if len(paths) == 0 {
		return nil, &usageError{"-f is missing; it names a file or a folder with objects"}
	}
	var all []api.ApplyFile
	for _, path := range paths {
		if path == "-" {
			text, err := io.ReadAll(io.LimitReader(stdin, resource.MaxSize+1))
			if err != nil {
				return nil, err
			}
			if len(text) > resource.MaxSize {
				return nil, fmt.Errorf("standard input has more than %d bytes", resource.MaxSize)
			}
			if err := legible(path, text); err != nil {
				return nil, err
			}
			here, err := os.Getwd()
			if err != nil {
				return nil, err
			}
			all = append(all, api.ApplyFile{Name: "-", Path: filepath.Join(here, "-"), Text: string(text)})
			continue
		}
		files, err := resource.ReadFiles(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if err := legible(file.Name, file.Data); err != nil {
				return nil, err
			}
			absolute, err := filepath.Abs(file.Name)
			if err != nil {
				return nil, err
			}
			all = append(all, api.ApplyFile{Name: file.Name, Path: absolute, Text: string(file.Data)})
		}
	}
	return all, nil
}

// legible refuses what is not UTF-8, and would be something else by the time graphd has it.
func legible(name string, text []byte) error {
	if utf8.Valid(text) {
		return nil
	}
	r := document.NewReader(name)
	r.Documents(text)
	return r.Problems().Err()
}

// lookAgain is the time between two looks at what is waited for.
const lookAgain = 100 * time.Millisecond

// await waits until the graphs that were applied, and those that use what was applied, do
// their work.
func (f *applyFlags) await(ctx context.Context, client *api.Client, outcome *api.Outcome) error {
	user := ctx
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	looks := time.NewTicker(lookAgain)
	defer looks.Stop()
	last := ""
	for {
		waits, err := unready(ctx, client, outcome.Items)
		switch {
		case user.Err() != nil:
			return fmt.Errorf("interrupted: what was applied stays, but isn't ready: %s", cmp.Or(last, "nobody has looked yet"))
		case ctx.Err() == context.DeadlineExceeded:
			return fmt.Errorf("not ready after %v: %s", f.timeout, last)
		case err != nil:
			return err
		case waits == "":
			return nil
		}
		last = waits
		select {
		case <-ctx.Done():
		case <-looks.C:
		}
	}
}

// unready says which of the graphs that objects matter to don't do their work, and why;
// nothing where all do.
func unready(ctx context.Context, client *api.Client, objects []wanted.Change) (string, error) {
	listed := map[string]*api.List{}
	list := func(kind, namespace string) (*api.List, error) {
		k, _ := api.FindKind(kind)
		var err error
		if listed[kind+namespace] == nil {
			listed[kind+namespace], err = client.List(ctx, k, namespace)
		}
		return listed[kind+namespace], err
	}
	concerned := map[wanted.Ref]bool{}
	for _, c := range objects {
		of, err := list(c.Kind, c.Namespace)
		if err != nil {
			return "", err
		}
		concerned[c.Ref] = true
		for _, o := range of.Items {
			if o.Ref() != c.Ref {
				continue
			}
			for _, user := range o.Status.UsedBy {
				concerned[wanted.Ref{Kind: "DataflowGraph", Namespace: c.Namespace, Name: user}] = true
				concerned[wanted.Ref{Kind: "Dataflow", Namespace: c.Namespace, Name: user}] = true
			}
		}
	}
	var waits []string
	for _, kind := range []string{"DataflowGraph", "Dataflow"} {
		var namespaces []string
		for _, c := range objects {
			if !slices.Contains(namespaces, c.Namespace) {
				namespaces = append(namespaces, c.Namespace)
			}
		}
		for _, namespace := range namespaces {
			of, err := list(kind, namespace)
			if err != nil {
				return "", err
			}
			for _, o := range of.Items {
				if concerned[o.Ref()] && !o.Status.Ready && !o.Status.Disabled {
					text := refOf(o.Ref()) + " is not looked at yet"
					if h := o.Status.Health; h != nil {
						text = refOf(o.Ref()) + " is " + strings.Join(strings.Fields(h.State+" "+h.Reason+" "+printable(h.Message)), " ")
					}
					waits = append(waits, text)
				}
			}
		}
	}
	return strings.Join(waits, "; "), nil
}
