// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// maxTokenBytes bounds what a registry answers with a token.
const maxTokenBytes = 1 << 20

// Exchange are credentials for Azure Container Registry: the registry that is asked
// exchanges a token of Microsoft Entra ID, which token gets, for one of its own
// (POST /oauth2/exchange). tenant, which may be empty, is the directory's id. opts says
// how the registry is reached, as it does for a Store; its credentials are not used.
//
// Any host that asks for credentials is shown the token, so the endpoint is to be one
// that is trusted with it.
func Exchange(token func(context.Context) (string, error), tenant string, opts Options) *Credentials {
	opts.Credentials = nil
	client := *newClient(opts).Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the token is for the registry and nobody that it names
	}
	scheme := "https://"
	if opts.PlainHTTP {
		scheme = "http://"
	}
	return &Credentials{
		from: "a managed identity",
		forHost: func(ctx context.Context, host string) (auth.Credential, error) {
			access, err := token(ctx)
			if err != nil {
				return auth.EmptyCredential, err
			}
			form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {access}}
			if tenant != "" {
				form.Set("tenant", tenant)
			}
			refresh, err := exchange(ctx, &client, scheme+host+"/oauth2/exchange", form)
			if err != nil {
				return auth.EmptyCredential, fmt.Errorf("exchange the identity's token at %s: %w", host, err)
			}
			return auth.Credential{RefreshToken: refresh}, nil
		},
	}
}

func exchange(ctx context.Context, client *http.Client, url string, form url.Values) (string, error) {
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return "", fmt.Errorf("%w: the registry doesn't know the identity; give it the role AcrPull", ErrDenied)
	case http.StatusNotFound:
		return "", fmt.Errorf("%w: the registry exchanges no tokens, so it is no Azure Container Registry; use another method of authentication", ErrDenied)
	default:
		// What it answers may hold the token.
		return "", fmt.Errorf("the registry answers %s", resp.Status)
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxTokenBytes)).Decode(&answer)
	if err != nil || answer.RefreshToken == "" {
		return "", fmt.Errorf("%w: the registry's answer has no token", ErrDenied)
	}
	return answer.RefreshToken, nil
}
