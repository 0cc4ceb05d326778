// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/cmd/internal/registry"
)

func newRegistry() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Keep artifacts on this machine",
		Example: "  graphctl registry serve --dir artifacts\n" +
			"  graphctl copy oci-layout:build/layout http://127.0.0.1:5000/",
		Args: noVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRegistryServe())
	return cmd
}

// serveFlags are the flags of graphctl registry serve.
type serveFlags struct {
	dir, addr         string
	certFile, keyFile string
	htpasswd          string
}

func newRegistryServe() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a registry over a folder",
		Long: `Serve runs an OCI registry that keeps its artifacts in a folder, until it gets SIGTERM
or SIGINT. Anything that speaks to registries can push to it and pull from it: graphctl,
graphd, oras, docker.

It listens on this machine only, unless --addr says otherwise. Then it should have
--tls-cert and --tls-key, and --htpasswd with the users that it lets in.`,
		Example: "  graphctl registry serve --dir artifacts\n" +
			"  graphctl push build/temperature.wasm http://127.0.0.1:5000/temperature:1.0.0",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "graphctl-registry", "`DIR` to keep artifacts in")
	flags.StringVar(&f.addr, "addr", "127.0.0.1:5000", "`HOST:PORT` to listen on; port 0 takes a free one")
	flags.StringVar(&f.certFile, "tls-cert", "", "PEM `FILE` with the certificate, and those that vouch for it")
	flags.StringVar(&f.keyFile, "tls-key", "", "PEM `FILE` with the certificate's key")
	flags.StringVar(&f.htpasswd, "htpasswd", "", "`FILE` with the users, as htpasswd -B writes it")
	return cmd
}

func (f *serveFlags) serve(cmd *cobra.Command) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if (f.certFile == "") != (f.keyFile == "") {
		return &usageError{"--tls-cert and --tls-key go together"}
	}
	var config *tls.Config
	scheme := "http"
	if f.certFile != "" {
		pair, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
		if err != nil {
			return err
		}
		config, scheme = &tls.Config{Certificates: []tls.Certificate{pair}}, "https"
	}
	var users registry.Users
	if f.htpasswd != "" {
		var err error
		if users, err = registry.ReadUsers(f.htpasswd); err != nil {
			return err
		}
	}
	handler, err := registry.New(ctx, f.dir)
	if err != nil {
		return err
	}
	if users != nil {
		handler = users.Protect(handler)
	}
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --addr", err)
	}
	addr := listener.Addr().(*net.TCPAddr)
	if !addr.IP.IsLoopback() && (config == nil || users == nil) {
		fmt.Fprintln(stderr, "graphctl: warning: whoever reaches this address can read, change and delete the artifacts, unless --tls-cert, --tls-key and --htpasswd are given")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "serving %s on %s://%s\n", f.dir, scheme, addr)
	return serveUntilDone(ctx, listener, &http.Server{Handler: handler, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second})
}

// grace is how long requests may go on after the registry was told to stop.
const grace = 10 * time.Second

// serveUntilDone serves until ctx is cancelled, and lets requests in progress end.
func serveUntilDone(ctx context.Context, listener net.Listener, server *http.Server) error {
	if server.TLSConfig != nil {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended
	return err
}
