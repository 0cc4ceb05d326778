// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/api"
	"github.com/wasm-graph/graphd/cmd/internal/wanted"
	"github.com/wasm-graph/graphd/cmd/internal/wiring"
	"github.com/wasm-graph/graphd/engine/resource"
)

// runFlags are the flags of graphd run.
type runFlags struct {
	files     []string
	addr      string
	tlsCert   string
	tlsKey    string
	tokenFile string
	dataDir   string
	log       logFlags
}

func newRunCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [-f FILE|DIR]",
		Short: "Run the graphs that resources describe",
		Long: `Run reads resources from YAML files, or all of a folder, and runs the graphs among
them until it gets SIGTERM or SIGINT; then it finishes what it has taken and
exits 0, and a second one ends it at once. It reads the files again when they have
changed, and at once on SIGHUP: only what has changed is replaced. Files with faults
change nothing; /status, and graphctl get, say what is wrong with them.

It also runs what graphctl apply gives it, beside the files or without any, and keeps
that in the data folder: it is there again after a restart. Objects in files are
changed in the files, and applied ones by graphctl.

A tag that is moved is noticed, too (graphd.io/follow-interval, 60s by default). What a
graph does is swapped without a reconnect, and without losing or repeating a message;
what can't take its place is refused, and what was before goes on.

ADDR serves /healthz and /readyz for anybody, and /status, /metrics and what graphctl
talks to for who may: everybody on this machine but pages in its browser. With
--token-file it is who shows the token ("Authorization: Bearer TOKEN"). An ADDR
that other machines reach needs the token, and TLS. The token and the certificate
are read again when their files change.`,
		Example: "  graphd run -f samples/temperature/resources\n" +
			"  graphd run                                      # and graphctl apply -f FILE\n" +
			"  graphd run --addr :9600 --tls-cert cert.pem --tls-key key.pem --token-file token",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := f.log.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), logger)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&f.files, "file", "f", nil, "file or folder of resources; may be given several times")
	flags.StringVar(&f.addr, "addr", api.DefaultAddress, "where to serve health, metrics and graphctl; port 0 takes a free one")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "`FILE` with the certificate to serve TLS with, and those between it and its authority, PEM")
	flags.StringVar(&f.tlsKey, "tls-key", "", "`FILE` with the certificate's key, PEM")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token that clients have to show")
	flags.StringVar(&f.dataDir, "data-dir", "graphd-data", "folder for what has to outlive the process; one graphd at a time uses it")
	f.log.add(cmd, "info")
	return cmd
}

// access returns who may ask, and how they are spoken to; nil is without TLS.
func (f *runFlags) access() (*api.Guard, *tls.Config, error) {
	guard := &api.Guard{}
	var secure *tls.Config
	switch {
	case (f.tlsCert == "") != (f.tlsKey == ""):
		return nil, nil, errors.New("--tls-cert and --tls-key go together")
	case !api.Loopback(f.addr) && (f.tlsCert == "" || f.tokenFile == ""):
		return nil, nil, fmt.Errorf("--addr %s is reached from other machines: give --tls-cert, --tls-key and --token-file, or listen on 127.0.0.1", f.addr)
	}
	if f.tokenFile != "" {
		var err error
		if guard.Token, err = api.OpenToken(f.tokenFile); err != nil {
			return nil, nil, err
		}
	}
	if f.tlsCert != "" {
		certificate, err := api.OpenCertificate(f.tlsCert, f.tlsKey)
		if err != nil {
			return nil, nil, err
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.Get}
	}
	return guard, secure, nil
}

// open reads what is wanted.
func (f *runFlags) open(logger *slog.Logger) (*wanted.Store, error) {
	objects, warnings, err := wanted.Open(wanted.Config{Paths: f.files, File: filepath.Join(f.dataDir, "applied.yaml")})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		logger.Warn(w.Error())
	}
	if len(objects.Set().Graphs) == 0 {
		if len(f.files) > 0 {
			return nil, fmt.Errorf("there is no DataflowGraph in %v; leave -f out to wait for graphctl apply", f.files)
		}
		logger.Info("there is nothing to run yet; graphctl apply -f FILE gives it something")
	}
	return objects, nil
}

// openLocked reads what is wanted, and has the data folder to itself until unlock is called.
// Who can't start makes no folder: one that isn't there has nothing to be read, and is locked
// afterwards.
func (f *runFlags) openLocked(logger *slog.Logger) (objects *wanted.Store, unlock func() error, err error) {
	_, err = os.Stat(f.dataDir)
	isNew := errors.Is(err, os.ErrNotExist)
	if !isNew {
		if unlock, err = wiring.LockData(f.dataDir); err != nil {
			return nil, nil, err
		}
	}
	if objects, err = f.open(logger); err == nil && isNew {
		unlock, err = wiring.LockData(f.dataDir)
	}
	if err != nil && unlock != nil {
		err = errors.Join(err, unlock())
	}
	return objects, unlock, err
}

func (f *runFlags) run(ctx context.Context, logger *slog.Logger) (err error) {
	guard, secure, err := f.access()
	if err != nil {
		return err
	}
	files := newWatch(f.files)
	objects, unlock, err := f.openLocked(logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	id, err := wiring.Node(f.dataDir)
	if err != nil {
		return err
	}
	// What is running is stopped in order, so it must outlive ctx.
	whole := context.WithoutCancel(ctx)
	n, err := newNode(whole, id, logger, wiring.CompiledDir(f.dataDir), wiring.NewRegistries(wiring.ArtifactDir(f.dataDir), logger).Artifacts, wiring.Windows(f.dataDir), wiring.NewCounts(f.dataDir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close(whole)) }()
	server := api.NewServer(api.ServerConfig{Wanted: objects, Runtime: n.deployment, History: n.history, Logger: n.logger})
	stop, err := serve(f.addr, secure, n.handler(guard, objects, server), logger)
	if err != nil {
		return err
	}
	defer stop()

	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	sets := make(chan *resource.Set, 1)
	sets <- objects.Set()
	var deployment sync.WaitGroup
	deployment.Go(func() { n.deployment.Run(ctx, sets) })
	defer deployment.Wait()
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	starting := true
	for {
		select {
		case <-ctx.Done():
			logger.Info("stopping")
			return nil
		case <-objects.Changed():
			starting = true
			set := objects.Set()
			n.history.Retain(func(graph resource.Key) bool { return set.Graphs[graph] != nil })
			select {
			case sets <- set:
			case <-ctx.Done():
			}
			continue
		case <-looks.C:
			if starting && n.deployment.Ready() == nil {
				starting = false
				// Reading resources and compiling components takes memory that running them
				// does not, and the runtime would keep for minutes.
				debug.FreeOSMemory()
			}
			if !files.changed() {
				continue
			}
		case <-reload:
			files.take()
		}
		warnings, err := objects.Reload()
		if err != nil {
			logger.Error("resources not taken over; what runs goes on", "error", err)
			continue
		}
		for _, w := range warnings {
			logger.Warn(w.Error())
		}
		logger.Info("resources read again")
	}
}

// farewell bounds how long clients that are being answered keep graphd from ending.
const farewell = 2 * time.Second

// serve serves HTTP on addr until the returned function is called; with secure set, HTTPS.
func serve(addr string, secure *tls.Config, handler http.Handler, logger *slog.Logger) (stop func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve health and metrics: %w; choose another address with --addr", err)
	}
	scheme := "http://"
	if secure != nil {
		scheme, secure = "https://", secure.Clone()
		secure.NextProtos = []string{"http/1.1"}
		listener = tls.NewListener(listener, secure)
	}
	// What streams to a client ends when the server does.
	streams, end := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return streams },
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("health and metrics are not served any more", "error", err)
		}
	})
	logger.Info("serving health and metrics", "address", scheme+listener.Addr().String())
	return func() {
		end()
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
