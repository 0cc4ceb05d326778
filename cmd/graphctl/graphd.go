// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
)

// graphdFlags say which graphd is asked.
type graphdFlags struct {
	server    string
	tokenFile string
	ca        string
	flag      func(name string) bool // reports whether a flag was given
}

// graphdVariable is the environment variable that says where graphd is.
const graphdVariable = "GRAPHD"

func (f *graphdFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "graphd", "", "`HOST:PORT` or URL of graphd (default $"+graphdVariable+", or "+api.DefaultAddress+")")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token that graphd asks for (default $"+graphdVariable+"_TOKEN_FILE)")
	flags.StringVar(&f.ca, "ca", "", "`FILE` with the certificates to trust, PEM, instead of the system's (default $"+graphdVariable+"_CA)")
	f.flag = flags.Changed
}

// given reports whether --graphd is on the command line.
func (f *graphdFlags) given() bool { return f.flag("graphd") }

// client returns what asks graphd.
func (f *graphdFlags) client() (*api.Client, error) {
	config := api.ClientConfig{Server: f.server, TokenFile: f.tokenFile, CA: f.ca}
	for variable, field := range map[string]*string{
		graphdVariable: &config.Server, graphdVariable + "_TOKEN_FILE": &config.TokenFile, graphdVariable + "_CA": &config.CA,
	} {
		if *field == "" {
			*field = os.Getenv(variable)
		}
	}
	return api.NewClient(config)
}

// namespaceFlag is the namespace of objects.
type namespaceFlag struct {
	name string
	all  bool
}

func (f *namespaceFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.name, "namespace", "n", resource.DefaultNamespace, "`NAME` of the namespace")
}

// addAll adds -A, too.
func (f *namespaceFlag) addAll(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVarP(&f.all, "all-namespaces", "A", false, "of all namespaces")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
}

// chosen returns the namespace; empty means all.
func (f *namespaceFlag) chosen() string {
	if f.all {
		return ""
	}
	return f.name
}

// kindHelp says what kinds are called.
const kindHelp = `KIND is DataflowGraph, Dataflow, DataflowEndpoint,
RegistryEndpoint, DataflowProfile, ConfigMap or Secret, in any case, singular or plural; or,
for short, graph, df, endpoint, registry, profile and cm. KIND/NAME is KIND NAME.`

// serverHelp says where graphd is.
const serverHelp = `graphd is asked on this machine at its usual port, unless --graphd or $GRAPHD says
otherwise; --token-file and --ca are for one that listens to other machines.`

// kindOf returns the kind that a user names.
func kindOf(name string) (api.Kind, error) {
	k, ok := api.FindKind(name)
	if ok {
		return k, nil
	}
	var names []string
	for _, k := range api.Kinds() {
		names = append(names, k.Name)
	}
	text := "there is no kind " + name
	if hint := document.Suggest(name, names); hint != "" {
		text += "; " + hint
	}
	return api.Kind{}, &usageError{text}
}

// apart takes KIND/NAME, as get -o name prints it, apart: the result begins with the kind, and
// names follow. All have to be of one kind. Other arguments stay as they are.
func apart(args []string) ([]string, error) {
	if len(args) == 0 || !hasKind(args[0]) {
		return args, nil
	}
	first, _, _ := strings.Cut(args[0], "/")
	k, err := kindOf(first)
	if err != nil {
		return nil, err
	}
	split := []string{first}
	for _, arg := range args {
		kind, name, _ := strings.Cut(arg, "/")
		if other, ok := api.FindKind(kind); !ok || other.Name != k.Name || name == "" {
			return nil, &usageError{"unexpected argument " + arg + "; after " + args[0] + " all are " + first + "/NAME"}
		}
		split = append(split, name)
	}
	return split, nil
}

// hasKind reports whether an argument is KIND/NAME.
func hasKind(arg string) bool {
	kind, _, found := strings.Cut(arg, "/")
	_, known := api.FindKind(kind)
	return found && known
}

// graphName returns the name in GRAPH, which may be KIND/NAME.
func graphName(arg string) string {
	if kind, name, found := strings.Cut(arg, "/"); found {
		if k, ok := api.FindKind(kind); ok && runs(k.Name) {
			return name
		}
	}
	return arg
}

// sourceOf says where an object is from.
func sourceOf(s *api.Status) string {
	if dir, ok := strings.CutSuffix(s.Source, string(filepath.Separator)+"-"); ok && s.Applied {
		return "standard input in " + dir
	}
	return s.Source
}

// age says how long ago something was, in one unit or two.
func age(since time.Time) string {
	d := time.Since(since)
	switch {
	case since.IsZero():
		return "-"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// table is lines of columns, for people.
type table struct {
	rows   [][]string
	widths []int // of columns at least; String makes them wider
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String aligns the columns. Empty cells are shown as a dash.
func (t *table) String() string {
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 1)
			}
			t.widths[i] = max(t.widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		line := ""
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			line += cell + strings.Repeat(" ", t.widths[i]-len([]rune(cell))+3)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// printable makes text of others one line without control characters, which could move
// the cursor of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// refOf names an object as users write it.
func refOf(r wanted.Ref) string {
	name := strings.ToLower(r.Kind) + "/" + r.Name
	if r.Namespace != resource.DefaultNamespace {
		name += " in " + r.Namespace
	}
	return name
}
