// SPDX-License-Identifier: Apache-2.0

//go:build interop

package oci_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/wasm-graph/graphd/conformance/services/programs"
	"github.com/wasm-graph/graphd/operators/build"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

var graphctl, graphd string // the programs

// operator is the temperature operator, compiled.
var operator []byte

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "graphd-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	graphctl, graphd = filepath.Join(dir, "graphctl"), filepath.Join(dir, "graphd")
	if out, err := exec.Command("go", "build", "-o", dir, "../../cmd/graphctl", "../../cmd/graphd").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// compiled returns the temperature operator.
func compiled(t *testing.T) []byte {
	t.Helper()
	if operator == nil {
		component, err := build.Operator(t.Context(), "../../operators/temperature")
		if err != nil {
			t.Fatal(err)
		}
		operator = component.Bytes
	}
	return operator
}

// registries start a registry each, and return its host and port. They speak plain
// HTTP, on a loopback port.
var registries = map[string]func(*testing.T) string{
	"docker-registry": dockerRegistry,
	"ours":            ourRegistry,
	"go-containerregistry": func(t *testing.T) string {
		server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(server.Close)
		return strings.TrimPrefix(server.URL, "http://")
	},
}

func dockerRegistry(t *testing.T) string {
	t.Helper()
	addr, dir := programs.FreeAddress(t), t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), addr)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, addr, "docker-registry", "serve", config)
	return addr
}

func ourRegistry(t *testing.T) string {
	t.Helper()
	addr := programs.FreeAddress(t)
	start(t, addr, graphctl, "registry", "serve", "--dir", t.TempDir(), "--addr", addr)
	return addr
}

// start runs a registry until the test ends, and waits until it answers.
func start(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	})
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); ; <-look.C {
		response, err := http.Get("http://" + addr + "/v2/")
		if err == nil {
			response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v\n%s", cmd, err, out.Bytes())
		}
	}
}

// refused runs a program that must fail.
func refused(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("%s succeeded:\n%s", cmd, out)
	}
}

// write writes a file into a new folder and returns its path.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// each runs a test once for each registry, with a graph and its component in it, and
// their files.
func each(t *testing.T, test func(t *testing.T, host string, files map[string]string)) {
	for name, start := range registries {
		t.Run(name, func(t *testing.T) {
			host := start(t)
			definition, err := os.ReadFile("../../graphs/simple.yaml")
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{
				"temperature":  write(t, "temperature.wasm", compiled(t)),
				"graph-simple": write(t, "graph-simple.yaml", definition),
			}
			for name, file := range files {
				programs.Run(t, graphctl, "push", file, "http://"+host+"/plant/"+name+":1.0.0")
			}
			test(t, host, files)
		})
	}
}

// equalFiles compares two files.
func equalFiles(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Error(err)
		return
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s is not %s", got, want)
	}
}

// TestPythonORAS pulls what we pushed, and we pull what it pushed without any of the
// media types that a graph or a component should have.
func TestPythonORAS(t *testing.T) {
	const script = `
import sys, oras.client
verb, target, arg = sys.argv[1:]
client = oras.client.OrasClient(insecure=True)
if verb == "push":
    assert client.push(target=target, files=[arg], disable_path_validation=True).status_code == 201
else:
    assert len(client.pull(target=target, outdir=arg)) == 1
`
	each(t, func(t *testing.T, host string, files map[string]string) {
		for name, file := range files {
			dir := t.TempDir()
			programs.Run(t, "oras-python", "-c", script, "pull", host+"/plant/"+name+":1.0.0", dir)
			equalFiles(t, filepath.Join(dir, filepath.Base(file)), file)

			dir = t.TempDir()
			programs.Run(t, "oras-python", "-c", script, "push", host+"/theirs/"+name+":1.0.0", file)
			programs.Run(t, graphctl, "pull", "http://"+host+"/theirs/"+name+":1.0.0", "-o", dir)
			equalFiles(t, filepath.Join(dir, filepath.Base(file)), file)
			programs.Run(t, graphctl, "inspect", "http://"+host+"/theirs/"+name+":1.0.0")
		}
	})
}

// TestSkopeo copies what we pushed, to another repository and to a layout, and the
// digests stay.
func TestSkopeo(t *testing.T) {
	each(t, func(t *testing.T, host string, files map[string]string) {
		layout := t.TempDir()
		for name := range files {
			want := programs.Run(t, graphctl, "resolve", "http://"+host+"/plant/"+name+":1.0.0")
			source := "docker://" + host + "/plant/" + name + ":1.0.0"
			programs.Run(t, "skopeo", "copy", "-q", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", source, "docker://"+host+"/copied/"+name+":1.0.0")
			if got := programs.Run(t, graphctl, "resolve", "http://"+host+"/copied/"+name+":1.0.0"); got != want {
				t.Errorf("copied, %s is %s, was %s", name, got, want)
			}
			programs.Run(t, "skopeo", "copy", "-q", "--preserve-digests", "--src-tls-verify=false", source, "oci:"+layout+":"+name+":1.0.0")
			if got := programs.Run(t, graphctl, "resolve", "oci-layout:"+layout+":"+name+":1.0.0"); got != want {
				t.Errorf("in a layout, %s is %s, was %s", name, got, want)
			}
			ours := t.TempDir()
			programs.Run(t, graphctl, "copy", "http://"+host+"/plant/"+name+":1.0.0", "oci-layout:"+ours)
			programs.Run(t, "skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", "oci:"+ours+":plant/"+name+":1.0.0", "docker://"+host+"/again/"+name+":1.0.0")
			if got := programs.Run(t, graphctl, "resolve", "http://"+host+"/again/"+name+":1.0.0"); got != want {
				t.Errorf("out of our layout, %s is %s, was %s", name, got, want)
			}
		}
	})
}

func TestCrane(t *testing.T) {
	each(t, func(t *testing.T, host string, files map[string]string) {
		other := registries["go-containerregistry"](t)
		for name := range files {
			want := programs.Run(t, graphctl, "resolve", "http://"+host+"/plant/"+name+":1.0.0")
			if got := programs.Run(t, "crane", "digest", host+"/plant/"+name+":1.0.0"); got != want {
				t.Errorf("crane says that %s is %s, want %s", name, got, want)
			}
			if got := programs.Run(t, "crane", "ls", host+"/plant/"+name); got != "1.0.0" {
				t.Errorf("crane lists %q", got)
			}
			programs.Run(t, "crane", "validate", "--remote", host+"/plant/"+name+":1.0.0", "--fast")
			programs.Run(t, "crane", "copy", host+"/plant/"+name+":1.0.0", other+"/copied/"+name+":2")
			if got := programs.Run(t, graphctl, "resolve", "http://"+other+"/copied/"+name+":2"); got != want {
				t.Errorf("copied, %s is %s, was %s", name, got, want)
			}
			programs.Run(t, graphctl, "copy", "http://"+other+"/copied/"+name+":2", "http://"+host+"/back/"+name+":2")
			if got := programs.Run(t, "crane", "digest", host+"/back/"+name+":2"); got != want {
				t.Errorf("copied back, %s is %s, was %s", name, got, want)
			}
		}
	})
}

// TestCosign verifies our signatures with cosign, and cosign's with ours, in both forms.
func TestCosign(t *testing.T) {
	t.Setenv("COSIGN_PASSWORD", "secret")
	t.Setenv("HOME", t.TempDir())
	keys := t.TempDir()
	pair := func(name string, args ...string) (private, public string) {
		t.Helper()
		private, public = filepath.Join(keys, name+".key"), filepath.Join(keys, name+".pub")
		programs.Run(t, "openssl", append([]string{"genpkey", "-out", private}, args...)...)
		programs.Run(t, "openssl", "pkey", "-in", private, "-pubout", "-out", public)
		return private, public
	}
	verify := func(key, ref string, more ...string) []string {
		return append([]string{"verify", "--key", key, "--insecure-ignore-tlog", "--allow-http-registry", ref}, more...)
	}
	each(t, func(t *testing.T, host string, _ map[string]string) {
		ref := host + "/plant/temperature"
		pinned := ref + "@" + programs.Run(t, graphctl, "resolve", "http://"+ref+":1.0.0")
		for name, args := range map[string][]string{
			"ecdsa": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
			"rsa":   {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"},
		} {
			for _, format := range []string{"simplesigning", "bundle"} {
				private, public := pair(name+"-"+format, args...)
				refused(t, "cosign", verify(public, pinned)...)
				programs.Run(t, graphctl, "sign", "http://"+ref+":1.0.0", "--key", private, "--format", format)
				programs.Run(t, "cosign", verify(public, pinned, fmt.Sprintf("--new-bundle-format=%t", format == "bundle"))...)
			}
		}
		for _, format := range []string{"simplesigning", "bundle"} {
			prefix := filepath.Join(keys, "cosign-"+format)
			if _, err := os.Stat(prefix + ".key"); err != nil {
				programs.Run(t, "cosign", "generate-key-pair", "--output-key-prefix", prefix)
			}
			refused(t, graphctl, "verify", "http://"+ref+":1.0.0", "--key", prefix+".pub")
			programs.Run(t, "cosign", "sign", "--key", prefix+".key", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "--yes",
				fmt.Sprintf("--new-bundle-format=%t", format == "bundle"), pinned)
			out := programs.Run(t, graphctl, "verify", "http://"+ref+":1.0.0", "--key", prefix+".pub", "-o", "json")
			if !strings.Contains(out, fmt.Sprintf("%q: %q", "format", format)) {
				t.Errorf("%s was not taken for a %s:\n%s", prefix, format, out)
			}
			// And ours with a key of theirs.
			programs.Run(t, graphctl, "sign", "http://"+host+"/plant/graph-simple:1.0.0", "--key", prefix+".key", "--format", format)
			graph := host + "/plant/graph-simple@" + programs.Run(t, graphctl, "resolve", "http://"+host+"/plant/graph-simple:1.0.0")
			programs.Run(t, "cosign", verify(prefix+".pub", graph, fmt.Sprintf("--new-bundle-format=%t", format == "bundle"))...)
		}
	})
}
