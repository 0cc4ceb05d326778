// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wasm-graph/graphd/cmd/internal/history"
	"github.com/wasm-graph/graphd/engine/recording"
)

// DefaultAddress is where graphd listens if nothing else is said.
const DefaultAddress = "127.0.0.1:9600"

// ClientConfig says whom a Client asks.
type ClientConfig struct {
	// Server is HOST:PORT, or a URL without a path. Without a scheme, this machine is asked over
	// HTTP and others over HTTPS. Default DefaultAddress.
	Server string
	// TokenFile has the token that is shown. Empty: none is.
	TokenFile string
	// CA is a file with the certificates of the authorities to trust, PEM. Empty: those of
	// the system.
	CA string
}

// Client asks graphd. It is safe for concurrent use. An error of its methods is a *Fault where
// graphd has answered.
type Client struct {
	server string // without a slash at the end
	token  string
	http   *http.Client
}

// NewClient returns a Client. It doesn't connect yet.
func NewClient(config ClientConfig) (*Client, error) {
	server := config.Server
	if server == "" {
		server = DefaultAddress
	}
	if !strings.Contains(server, "://") {
		scheme := "https://"
		if Loopback(server) && config.CA == "" {
			scheme = "http://"
		}
		server = scheme + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("graphd can't be at %q; write HOST:PORT, or https://HOST:PORT", config.Server)
	}
	c := &Client{server: u.Scheme + "://" + u.Host}
	if config.TokenFile != "" {
		token, err := OpenToken(config.TokenFile)
		if err != nil {
			return nil, err
		}
		if c.token, err = token.Read(); err != nil {
			return nil, err
		}
		if u.Scheme == "http" && !Loopback(net.JoinHostPort(u.Hostname(), "0")) {
			return nil, fmt.Errorf("the token would go to %s for everybody to see; write https://%s", c.server, u.Host)
		}
	}
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ResponseHeaderTimeout: time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if config.CA != "" {
		pem, err := os.ReadFile(config.CA)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", config.CA)
		}
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("graphd doesn't redirect; is something else there?")
	}}
	return c, nil
}

// Server returns the URL of graphd.
func (c *Client) Server() string { return c.server }

// Close closes the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends a request, and returns the body of the answer, which the caller closes.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	address := c.server + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("ask graphd at %s: %w; \"graphd run\" starts one, and --graphd says where another is", c.server, err)
		}
		return nil, fmt.Errorf("ask graphd at %s: %w", c.server, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("ask graphd at %s: %w", c.server, err)
	}
	f := &Fault{}
	if json.Unmarshal(text, f) != nil || f.Kind != "Status" || f.Message == "" {
		return nil, fmt.Errorf("graphd at %s answers %s: %s", c.server, response.Status, strings.TrimSpace(string(text)))
	}
	return nil, f
}

// call sends a request, and reads the answer into answer.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	content, err := c.do(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := json.NewDecoder(content).Decode(answer); err != nil {
		return fmt.Errorf("ask graphd at %s: read the answer: %w", c.server, err)
	}
	return nil
}

// List returns the objects of a kind in a namespace; without one, in all.
func (c *Client) List(ctx context.Context, k Kind, namespace string) (*List, error) {
	var list List
	return &list, c.call(ctx, http.MethodGet, k.path(namespace, ""), nil, &list)
}

// Get returns an object.
func (c *Client) Get(ctx context.Context, k Kind, namespace, name string) (*Object, error) {
	var o Object
	return &o, c.call(ctx, http.MethodGet, k.path(namespace, url.PathEscape(name)), nil, &o)
}

// Watch tells f the changes of the objects of a kind, those there are first, until ctx ends,
// f returns an error, or graphd is gone.
func (c *Client) Watch(ctx context.Context, k Kind, namespace string, f func(Change) error) error {
	body, err := c.do(ctx, http.MethodGet, k.path(namespace, ""), url.Values{"watch": {"true"}}, nil)
	if err != nil {
		return err
	}
	return each(c, body, f)
}

// each reads values, one after another, until there are no more.
func each[T any](c *Client, body io.ReadCloser, f func(T) error) error {
	defer body.Close()
	for d := json.NewDecoder(body); ; {
		var v T
		switch err := d.Decode(&v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("graphd at %s breaks off: %w", c.server, err)
		}
		if err := f(v); err != nil {
			return err
		}
	}
}

// Apply has objects be there.
func (c *Client) Apply(ctx context.Context, request ApplyRequest) (*Outcome, error) {
	var o Outcome
	return &o, c.call(ctx, http.MethodPost, groupRoot+"/apply", request, &o)
}

// Delete has objects be gone.
func (c *Client) Delete(ctx context.Context, request DeleteRequest) (*Outcome, error) {
	var o Outcome
	return &o, c.call(ctx, http.MethodPost, groupRoot+"/delete", request, &o)
}

// Events returns what happened to a graph lately.
func (c *Client) Events(ctx context.Context, k Kind, namespace, name string) ([]history.Event, error) {
	var events Events
	err := c.call(ctx, http.MethodGet, k.path(namespace, url.PathEscape(name))+"/events", nil, &events)
	return events.Items, err
}

// LogOptions say which lines are wanted.
type LogOptions struct {
	Follow    bool
	Tail      int       // the last so many; below 0: all there are
	Since     time.Time // and later; zero: all
	Operation string    // what it has logged; empty: everything
}

// Log tells f what was logged about a graph. If it follows, it goes on until ctx ends, f returns
// an error, or graphd is gone.
func (c *Client) Log(ctx context.Context, k Kind, namespace, name string, options LogOptions, f func(history.Line) error) error {
	query := url.Values{}
	if options.Follow {
		query.Set("follow", "true")
	}
	if options.Tail >= 0 {
		query.Set("tail", strconv.Itoa(options.Tail))
	}
	if !options.Since.IsZero() {
		query.Set("since", options.Since.Format(time.RFC3339))
	}
	if options.Operation != "" {
		query.Set("operation", options.Operation)
	}
	body, err := c.do(ctx, http.MethodGet, k.path(namespace, url.PathEscape(name))+"/log", query, nil)
	if err != nil {
		return err
	}
	return each(c, body, f)
}

// Tap opens a tap of a node of an instance of a graph; without a node, of its sources. It is
// read until the caller closes it or ctx ends.
func (c *Client) Tap(ctx context.Context, k Kind, namespace, name string, instance int, node string) (*recording.Player, error) {
	query := url.Values{"instance": {strconv.Itoa(instance)}}
	if node != "" {
		query.Set("node", node)
	}
	body, err := c.do(ctx, http.MethodGet, k.path(namespace, url.PathEscape(name))+"/tap", query, nil)
	if err != nil {
		return nil, err
	}
	p, err := recording.NewPlayer(c.server, body)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return p, nil
}

// FindGraph returns the kind of the graph of that name: a DataflowGraph or a Dataflow.
func (c *Client) FindGraph(ctx context.Context, namespace, name string) (Kind, error) {
	var missing error
	for _, k := range Kinds() {
		if !k.runs() {
			continue
		}
		_, err := c.Get(ctx, k, namespace, name)
		var f *Fault
		if errors.As(err, &f) && f.Code == http.StatusNotFound {
			if missing == nil {
				missing = err
			}
			continue
		}
		return k, err
	}
	return Kind{}, missing
}
