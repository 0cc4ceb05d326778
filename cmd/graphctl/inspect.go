// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
)

func newInspect() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "inspect FILE.wasm",
		Short: "Show what a component is made of",
		Long: `Inspect shows the operators that a component exports, what it imports, the core
modules inside it, and its world as WIT text. It reads any component, not only
operators, and checks it as graphd does when it loads one.`,
		Example: "  graphctl inspect build/temperature.wasm\n" +
			"  graphctl inspect build/temperature.wasm -o json | jq .operators",
		Args: exactly("FILE.wasm"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"text", "json", "wit"}, format) {
				return &usageError{fmt.Sprintf("invalid argument %q for --output; want text, wit or json", format)}
			}
			r, err := inspect(args[0])
			if err != nil {
				return err
			}
			return r.print(cmd.OutOrStdout(), format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT` of the result: text, wit or json")
	return cmd
}

// report is what graphctl inspect found.
type report struct {
	File      string          `json:"file"`
	Size      int             `json:"size"` // bytes
	Operators []operator.Kind `json:"operators"`
	// Refused says why graphd would not take the component as an operator.
	Refused     string       `json:"refused,omitempty"`
	Imports     []string     `json:"imports"`
	Exports     []string     `json:"exports"`
	CoreModules []coreModule `json:"coreModules"`
	Features    []string     `json:"features"` // that its core modules use, together
	WIT         string       `json:"wit"`
}

type coreModule struct {
	Name        string   `json:"name,omitempty"`
	Size        int      `json:"size"` // bytes
	MemoryPages *uint32  `json:"memoryPages,omitempty"`
	Features    []string `json:"features"`
}

func inspect(file string) (*report, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d, err := component.Describe(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &report{File: file, Size: d.Size, Operators: []operator.Kind{}, Imports: names(d.Type.Imports), Exports: names(d.Type.Exports)}
	kinds, err := processor.Kinds(d.Type)
	if err != nil {
		r.Refused = err.Error()
	} else {
		r.Operators = kinds
	}
	features := []string{}
	for _, m := range d.CoreModules {
		c := coreModule{Name: m.Name, Size: m.Size, Features: append([]string{}, m.Features...)}
		if len(m.Memories) > 0 {
			c.MemoryPages = &m.Memories[0].Min
		}
		r.CoreModules = append(r.CoreModules, c)
		features = append(features, m.Features...)
	}
	slices.Sort(features)
	r.Features = slices.Compact(features)
	if r.WIT, err = wit.Print(d.Type); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

func names(externs []types.Extern) []string {
	list := make([]string, len(externs))
	for i, x := range externs {
		list[i] = x.Name
	}
	return list
}

func (r *report) print(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "wit":
		_, err := io.WriteString(w, r.WIT)
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", r.File, byteSize(r.Size))
	if r.Refused != "" {
		fmt.Fprintf(&b, "no operator: %s\n", r.Refused)
	} else {
		fmt.Fprintf(&b, "operators  %s\n", join(r.Operators))
	}
	fmt.Fprintf(&b, "core features  %s\n", orNone(strings.Join(r.Features, ", ")))
	for i, m := range r.CoreModules {
		name := m.Name
		if name == "" {
			name = fmt.Sprintf("core module %d", i)
		}
		fmt.Fprintf(&b, "  %s  %s", name, byteSize(m.Size))
		if m.MemoryPages != nil {
			fmt.Fprintf(&b, "  memory from %s", byteSize(int(*m.MemoryPages)<<16))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(r.WIT)
	_, err := io.WriteString(w, b.String())
	return err
}

func join(kinds []operator.Kind) string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = string(k)
	}
	return strings.Join(list, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
