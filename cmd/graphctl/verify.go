// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/oras"
	"github.com/wasm-graph/graphd/oras/trust"
)

// verifyFlags are the flags of graphctl verify.
type verifyFlags struct {
	remote      remoteFlags
	output      outputFlag
	keys, cas   []string
	withModules bool
}

func newVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify REF",
		Short: "Check who signed a graph or a component",
		Long: `Verify looks for a signature of the artifact by one of the keys, or by a key with a
certificate for code signing by one of the authorities. It prints the digest, which is
what was signed: a tag may stand for something else a moment later.

Both forms of signatures that cosign writes are read. There is no transparency log, and
no time stamp: a certificate has to be valid now.

` + referenceHelp,
		Example: "  graphctl verify ghcr.io/me/graph-simple:1.0.0 --key release.pub --with-modules\n" +
			"  graphctl verify ghcr.io/me/temperature:1.0.0 --ca plant-ca.pem",
		Args: exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.remote.add(cmd)
	f.output.add(cmd)
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "PEM `FILE` with public keys to trust; may be repeated")
	cmd.Flags().StringArrayVar(&f.cas, "ca", nil, "PEM `FILE` with certificates of authorities to trust; may be repeated")
	cmd.Flags().BoolVar(&f.withModules, "with-modules", false, "check everything that a graph refers to, as well")
	return cmd
}

// verified is one result of graphctl verify.
type verified struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Key       string `json:"key"`
	Subject   string `json:"subject,omitempty"`
	Format    string `json:"format"`
}

func (f *verifyFlags) run(cmd *cobra.Command, arg string) error {
	if len(f.keys) == 0 && len(f.cas) == 0 {
		return &usageError{"nobody is trusted; write --key FILE or --ca FILE"}
	}
	policy, err := f.policy()
	if err != nil {
		return err
	}
	return f.remote.answer(cmd, &f.output, arg, func(store *oras.Store, l oras.Location) (string, any, error) {
		var done []verified
		var b strings.Builder
		err := withModules(cmd.Context(), store, l, f.withModules, func(ref, name string) error {
			digest, signer, err := trust.Verify(cmd.Context(), store, ref, policy)
			if err != nil {
				return err
			}
			done = append(done, verified{name, digest, signer.Key, signer.Subject, string(signer.Format)})
			fmt.Fprintf(&b, "%s is %s, signed by %s\n", name, digest, signer)
			return nil
		})
		return b.String(), done, err
	})
}

func (f *verifyFlags) policy() (*trust.Policy, error) {
	p := &trust.Policy{}
	for _, file := range f.keys {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		keys, err := trust.ParseKeys(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p.Keys = append(p.Keys, keys...)
	}
	for _, file := range f.cas {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		certificates, err := trust.ParseCertificates(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p.Authorities = append(p.Authorities, certificates...)
	}
	return p, nil
}
