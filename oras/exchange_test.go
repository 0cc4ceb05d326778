// SPDX-License-Identifier: Apache-2.0

package oras_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/oras"
)

// TestExchange pushes and pulls at a registry that hands out tokens as Azure's does.
func TestExchange(t *testing.T) {
	answer := http.StatusOK
	host := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/oauth2/exchange":
				if answer == http.StatusTemporaryRedirect {
					http.Redirect(w, r, "/elsewhere", answer)
					return
				}
				if answer != http.StatusOK {
					http.Error(w, "no: "+r.FormValue("access_token"), answer)
					return
				}
				if r.FormValue("grant_type") != "access_token" || r.FormValue("service") != r.Host || r.FormValue("tenant") != "plant" {
					t.Errorf("exchange with %v", r.Form)
				}
				fmt.Fprintf(w, `{"refresh_token":"refresh %s"}`, r.FormValue("access_token"))
			case r.URL.Path == "/elsewhere":
				t.Errorf("the token went elsewhere: %v", r.FormValue("access_token") != "")
			case r.URL.Path == "/oauth2/token":
				if r.FormValue("grant_type") != "refresh_token" || r.FormValue("refresh_token") != "refresh entra-1" {
					http.Error(w, "no", http.StatusUnauthorized)
					return
				}
				fmt.Fprint(w, `{"access_token":"pass"}`)
			case r.Header.Get("Authorization") != "Bearer pass":
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/oauth2/token",service=%q,scope="repository:a:pull,push"`, r.Host, r.Host))
				w.WriteHeader(http.StatusUnauthorized)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	opts := oras.Options{PlainHTTP: true}
	token := "entra-1"
	opts.Credentials = oras.Exchange(func(context.Context) (string, error) {
		if token == "" {
			return "", errors.New("no identity here")
		}
		return token, nil
	}, "plant", opts)
	if got := opts.Credentials.String(); got != "credentials of a managed identity" {
		t.Errorf("printed as %q", got)
	}
	if _, err := openStore(t, host, opts).Push(t.Context(), "a:1", oras.Package{Content: []byte("\x00asm")}); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(t, host, opts).Fetch(t.Context(), "a:1", oras.Component); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, token string
		answer      int
		want        string
	}{
		{"unknown identity", "entra-1", http.StatusUnauthorized, "give it the role AcrPull"},
		{"no exchange", "entra-1", http.StatusNotFound, "no Azure Container Registry"},
		{"fault", "entra-1", http.StatusTeapot, "418"},
		{"redirected", "entra-1", http.StatusTemporaryRedirect, "307"},
		{"no identity", "", http.StatusOK, "no identity here"},
		{"another token", "entra-2", http.StatusOK, "access denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, answer = tt.token, tt.answer
			_, err := openStore(t, host, opts).Fetch(t.Context(), "a:1", oras.Component)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "entra") {
				t.Errorf("got %v, want %q without the token", err, tt.want)
			}
		})
	}
}
