// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/buildinfo"
	"github.com/wasm-graph/graphd/internal/nearest"
)

// newRoot returns the command tree: the table of all verbs.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "graphctl",
		Version:       buildinfo.Line("graphctl"), // for --version
		Short:         "Make, check and run data flow graphs and their operators",
		Args:          noVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &usageError{parsing.ReplaceAllString(err.Error(), ": ")}
	})
	root.AddCommand(
		newApply(),
		newAttach(),
		newBuild(),
		newCopy(),
		newDelete(),
		newDescribe(),
		newGet(),
		newExplain(),
		newInspect(),
		newLogin(),
		newLogout(),
		newLogs(),
		newNew(),
		newPlan(),
		newPull(),
		newPush(),
		newRecord(),
		newRegistry(),
		newReferrers(),
		newReplay(),
		newResolve(),
		newRun(),
		newSchema(),
		newSign(),
		newTags(),
		newTap(),
		newTest(),
		newValidate(),
		newVerify(),
		newVersion(),
	)
	return root
}

// parsing is what Go's own parsers put before what they have against a flag's value.
var parsing = regexp.MustCompile(`: (?:strconv\.\w+: parsing "[^"]*"|time): `)

// usageError is a command line that can't be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// noVerb refuses arguments of a command that only has verbs below it.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var verbs []string
	for _, c := range cmd.Commands() {
		verbs = append(verbs, c.Name())
	}
	text := "unknown command " + args[0]
	if verb, found := nearest.Word(args[0], verbs); found {
		text += "; did you mean " + verb + "?"
	}
	return &usageError{text}
}

// exactly asks for one argument for each of names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return &usageError{"missing argument " + strings.Join(names[len(args):], ", ")}
		case len(args) > len(names):
			return &usageError{"unexpected argument " + args[len(names)]}
		}
		return nil
	}
}
