// SPDX-License-Identifier: Apache-2.0

// Package wiring is the table where the parts meet: which engine runs core modules,
// which driver serves which type of endpoint, where artifacts come from. Both
// programs use it, and nothing else chooses an implementation.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"github.com/wasm-graph/graphd/engine/component"
	codecache "github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/state"
	"github.com/wasm-graph/graphd/engine/state/memory"
	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/disk"
)

// Compiler compiles components, with the engine that runs their core modules. It
// is safe for concurrent use.
type Compiler struct {
	engine  *wazero.Engine
	runtime *component.Runtime
}

// NewCompiler returns a Compiler that keeps compiled code in the folder dir; empty means
// that it keeps none. So does, with a warning, a folder that can't be used.
func NewCompiler(ctx context.Context, dir string, logger *slog.Logger) (*Compiler, error) {
	var code *codecache.Cache
	if dir != "" {
		var err error
		if code, err = codecache.Open(dir, codecache.Config{Logger: logger}); err != nil {
			logger.Warn("compiled code is not kept on this machine", "error", err)
		}
	}
	engine, err := wazero.New(ctx, wazero.Config{Cache: code})
	if err != nil {
		return nil, fmt.Errorf("wiring: start engine: %w", err)
	}
	runtime, err := component.New(component.Config{Engine: engine, Cache: code})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wiring: start engine: %w", err), engine.Close(ctx))
	}
	return &Compiler{engine: engine, runtime: runtime}, nil
}

// CompiledDir returns the folder for compiled code: the user's, which all programs
// share, or one in the data folder where the machine has no such place. That is empty,
// meaning none, where there is no data folder either.
func CompiledDir(dataDir string) string { return cacheDir(dataDir, "compiled") }

// cacheDir returns the folder for one kind of what can be had again.
func cacheDir(dataDir, kind string) string {
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "graphd", kind)
	}
	if dataDir == "" {
		return ""
	}
	return filepath.Join(dataDir, kind)
}

// Load implements deploy.Compiler.
func (c *Compiler) Load(ctx context.Context, name string, wasm []byte) (*processor.Module, error) {
	return processor.Load(ctx, c.runtime, name, wasm)
}

// Close frees everything that was compiled; no operator runs any more.
func (c *Compiler) Close(ctx context.Context) error { return c.engine.Close(ctx) }

// NewClock returns the clock of a node in real time.
func NewClock(node string) *hlc.Clock {
	return hlc.NewClock(hlc.Config{Node: node, Now: time.Now})
}

// NewState returns the state store that operators see.
func NewState(clock *hlc.Clock) state.Store {
	return memory.New(memory.Config{Clock: clock, Now: time.Now})
}

// Windows returns what opens the window stores of graphs: a file for each in the data
// folder.
func Windows(dataDir string) func(resource.Key) (window.Store, error) {
	return func(key resource.Key) (window.Store, error) {
		return disk.Open(filepath.Join(dataDir, "windows", key.Namespace, key.Name+".db"))
	}
}

// LockData has the data folder to itself until the returned function is called, or the process
// ends. The folder is made if it isn't there. Two graphds with one folder would be one to
// brokers, who let only the latest of two clients with the same name be connected, and would
// undo what was applied to the other.
func LockData(dataDir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("wiring: make data folder: %w", err)
	}
	lock := flock.New(filepath.Join(dataDir, "lock"), flock.SetPermissions(0o600))
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("wiring: lock data folder: %w", err)
	case !locked:
		return nil, fmt.Errorf("another graphd runs with the data folder %s; give this one another --data-dir", dataDir)
	}
	return lock.Unlock, nil
}

// Node returns the id of this node, a UUID that is kept in the data folder: it
// names the origin of the time stamps made here. The folder is made if it isn't
// there.
func Node(dataDir string) (string, error) {
	file := filepath.Join(dataDir, "node-id")
	text, err := os.ReadFile(file)
	if err == nil {
		id, err := uuid.ParseBytes(text)
		if err != nil {
			return "", fmt.Errorf("wiring: read %s: %w; remove it for a new one", file, err)
		}
		return id.String(), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("wiring: read node id: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("wiring: make node id: %w", err)
	}
	if err := replace(file, []byte(id.String())); err != nil {
		return "", fmt.Errorf("wiring: keep node id: %w", err)
	}
	return id.String(), nil
}
