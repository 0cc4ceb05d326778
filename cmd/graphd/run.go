// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
)

// runFlags are the flags of graphd run.
type runFlags struct {
	files   []string
	addr    string
	dataDir string
	log     logFlags
}

func newRunCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run -f FILE|DIR",
		Short: "Run the graphs that resources describe",
		Long: `Run reads resources from YAML files, or all of a folder, and runs the graphs among
them until it gets SIGTERM or SIGINT; then it finishes what it has taken and
exits 0, and a second one ends it at once. It reads the files again when they have
changed, and at once on SIGHUP: only what has changed is replaced. Files with faults
change nothing; /status says what is wrong with them.

A tag that is moved is noticed, too (graphd.io/follow-interval, 60s by default). What a
graph does is swapped without a reconnect, and without losing or repeating a message;
what can't take its place is refused, and what was before goes on.

http://ADDR serves /healthz, /readyz, /status and /metrics; and to clients on this
machine /tap, which graphctl record --graphd reads.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := f.log.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), logger)
		},
	}
	cmd.Flags().StringSliceVarP(&f.files, "file", "f", nil, "file or folder of resources; may be given several times")
	cmd.Flags().StringVar(&f.addr, "addr", "127.0.0.1:9600", "where to serve health and metrics; port 0 takes a free one")
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "graphd-data", "folder for what has to outlive the process")
	f.log.add(cmd, "info")
	if err := cmd.MarkFlagRequired("file"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// load reads and checks the resources.
func (f *runFlags) load(logger *slog.Logger) (*resource.Set, error) {
	set, problems, err := resource.Load(f.files...)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(problems.Err(), deploy.CheckOptions(set).Err()); err != nil {
		return nil, fmt.Errorf("the resources have faults:\n%w", err)
	}
	for _, w := range problems.Warnings() {
		logger.Warn(w.Error())
	}
	if len(set.Graphs) == 0 {
		return nil, fmt.Errorf("there is no DataflowGraph in %v", f.files)
	}
	return set, nil
}

func (f *runFlags) run(ctx context.Context, logger *slog.Logger) (err error) {
	files := newWatch(f.files)
	set, err := f.load(logger)
	if err != nil {
		return err
	}
	id, err := wiring.Node(f.dataDir)
	if err != nil {
		return err
	}
	// What is running is stopped in order, so it must outlive ctx.
	whole := context.WithoutCancel(ctx)
	n, err := newNode(whole, id, logger, wiring.CompiledDir(f.dataDir), wiring.NewRegistries(wiring.ArtifactDir(f.dataDir), logger).Artifacts, wiring.Windows(f.dataDir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close(whole)) }()
	var refused atomic.Pointer[string]
	stop, err := serve(f.addr, n.telemetry.handler(n.deployment, &refused, logger), logger)
	if err != nil {
		return err
	}
	defer stop()

	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	wanted := make(chan *resource.Set, 1)
	wanted <- set
	var deployment sync.WaitGroup
	deployment.Go(func() { n.deployment.Run(ctx, wanted) })
	defer deployment.Wait()
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			logger.Info("stopping")
			return nil
		case <-looks.C:
			if !files.changed() {
				continue
			}
		case <-reload:
			files.take()
		}
		set, err := f.load(logger)
		if err != nil {
			logger.Error("resources not taken over; what runs goes on", "error", err)
			text := err.Error()
			refused.Store(&text)
			continue
		}
		refused.Store(nil)
		select {
		case wanted <- set:
			logger.Info("resources read again")
		case <-ctx.Done():
		}
	}
}

// farewell bounds how long clients that are being answered keep graphd from ending.
const farewell = 2 * time.Second

// serve serves HTTP on addr until the returned function is called.
func serve(addr string, handler http.Handler, logger *slog.Logger) (stop func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve health and metrics: %w; choose another address with --addr", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("health and metrics are not served any more", "error", err)
		}
	})
	logger.Info("serving health and metrics", "address", "http://"+listener.Addr().String())
	return func() {
		// A tap of a graph that has ended still has its end to write.
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			logger.Warn("clients of the server were cut off", "error", err)
			if err := server.Close(); err != nil {
				logger.Error("server did not close cleanly", "error", err)
			}
		}
		serving.Wait()
	}, nil
}
