// SPDX-License-Identifier: Apache-2.0

package mosquitto

import (
	"crypto/tls"
	"testing"

	"github.com/wasm-graph/graphd/conformance/services/certificates"
)

// Device is a client's certificate.
type Device = certificates.Device

// material is what a broker with TLS and its clients need, PEM.
type material struct {
	authority, host, hostKey string
	client                   *tls.Config // trusts the authority and nobody else
	device                   Device
}

// makeCertificates makes an authority, and what it certifies.
func makeCertificates(t testing.TB) material {
	t.Helper()
	c := certificates.Make(t)
	return material{c.Authority, c.Host, c.HostKey, c.Client, c.Device}
}
