// SPDX-License-Identifier: Apache-2.0

// Package build makes components of operators written in Go. It needs the Go
// toolchain and nothing else: "go build" compiles a main package to a core module
// for WASI preview 1, and package encode wraps that into a component of the world
// wasm-graph:processor@1.1.0.
//
// A component exports the interfaces of the operators that the main package handles,
// which are those of the SDK's packages that it imports; see operators/sdk. It
// imports what it uses and no more. Equal sources and an equal toolchain make equal
// components, byte for byte, whatever the machine and the folder.
package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/processor"
	witfiles "github.com/wasm-graph/graphd/wit"
)

// ErrNoToolchain says that there is no go command to be found.
var ErrNoToolchain = errors.New("no Go toolchain found: the go command is not in PATH (https://go.dev/dl has it)")

// ErrNoOperator says that a main package compiles, but handles no operator.
var ErrNoOperator = errors.New("it exports no operator: import one of the packages mapper, filter, branch, delay and accumulate of the SDK, and call its Handle")

// CompileError is what the Go toolchain said when it could not compile an operator.
type CompileError struct {
	Dir    string // the operator's folder
	Output string // of the go command, as it is
}

func (e *CompileError) Error() string {
	return "build: compile " + e.Dir + ":\n" + strings.TrimRight(e.Output, "\n")
}

// Component is a built component.
type Component struct {
	Name  string // of the operator: the last element of its folder's path
	Bytes []byte
	Kinds []operator.Kind // the kinds of operators it exports, in alphabetical order
	Type  *types.Component
}

// Operator builds the operator in dir, a folder with a main package in Go. The go
// command runs with the environment of this process, apart from what the target
// demands; ctx ends it. Nothing is written outside of Go's build cache and a temporary
// folder.
//
// Errors are ErrNoToolchain, a *CompileError, ErrNoOperator, or say what keeps the
// compiled package from being a component of the world, such as an import that no host
// offers.
func Operator(ctx context.Context, dir string) (*Component, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("build: %s is a file; name the folder of the operator's main package", dir)
	}
	module, err := compile(ctx, dir)
	if err != nil {
		return nil, err
	}
	c, err := wrap(module)
	if err != nil {
		return nil, fmt.Errorf("build: %s: %w", dir, err)
	}
	c.Name = filepath.Base(dir)
	return c, nil
}

// compile compiles the main package in dir to a core module.
func compile(ctx context.Context, dir string) ([]byte, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("build: %w", ErrNoToolchain)
	}
	temp, err := os.MkdirTemp("", "graphctl-build-")
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	defer os.RemoveAll(temp)
	out := filepath.Join(temp, "module.wasm")

	// c-shared is what Go calls a library that is initialised and then called.
	// Without symbols and paths of this machine a module is smaller, and the same
	// everywhere; panics still name their functions and lines.
	cmd := exec.CommandContext(ctx, tool, "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PWD="+dir, "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("build: compile %s: %w", dir, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, &CompileError{Dir: dir, Output: string(output)}
	} else if err != nil {
		return nil, fmt.Errorf("build: run %s: %w", tool, err)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return module, nil
}

// wrap makes a component of a core module.
func wrap(module []byte) (*Component, error) {
	world, err := World()
	if err != nil {
		return nil, err
	}
	out, err := encode.Component(module, world, encode.Options{Subset: true})
	if errors.Is(err, encode.ErrNoExport) {
		return nil, ErrNoOperator
	} else if err != nil {
		return nil, err
	}
	tree, err := binary.Decode(out)
	if err != nil {
		return nil, err
	}
	plan, err := link.Link(tree, rewrite.Limits{})
	if err != nil {
		return nil, err
	}
	kinds, err := processor.Kinds(plan.Type)
	if err != nil {
		return nil, err
	}
	return &Component{Bytes: out, Kinds: kinds, Type: plan.Type}, nil
}

// World returns the world that operators are built for: any of the exports of the
// processor package's worlds, and all that any host of it offers, wasi:nn included.
func World() (*types.Component, error) {
	processors, err := wit.Parse(witfiles.Processor())
	if err != nil {
		return nil, err
	}
	networks, err := wit.Parse(witfiles.NN())
	if err != nil {
		return nil, err
	}
	var worlds []*types.Component
	for _, name := range []string{"map-impl", "filter-impl", "branch-impl", "delay-impl", "accumulate-impl", "host"} {
		w, err := processors.World(name)
		if err != nil {
			return nil, err
		}
		worlds = append(worlds, w)
	}
	ml, err := networks.World("ml")
	if err != nil {
		return nil, err
	}
	return encode.Union(append(worlds, ml)...), nil
}
