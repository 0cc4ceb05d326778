// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/cmd/internal/identity"
)

const scope = "https://management.azure.com//.default"

// clear takes away what the machine of a test may have.
func clear(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST",
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET",
	} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
}

func TestManagedIdentity(t *testing.T) {
	clear(t)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		q := r.URL.Query()
		if r.Header.Get("X-IDENTITY-HEADER") != "shown" || q.Get("resource") != "https://management.azure.com/" {
			http.Error(w, "who are you", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token of %s","expires_on":"4102444800","resource":"x","token_type":"Bearer"}`, q.Get("client_id"))
	}))
	defer server.Close()
	t.Setenv("IDENTITY_ENDPOINT", server.URL)
	t.Setenv("IDENTITY_HEADER", "shown")
	for _, clientID := range []string{"", "0000-1"} {
		id, err := identity.New(identity.Config{ClientID: clientID})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			token, expires, err := id.Token(t.Context(), scope)
			if want := "token of " + clientID; err != nil || token != want || expires.Year() != 2100 {
				t.Errorf("got %q until %v and %v, want %q until 2100", token, expires, err, want)
			}
		}
	}
	if asked != 2 {
		t.Errorf("the endpoint was asked %d times, want once for each identity", asked)
	}
	t.Setenv("IDENTITY_HEADER", "wrong")
	id, err := identity.New(identity.Config{ClientID: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := id.Token(t.Context(), scope); err == nil || !strings.Contains(err.Error(), "identity: get token for "+scope) {
		t.Errorf("refused by the endpoint: got %v", err)
	}
}

func TestWorkloadIdentity(t *testing.T) {
	clear(t)
	var asked []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		host := "https://" + r.Host
		if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
			fmt.Fprintf(w, `{"issuer":"%[1]s/plant/v2.0","authorization_endpoint":"%[1]s/authorize","token_endpoint":"%[1]s/plant/token"}`, host)
			return
		}
		asked = append(asked, r.Form.Get("client_id")+" "+r.Form.Get("client_assertion")+" "+r.Form.Get("scope"))
		fmt.Fprint(w, `{"access_token":"workload token","expires_in":3600,"token_type":"Bearer"}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("projected"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	t.Setenv("AZURE_AUTHORITY_HOST", server.URL)
	id, err := identity.New(identity.Config{ClientID: "client", TenantID: "plant", Client: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := id.Token(t.Context(), "https://eventgrid.azure.net/.default")
	if err != nil || token != "workload token" {
		t.Errorf("got %q and %v", token, err)
	}
	if len(asked) != 1 || !strings.HasPrefix(asked[0], "client projected https://eventgrid.azure.net/.default") {
		t.Errorf("asked with %q", asked)
	}
	if _, err := identity.New(identity.Config{}); err == nil || !strings.Contains(err.Error(), "identity: set up") {
		t.Errorf("without a client id: got %v", err)
	}
}
