// SPDX-License-Identifier: Apache-2.0

// Package identity gets tokens for the identity that a machine or a workload has in
// Microsoft Entra ID, so that no secret has to be kept for registries and brokers in
// Azure.
//
// Where Kubernetes projects a token for workload identity (AZURE_FEDERATED_TOKEN_FILE),
// that is exchanged. Elsewhere the machine's managed identity is asked: the agent of
// Azure Arc or of a service that sets IDENTITY_ENDPOINT, or else the metadata service of
// an Azure virtual machine.
package identity

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Config says which identity. Its zero value is the one that the system has by default.
type Config struct {
	// ClientID is that of a user-assigned identity; empty means the system-assigned one
	// or, with workload identity, AZURE_CLIENT_ID.
	ClientID string
	// TenantID is the directory's; empty means AZURE_TENANT_ID. It matters only to
	// workload identity.
	TenantID string
	// Client sends the requests. Nil means one of azidentity's own.
	Client *http.Client
}

// Identity is something that has tokens. It is safe for concurrent use, and keeps
// tokens until they are about to expire.
type Identity struct{ credential azcore.TokenCredential }

// New returns the identity. Nothing is asked for yet.
func New(c Config) (*Identity, error) {
	var client policy.ClientOptions
	if c.Client != nil {
		client.Transport = c.Client
	}
	var credential azcore.TokenCredential
	var err error
	if os.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "" {
		credential, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: client, ClientID: c.ClientID, TenantID: c.TenantID,
			// An authority that somebody named is one that they trust; its network may
			// not reach the public one that would confirm it.
			DisableInstanceDiscovery: os.Getenv("AZURE_AUTHORITY_HOST") != "",
		})
	} else {
		options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: client}
		if c.ClientID != "" {
			options.ID = azidentity.ClientID(c.ClientID)
		}
		credential, err = azidentity.NewManagedIdentityCredential(options)
	}
	if err != nil {
		return nil, fmt.Errorf("identity: set up: %w", err)
	}
	return &Identity{credential}, nil
}

// Token returns a token for scope, such as "https://management.azure.com/.default", and
// when it expires.
func (i *Identity) Token(ctx context.Context, scope string) (token string, expires time.Time, err error) {
	t, err := i.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("identity: get token for %s: %w", scope, err)
	}
	return t.Token, t.ExpiresOn, nil
}
