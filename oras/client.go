// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"
)

const (
	defaultBackoff = 250 * time.Millisecond
	// longestWait bounds a wait between two tries. A registry that asks for a longer
	// one, with Retry-After, isn't asked again: that is for the caller to do.
	longestWait = 30 * time.Second
	// dialTimeout is how long a connection may take. It isn't tried again: what has no
	// answer by then is down, and callers may have a copy.
	dialTimeout = 10 * time.Second
	// tries of one request.
	tries = 5
	// defaultStall is how long a transfer may stand still.
	defaultStall = time.Minute
	// answerTimeout is how long a registry may think about a question. One that hangs is
	// to be given up in time for a copy to be used.
	answerTimeout = 20 * time.Second
	// uploadTimeout is how long it may think about a blob of hundreds of megabytes.
	uploadTimeout = 3 * time.Minute
)

// newClient returns what sends requests to a registry: it has credentials, retries
// what is worth it, and takes the proxy from the environment.
func newClient(opts Options) *auth.Client {
	client := opts.Client
	if client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = opts.TLS
		transport.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
		transport.ResponseHeaderTimeout = uploadTimeout
		// Digests and sizes are those of the bytes on the wire; a registry has no
		// reason to compress them, and a hostile one every reason.
		transport.DisableCompression = true
		questions := transport.Clone()
		questions.ResponseHeaderTimeout = cmp.Or(opts.Stall, answerTimeout)
		policy := patience{first: cmp.Or(opts.Backoff, defaultBackoff)}
		client = &http.Client{Transport: &retry.Transport{
			Base:   byMethod{questions: questions, uploads: transport},
			Policy: func() retry.Policy { return policy },
		}}
	}
	c := &auth.Client{
		Client: client,
		Header: http.Header{"User-Agent": {"graphd"}},
		Cache:  auth.NewCache(),
	}
	if opts.Credentials != nil {
		c.Credential = opts.Credentials.forHost
	}
	return c
}

// byMethod sends what only asks one way and everything else another.
type byMethod struct{ questions, uploads http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (m byMethod) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return m.questions.RoundTrip(r)
	}
	return m.uploads.RoundTrip(r)
}

// patience says whether and when a request is tried again: after what passes by
// itself, at growing intervals, or when the registry asks for it.
type patience struct{ first time.Duration }

// Retry implements retry.Policy.
func (p patience) Retry(attempt int, resp *http.Response, err error) (time.Duration, error) {
	if attempt >= tries-1 {
		return -1, nil
	}
	if err != nil {
		if isBroken(err) {
			return p.wait(attempt), nil
		}
		return -1, nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if wait, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
			if wait > longestWait {
				return -1, nil
			}
			return wait, nil
		}
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
	default:
		return -1, nil
	}
	return p.wait(attempt), nil
}

// wait grows by two with each attempt, and strays by a quarter, so that many nodes
// don't come back at once.
func (p patience) wait(attempt int) time.Duration {
	wait := min(min(p.first, longestWait)<<min(attempt, 16), longestWait)
	return wait - wait/8 + rand.N(wait/4+1)
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(date.Sub(now), 0), true
	}
	return 0, false
}

// isBroken reports whether a connection broke, which may not happen again.
func isBroken(err error) bool {
	var netErr net.Error
	var opErr *net.OpError
	if errors.As(err, &opErr) && opErr.Op == "dial" {
		return false // there was none
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, errStalled) ||
		errors.As(err, &netErr) && netErr.Timeout() && !errors.Is(err, context.DeadlineExceeded)
}

// isUnavailable reports whether err says nothing about the artifact, but only that
// its registry could not be asked.
func isUnavailable(err error) bool {
	var netErr net.Error
	var opErr *net.OpError
	return isServerFault(err) || isBroken(err) || errors.As(err, &opErr) || errors.As(err, &netErr) && netErr.Timeout()
}

// isServerFault reports whether err is a registry's answer that it can't answer.
func isServerFault(err error) bool {
	var response *errcode.ErrorResponse
	return errors.As(err, &response) && (response.StatusCode >= 500 ||
		response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusRequestTimeout)
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// secrets are what must not reach a log: the query of a URL, where storage behind
// registries keeps its signatures, and user information.
var (
	urlQuery = regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`)
	urlUser  = regexp.MustCompile(`(https?://)[^\s"/@]*@`)
)

// withoutUser is an endpoint as messages have it, even if somebody wrote a password
// into it, where none belongs.
func withoutUser(endpoint string) string {
	at := strings.LastIndexByte(endpoint, '@')
	if at < 0 || IsLocal(endpoint) {
		return endpoint
	}
	return endpoint[at+1:]
}

// redacted is an error whose text has no secrets, and nothing in it that a registry
// has written to play with a terminal.
type redacted struct{ error }

func (r redacted) Error() string {
	return Printable(urlUser.ReplaceAllString(urlQuery.ReplaceAllString(r.error.Error(), "$1"), "$1"))
}

// Printable replaces the control characters in text that somebody else wrote, such as
// a registry or a manifest, so that it can be shown on a terminal. Lines stay lines.
func Printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && c != '\t' && unicode.IsControl(c) {
			return unicode.ReplacementChar
		}
		return c
	}, text)
}

func (r redacted) Unwrap() error { return r.error }
