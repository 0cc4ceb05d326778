// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/window"
)

// node is everything that graphs on this machine share.
type node struct {
	telemetry  *telemetry
	history    *history.History
	logger     *slog.Logger // that history remembers
	compiler   *wiring.Compiler
	deployment *deploy.Deployment
}

// newNode puts a node together; id is the origin of the time stamps it makes, compiled
// the folder for compiled code, artifacts opens registries, and windows opens window
// stores: nil keeps windows in memory. counts keeps numbers of instances; nil: nothing.
func newNode(ctx context.Context, id string, logger *slog.Logger, compiled string,
	artifacts func(*resource.Set, *resource.RegistryEndpoint) (deploy.Artifacts, error),
	windows func(resource.Key) (window.Store, error),
	counts deploy.Counts,
) (_ *node, err error) {
	n := &node{history: history.New(time.Now)}
	n.logger = slog.New(n.history.Handler(logger.Handler()))
	logger = n.logger
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close(ctx))
		}
	}()
	if n.telemetry, err = newTelemetry(); err != nil {
		return nil, err
	}
	if n.compiler, err = wiring.NewCompiler(ctx, compiled, logger); err != nil {
		return nil, err
	}
	drivers := wiring.NewDrivers(id)
	models, err := wiring.NewNN()
	if err != nil {
		return nil, err
	}
	clock := wiring.NewClock(id)
	launcher, err := deploy.NewLauncher(deploy.LauncherConfig{
		Artifacts: artifacts,
		Windows:   windows,
		Drivers:   drivers,
		Compiler:  n.compiler,
		Environment: processor.Environment{
			Logger: logger,
			Meter:  n.telemetry.meter,
			State:  wiring.NewState(clock),
			NN:     models,
		},
		HLC:    clock,
		Meter:  n.telemetry.meter,
		Logger: logger,
		Events: n.history.Tell,
	})
	if err != nil {
		return nil, err
	}
	n.deployment = deploy.New(deploy.Config{Launch: launcher.Launch, Counts: counts, Logger: logger, Events: n.history.Tell})
	if err := n.deployment.Observe(n.telemetry.meter); err != nil {
		return nil, err
	}
	return n, nil
}

// close frees the node; nothing runs on it any more.
func (n *node) close(ctx context.Context) error {
	var errs []error
	if n.compiler != nil {
		errs = append(errs, n.compiler.Close(ctx))
	}
	if n.telemetry != nil {
		errs = append(errs, n.telemetry.provider.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
