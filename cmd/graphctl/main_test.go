// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// TestExamples: help that has no example is hard to begin with.
func TestExamples(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, verb := range cmd.Commands() {
			if verb.Example == "" && verb.Name() != "version" {
				t.Errorf("%s --help has no example", verb.CommandPath())
			}
			visit(verb)
		}
	}
	visit(newRoot())
}

// TestSecondInterrupt interrupts a command that reads what never ends, and so does
// not heed the first interrupt.
func TestSecondInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts, and no /dev/stdin")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd := exec.CommandContext(t.Context(), "graphctl", "validate", "/dev/stdin")
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	// More than any pipe holds: once it is written, graphctl is reading.
	if _, err := w.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		_ = cmd.Process.Signal(os.Interrupt) // an error says that it has ended
		select {
		case err := <-ended:
			if err == nil {
				t.Error("graphctl ended well, want it interrupted")
			}
			return
		case <-again.C:
		}
	}
}
