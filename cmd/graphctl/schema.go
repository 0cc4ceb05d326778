// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// allKinds is the name of the file with the schema of all kinds, without its ending.
const allKinds = "resources"

func newSchema() *cobra.Command {
	var file, dir string
	cmd := &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Write the JSON Schema of resources, for editors",
		Long: `Schema writes the JSON Schema (draft 7) of one kind of resources or, without KIND, of all,
told apart by their kind. An editor that knows YAML and JSON Schemas then completes
fields, shows what they are for, and underlines what is wrong. What depends on several
fields or on other files a schema can't see: "graphctl validate -f" does.

In Visual Studio Code, with the extension YAML of Red Hat, and in other editors that use
yaml-language-server, write the schema to a file and name it in the first line of yours:

  # yaml-language-server: $schema=resources.json

or, for all files of a folder, in the settings of the workspace:

  "yaml.schemas": {"./resources.json": "resources/*.yaml"}`,
		Example: "  graphctl schema -o resources.json\n" +
			"  graphctl schema DataflowGraph\n" +
			"  graphctl schema --dir schemas",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir != "" {
				if len(args) > 0 {
					return &usageError{"--dir writes the schemas of all kinds; leave KIND away, or write -o FILE"}
				}
				return writeSchemas(dir)
			}
			kinds := schema.Kinds()
			if len(args) > 0 {
				e, err := explain(args[0])
				if err != nil {
					return err
				}
				k := schema.Find(e.Kind)
				if k == nil || e.Path != "" {
					return &usageError{"there are schemas of kinds: " + strings.Join(schema.KindNames(), ", ")}
				}
				kinds = []*schema.Kind{k}
			}
			text, err := schema.JSON(kinds...)
			if err != nil {
				return err
			}
			text = append(text, '\n')
			if file != "" {
				return os.WriteFile(file, text, 0o644)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "`FILE` to write to")
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` to write a schema of each kind to, and one of all, "+allKinds+".json")
	cmd.MarkFlagsMutuallyExclusive("output", "dir")
	return cmd
}

// writeSchemas writes a file for each kind, and one for all.
func writeSchemas(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	write := func(name string, kinds ...*schema.Kind) error {
		text, err := schema.JSON(kinds...)
		if err != nil {
			return fmt.Errorf("schema of %s: %w", name, err)
		}
		return os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644)
	}
	for _, k := range schema.Kinds() {
		if err := write(strings.ToLower(k.Name), k); err != nil {
			return err
		}
	}
	return write(allKinds, schema.Kinds()...)
}
