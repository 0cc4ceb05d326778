// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"graphctl": main})
}

// TestScripts runs testdata/script/*.txtar, each a scenario with files of its own.
// Beside what testscript offers, they have $REPO, the root of this repository; $BIN,
// the folder with graphctl and nothing else; and a go command that knows its caches and
// never asks a network. Run them with
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
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, goEnv...)
			env.Setenv("REPO", repo)
			env.Setenv("BIN", filepath.Dir(graphctl))
			return nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
	})
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
