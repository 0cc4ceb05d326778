// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/operators/build"
)

func newBuild() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "build DIR",
		Short: "Compile an operator written in Go to a component",
		Long: `Build compiles the main package in DIR, an operator written in Go, to a
WebAssembly component of the world wasm-graph:processor@1.1.0. It needs the Go
toolchain and nothing else. "graphctl new operator" makes an operator to begin with.

The component is written to NAME.wasm in the current folder, where NAME is the name
of DIR.`,
		Example: "  graphctl build operators/temperature -o build/artifacts/temperature.wasm",
		Args:    exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := build.Operator(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			file := outputFile(output, c.Name+".wasm")
			if err := writeFile(file, c.Bytes); err != nil {
				return err
			}
			var kinds []string
			for _, k := range c.Kinds {
				kinds = append(kinds, string(k))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s\n", file, byteSize(len(c.Bytes)), strings.Join(kinds, ", "))
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "`FILE` or folder to write the component to (default NAME.wasm)")
	return cmd
}

// outputFile returns where to write a file called name, given what the user said: a
// file, a folder, or nothing.
func outputFile(output, name string) string {
	if output == "" {
		return name
	}
	if info, err := os.Stat(output); err == nil && info.IsDir() || os.IsPathSeparator(output[len(output)-1]) {
		return filepath.Join(output, name)
	}
	return output
}

// writeFile writes file as a whole or not at all, with the folders that lead to it.
func writeFile(file string, data []byte) (err error) {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(data)
	// CreateTemp's files are for their owner only.
	if err := errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

// byteSize is a size for people to read.
func byteSize(n int) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
}
