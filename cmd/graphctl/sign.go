// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/oras"
	"github.com/wasm-graph/graphd/oras/trust"
)

// signFlags are the flags of graphctl sign.
type signFlags struct {
	remote           remoteFlags
	output           outputFlag
	key, certificate string
	format           string
	withModules      bool
}

func newSign() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign REF",
		Short: "Sign a graph or a component",
		Long: `Sign puts a signature of an artifact's digest beside it. graphd refuses what nobody
signed whom a RegistryEndpoint trusts, by trustSettings.trustedSigningKeys or
codeSigningCas; "graphctl verify" and "cosign verify --key KEY.pub
--insecure-ignore-tlog" check it by hand. Signatures of others stay.

The key is in a PEM file: one that cosign generate-key-pair made, or for instance

  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out release.key
  openssl pkey -in release.key -pubout -out release.pub

The password of an encrypted one is asked for, or taken from $COSIGN_PASSWORD.

` + referenceHelp,
		Example: "  graphctl sign ghcr.io/me/graph-simple:1.0.0 --key release.key --with-modules\n" +
			"  graphctl sign ghcr.io/me/temperature:1.0.0 --key ann.key --certificate ann-and-team.pem",
		Args: exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.remote.add(cmd)
	f.output.add(cmd)
	cmd.Flags().StringVar(&f.key, "key", "", "PEM `FILE` with the private key")
	cmd.Flags().StringVar(&f.certificate, "certificate", "", "PEM `FILE` with the key's certificate, and those between it and an authority")
	cmd.Flags().StringVar(&f.format, "format", string(trust.SimpleSigning),
		"`FORM` of the signature: simplesigning, which every cosign reads, or bundle, which cosign 3 writes")
	cmd.Flags().BoolVar(&f.withModules, "with-modules", false, "sign everything that a graph refers to, as well")
	return cmd
}

// signed is one result of graphctl sign.
type signed struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Signature string `json:"signature"` // the digest of its manifest
}

func (f *signFlags) run(cmd *cobra.Command, arg string) error {
	format := trust.Format(f.format)
	if format != trust.SimpleSigning && format != trust.Bundle {
		return &usageError{fmt.Sprintf("invalid argument %q for --format; want simplesigning or bundle", f.format)}
	}
	if f.key == "" {
		return &usageError{"missing --key FILE, the private key to sign with"}
	}
	key, err := f.privateKey(cmd)
	if err != nil {
		return err
	}
	return f.remote.answer(cmd, &f.output, arg, func(store *oras.Store, l oras.Location) (string, any, error) {
		var done []signed
		var b strings.Builder
		err := withModules(cmd.Context(), store, l, f.withModules, func(ref, name string) error {
			digest, signature, err := trust.Sign(cmd.Context(), store, ref, key, format)
			done = append(done, signed{name, digest, signature})
			fmt.Fprintf(&b, "signed %s, which is %s\n", name, digest)
			return err
		})
		return b.String(), done, err
	})
}

// privateKey reads the key, and its certificates where there are some.
func (f *signFlags) privateKey(cmd *cobra.Command) (*trust.PrivateKey, error) {
	data, err := os.ReadFile(f.key)
	if err != nil {
		return nil, err
	}
	var certificates []byte
	if f.certificate != "" {
		if certificates, err = os.ReadFile(f.certificate); err != nil {
			return nil, err
		}
	}
	key, err := trust.ParsePrivateKey(data, func() ([]byte, error) {
		if password, ok := os.LookupEnv("COSIGN_PASSWORD"); ok {
			return []byte(password), nil
		}
		if !trust.IsEncrypted(data) {
			return nil, nil
		}
		password, err := askPassword(cmd.InOrStdin(), cmd.ErrOrStderr(), "set $COSIGN_PASSWORD")
		return []byte(password), err
	}, certificates)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.key, err)
	}
	return key, nil
}

// withModules calls do with the reference in l and its full name and, if all is set, before
// that with those of the modules of the graph that it names.
func withModules(ctx context.Context, store *oras.Store, l oras.Location, all bool, do func(ref, name string) error) error {
	var refs []string
	if all {
		modules, err := modulesOf(ctx, store, l)
		if err != nil {
			return err
		}
		for _, m := range modules {
			refs = append(refs, m.ref)
		}
	}
	for _, ref := range append(refs, l.Reference) {
		if err := do(ref, oras.Location{Endpoint: l.Endpoint, Reference: ref}.String()); err != nil {
			return err
		}
	}
	return nil
}
