// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/oras"
)

// referenceHelp is how artifacts are named, for the help of all verbs that take one.
const referenceHelp = `An artifact is named by one of

  HOST[:PORT]/NAME:TAG           in a registry; http:// may stand before it
  oci-layout:DIR:NAME:TAG        in a local OCI image layout
  oci-archive:FILE.tar:NAME:TAG  in such a layout in a tar file

with @DIGEST behind or in place of :TAG for one that can't be moved.`

// remoteFlags say how registries are reached.
type remoteFlags struct {
	plainHTTP, insecure bool
	caFile              string
}

func (f *remoteFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.plainHTTP, "plain-http", false, "talk HTTP to the registry, not HTTPS")
	cmd.Flags().StringVar(&f.caFile, "ca-file", "", "PEM `FILE` with the authorities to trust in place of the system's")
	cmd.Flags().BoolVar(&f.insecure, "insecure", false, "trust any certificate: whoever is on the way can read and change everything")
}

// options returns the same for package oras, with the user's credentials.
func (f *remoteFlags) options() (oras.Options, error) {
	opts := oras.Options{PlainHTTP: f.plainHTTP, Credentials: oras.DockerCredentials()}
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
		if err != nil {
			return opts, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return opts, fmt.Errorf("%s has no certificate in PEM form", f.caFile)
		}
		opts.TLS = &tls.Config{RootCAs: pool}
	}
	if f.insecure {
		opts.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	return opts, nil
}

// locate reads the argument that names an artifact.
func locate(arg string) (oras.Location, error) {
	l, err := oras.Locate(arg)
	if err != nil {
		return l, &usageError{err.Error()}
	}
	return l, nil
}

// locateArtifact is locate where the whole of a layout won't do.
func locateArtifact(arg string) (oras.Location, error) {
	l, err := locate(arg)
	if err == nil && l.Reference == "" {
		err = &usageError{fmt.Sprintf("%s names no artifact; write %s:NAME:TAG", arg, arg)}
	}
	return l, err
}

// open opens the store at l. The caller stops the bar before it prints results.
func (f *remoteFlags) open(cmd *cobra.Command, l oras.Location) (store *oras.Store, stopBar func(), err error) {
	opts, err := f.options()
	if err != nil {
		return nil, nil, err
	}
	opts.Progress = &oras.Progress{}
	if store, err = oras.OpenStore(l.Endpoint, opts); err != nil {
		return nil, nil, err
	}
	return store, showTransfer(cmd.ErrOrStderr(), opts.Progress), nil
}

// answer does something with the artifact that arg names and prints what came of it, as
// out says.
func (f *remoteFlags) answer(cmd *cobra.Command, out *outputFlag, arg string,
	do func(*oras.Store, oras.Location) (text string, value any, err error)) error {
	if err := out.check(); err != nil {
		return err
	}
	l, err := locateArtifact(arg)
	if err != nil {
		return err
	}
	store, stopBar, err := f.open(cmd, l)
	if err != nil {
		return err
	}
	text, value, err := do(store, l)
	stopBar()
	if err != nil {
		return err
	}
	return out.print(cmd.OutOrStdout(), text, value)
}

// showTransfer draws a bar while bytes are transferred, if w is a terminal. The
// function it returns takes the bar away.
func showTransfer(w io.Writer, progress *oras.Progress) (stop func()) {
	return showBar(w, func() (share float64, text string) {
		done, total := progress.Bytes()
		if total == 0 {
			return 0, ""
		}
		return min(1, float64(done)/float64(total)), fmt.Sprintf("%s of %s", byteSize(int(done)), byteSize(int(total)))
	})
}

// showBar draws a bar while something goes on, if w is a terminal; state says how
// much of it is done. The function it returns takes the bar away; it may be called
// again.
func showBar(w io.Writer, state func() (share float64, text string)) (stop func()) {
	terminal, ok := w.(*os.File)
	if !ok {
		return func() {}
	}
	if info, err := terminal.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	const width = 30
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				fmt.Fprint(terminal, "\r\x1b[K")
				return
			case <-ticker.C:
				share, text := state()
				filled := min(width, int(share*width))
				fmt.Fprintf(terminal, "\r\x1b[K[%s%s] %3.0f%% %s", strings.Repeat("=", filled), strings.Repeat(" ", width-filled), 100*share, text)
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-gone
	})
}

// outputFlag is -o of verbs that print text or JSON.
type outputFlag struct{ format string }

func (o *outputFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "text", "`FORMAT` of the result: text or json")
}

func (o *outputFlag) check() error {
	if o.format != "text" && o.format != "json" {
		return &usageError{fmt.Sprintf("invalid argument %q for --output; want text or json", o.format)}
	}
	return nil
}

// print prints text, or value as JSON.
func (o *outputFlag) print(w io.Writer, text string, value any) error {
	if o.format == "json" {
		return printJSON(w, value)
	}
	_, err := io.WriteString(w, text)
	return err
}

// printLine prints text, which ends its line, or value as JSON in a line.
func (o *outputFlag) printLine(w io.Writer, text string, value any) error {
	if o.format == "json" {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(value)
	}
	_, err := io.WriteString(w, text)
	return err
}

func printJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}
