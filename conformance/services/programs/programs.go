// SPDX-License-Identifier: Apache-2.0

// Package programs builds and runs graphd and graphctl for tests of samples and of what
// others made: the real programs, on loopback ports, in folders of the test's own.
package programs

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program has to be ready. It is for machines that do much else.
const patience = 2 * time.Minute

// Build builds a program of this repository, graphd or graphctl, and returns its path. It
// is called in a folder of the repository.
func Build(t testing.TB, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	Run(t, "go", "build", "-o", out, "github.com/wasm-graph/graphd/cmd/"+name)
	return out
}

// Run runs a command that must succeed, and returns what it printed.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// Artifacts makes the folder that serves as a registry, as "make operators" does, with one
// of our definitions and the operators it needs. It is called in a folder of samples.
func Artifacts(t testing.TB, graphctl, graph string, operators ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range operators {
		Run(t, graphctl, "build", "../../operators/"+name, "-o", filepath.Join(dir, name+".wasm"))
	}
	definition, err := os.ReadFile("../../graphs/" + graph + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "graph-"+graph+".yaml"), definition, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Resources copies the YAML files in folders to a new one, and returns that. changes are
// pairs of text to replace and what to write instead; of files with one name, the last is
// taken.
func Resources(t testing.TB, folders []string, changes ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("there are no resources in %s (%v)", folder, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.NewReplacer(changes...).Replace(string(text))
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// Indented returns a text for a YAML block that is indented by four spaces.
func Indented(text []byte) string {
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ")
}

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Graphd runs graphd with the resources in dir, where it keeps its data too, and waits
// until it is ready. It is stopped at the end of the test, or by stop, and has to stop
// well. env are variables of its environment, NAME=VALUE.
func Graphd(t testing.TB, graphd, dir string, env ...string) (stop func()) {
	t.Helper()
	var log bytes.Buffer
	addr := FreeAddress(t)
	cmd := exec.Command(graphd, "run", "-f", dir, "--addr", addr, "--data-dir", filepath.Join(dir, "data"))
	cmd.Stderr = &log
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
		if err := <-ended; err != nil {
			t.Errorf("graphd: %v", err)
		}
		if t.Failed() {
			t.Logf("graphd said:\n%s", log.Bytes())
		}
	}
	t.Cleanup(stop)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); ; {
		if response, err := http.Get("http://" + addr + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return stop
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("graphd is not ready after %v", patience)
		}
		select {
		case err := <-ended:
			stopped = true
			t.Fatalf("graphd ended: %v\n%s", err, log.Bytes())
		case <-look.C:
		}
	}
}
