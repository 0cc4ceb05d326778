// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Guard decides who may ask.
//
// Without a token, whoever is on this machine may: the server listens on a loopback
// address, and pages in a browser are kept out, also those that have their name point to
// it. With one, it must be shown.
type Guard struct {
	// Token is what has to be shown as "Authorization: Bearer TOKEN". Nil: nothing, and the
	// client has to be on this machine.
	Token *TokenFile
}

// Protect returns next for those who may.
func (g *Guard) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case r.Header.Get("Origin") != "", site != "" && site != "none" && site != "same-origin":
			forbid(w, "requests from web pages are not answered")
			return
		}
		if g.Token == nil {
			if !local(r) {
				forbid(w, "only this machine is answered: come from a loopback address, and by it or as localhost")
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		token, err := g.Token.Read()
		if err != nil {
			reply(w, &Fault{Code: http.StatusInternalServerError, Reason: "InternalError", Message: "the file with the token can't be read"})
			return
		}
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		// Of equal length, so that the time it takes tells nothing.
		want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(shown)))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			reply(w, &Fault{Code: http.StatusUnauthorized, Reason: "Unauthorized", Message: "the token is missing or wrong: give graphctl --token-file"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func forbid(w http.ResponseWriter, why string) {
	reply(w, &Fault{Code: http.StatusForbidden, Reason: "Forbidden", Message: why})
}

// local reports whether a request comes from this machine, and not from a page in its
// browser that has another name for it.
func local(r *http.Request) bool {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	to, _, toErr := net.SplitHostPort(r.Host)
	if toErr != nil {
		to = strings.Trim(r.Host, "[]")
	}
	return err == nil && net.ParseIP(from).IsLoopback() && (to == "localhost" || net.ParseIP(to) != nil)
}

// Loopback reports whether what listens on an address is reached from this machine only.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// TokenFile is a file with a token, which is read again when it has changed. It is safe
// for concurrent use.
type TokenFile struct {
	name string

	mu    sync.Mutex
	taken stamp  // guarded by mu
	token string // guarded by mu
}

// minToken is the length in bytes of the shortest token.
const minToken = 16

// OpenToken opens the file with a token.
func OpenToken(name string) (*TokenFile, error) {
	t := &TokenFile{name: name}
	if _, err := t.Read(); err != nil {
		return nil, err
	}
	return t, nil
}

// Read returns the token.
func (t *TokenFile) Read() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, err := stampOf(t.name)
	if err != nil {
		return "", fmt.Errorf("api: read token: %w", err)
	}
	if now == t.taken {
		return t.token, nil
	}
	text, err := os.ReadFile(t.name)
	if err != nil {
		return "", fmt.Errorf("api: read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("api: read token: %s has to have one word of %d characters or more", t.name, minToken)
	}
	t.taken, t.token = now, token
	return token, nil
}

// stamp tells versions of a file apart.
type stamp struct {
	size int64
	time time.Time
}

func stampOf(name string) (stamp, error) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

// Certificate is a certificate and its key in files, which are read again when they have
// changed. It is safe for concurrent use.
type Certificate struct {
	cert, key string

	mu     sync.Mutex
	taken  [2]stamp         // guarded by mu
	loaded *tls.Certificate // guarded by mu
}

// OpenCertificate opens a certificate, with those between it and its authority, and its
// key, both PEM.
func OpenCertificate(cert, key string) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key}
	if _, err := c.Get(nil); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is a tls.Config.GetCertificate. While the files don't fit each other, as in the middle
// of a renewal, it is the certificate of before.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, err := stampOf(c.cert)
	key, keyErr := stampOf(c.key)
	now := [2]stamp{cert, key}
	if err = errors.Join(err, keyErr); err == nil && now == c.taken {
		return c.loaded, nil
	}
	if err == nil {
		var loaded tls.Certificate
		if loaded, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.taken, c.loaded = now, &loaded
		}
	}
	if c.loaded != nil {
		return c.loaded, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("api: load certificate: %w", err)
	}
	return nil, fmt.Errorf("api: load certificate %s with key %s: %w", c.cert, c.key, err)
}
