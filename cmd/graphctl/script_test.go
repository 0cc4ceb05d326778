// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/bcrypt"

	"github.com/wasm-graph/graphd/cmd/internal/registry"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"graphctl": main})
}

// TestScripts runs testdata/script/*.txtar, each a scenario with files of its own.
// Beside what testscript offers, they have $REPO, the root of this repository; $BIN,
// the folder with graphctl and nothing else; $REGISTRY, the host and port of a registry
// of their own that speaks plain HTTP, and $SECURED, the same over HTTPS with the
// authority in $CA, which lets the user "user" in with the password "password"; and a go
// command that knows its caches and never asks a network. Run them with
//
//	go test ./cmd/graphctl -run TestScripts/NAME
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	graphctl, err := exec.LookPath("graphctl") // put there by testscript.Main
	if err != nil {
		t.Fatal(err)
	}
	goEnv := goEnvironment(t)
	cache := t.TempDir() // of all scripts
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, goEnv...)
			env.Setenv("REPO", repo)
			env.Setenv("BIN", filepath.Dir(graphctl))
			env.Setenv("XDG_CACHE_HOME", cache)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, ".docker"))
			return startRegistries(env)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// startRegistries serves one registry on two addresses, for as long as a script runs.
func startRegistries(env *testscript.Env) error {
	ctx, cancel := context.WithCancel(context.Background())
	handler, err := registry.New(ctx, filepath.Join(env.WorkDir, ".registry"))
	if err != nil {
		cancel()
		return err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.MinCost)
	if err != nil {
		cancel()
		return err
	}
	open := httptest.NewServer(handler)
	secured := httptest.NewTLSServer(registry.Users{"user": hash}.Protect(handler))
	secured.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that don't trust it
	env.Defer(func() {
		open.Close()
		secured.Close()
		cancel()
	})
	ca := filepath.Join(env.WorkDir, ".ca.pem")
	env.Setenv("REGISTRY", strings.TrimPrefix(open.URL, "http://"))
	env.Setenv("SECURED", strings.TrimPrefix(secured.URL, "https://"))
	env.Setenv("CA", ca)
	return os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw}), 0o600)
}

// goEnvironment returns the variables of the go command: its caches, which it would
// look for in the home folder that scripts don't have.
func goEnvironment(t *testing.T) []string {
	t.Helper()
	vars := []string{"GOPROXY=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local"}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOROOT"} {
		out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		vars = append(vars, name+"="+strings.TrimSpace(string(out)))
	}
	return vars
}
