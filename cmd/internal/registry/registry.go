// SPDX-License-Identifier: Apache-2.0

// Package registry is an OCI registry inside a program, over a folder: for laptops,
// sites without a network, and tests. It is the Distribution project's registry
// with a front of our own: users from an htpasswd file, and faults as errors instead
// of panics. It is heavy, so that only graphctl has it.
package registry

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"
)

// New returns a registry that keeps what it is given in the folder dir, which is
// made where it isn't there. Artifacts can be deleted from it. What it does in the
// background ends with ctx. It logs its own
// faults only, through logrus, which it sets up.
func New(ctx context.Context, dir string) (_ http.Handler, err error) {
	defer func() {
		if fault := recover(); fault != nil { // the library's way to refuse a configuration
			err = fmt.Errorf("registry: open %s: %v", dir, fault)
		}
	}()
	dir, err = filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("registry: open %s: %w", dir, err)
	}
	logrus.SetLevel(logrus.ErrorLevel)
	logrus.SetFormatter(&faults{})
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem": configuration.Parameters{"rootdirectory": dir},
			"delete":     configuration.Parameters{"enabled": true},
		},
		Catalog: configuration.Catalog{MaxEntries: 1000},
	}
	config.HTTP.RelativeURLs = true // right behind any proxy
	return handlers.NewApp(ctx, config), nil
}

// faults prints what is the registry's own fault. It calls it an error, too, when
// somebody asks for what isn't there, which happens with every push.
type faults struct{ logrus.TextFormatter }

// Format implements logrus.Formatter.
func (f *faults) Format(e *logrus.Entry) ([]byte, error) {
	if status, ok := e.Data["http.response.status"].(int); ok && status < http.StatusInternalServerError {
		return nil, nil
	}
	return f.TextFormatter.Format(e)
}

// Users are those of an htpasswd file: names and bcrypt hashes.
type Users map[string][]byte

// ReadUsers reads an htpasswd file as "htpasswd -B" writes it. Only bcrypt is taken:
// the other forms are broken.
func ReadUsers(file string) (Users, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("registry: read users: %w", err)
	}
	users := Users{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !ok || name == "" || err != nil {
			return nil, fmt.Errorf("registry: read users: %s:%d: not of the form NAME:BCRYPT; make such lines with htpasswd -B", file, n)
		}
		users[name] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("registry: read users: %s: %w", file, err)
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("registry: read users: %w", errors.New(file+" names nobody"))
	}
	return users, nil
}

// Protect lets only users in.
func (u Users) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, ok := r.BasicAuth()
		if !ok || !u.knows(name, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="graphctl registry", charset="UTF-8"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintln(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		r.Header.Del("Authorization") // nothing behind needs it
		next.ServeHTTP(w, r)
	})
}

// knows takes as long for a name that isn't there as for one that is.
func (u Users) knows(name, password string) bool {
	hash, ok := u[name]
	if !ok {
		for _, hash = range u {
			break
		}
	}
	return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && ok
}
