// SPDX-License-Identifier: Apache-2.0

// Package certificates makes what servers with TLS and their clients need in tests: an
// authority, and what it certifies.
package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Device is a client's certificate, the key for it, and the certificate of the
// authority between it and the one that a server knows, PEM.
type Device struct {
	Name                           string // that it certifies
	Certificate, Key, Intermediate string
}

// Set is what a server with TLS and its clients need, PEM.
type Set struct {
	Authority, Host, HostKey string
	Client                   *tls.Config // trusts the authority and nobody else
	Device                   Device

	authority *x509.Certificate
	key       *ecdsa.PrivateKey // of the authority
}

// Make makes an authority, a certificate for the loopback host signed by it,
// and one for a device, signed by an authority below it.
func Make(t testing.TB) Set {
	t.Helper()
	ca := template(1, "test authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caKey, caDER := sign(t, ca, nil, nil)
	between := template(3, "authority of devices")
	between.IsCA, between.BasicConstraintsValid, between.KeyUsage = true, true, x509.KeyUsageCertSign
	betweenKey, betweenDER := sign(t, between, ca, caKey)
	device := template(4, "device-1")
	device.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	deviceKey, deviceDER := sign(t, device, between, betweenKey)

	s := Set{
		Authority: pemBlock("CERTIFICATE", caDER),
		Device: Device{
			Name:         device.Subject.CommonName,
			Certificate:  pemBlock("CERTIFICATE", deviceDER),
			Key:          keyBlock(t, deviceKey),
			Intermediate: pemBlock("CERTIFICATE", betweenDER),
		},
		authority: ca, key: caKey,
	}
	s = s.Renew(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.Authority))
	s.Client = &tls.Config{RootCAs: pool}
	return s
}

// Renew returns s with another certificate for the loopback host, of the same authority.
func (s Set) Renew(t testing.TB) Set {
	t.Helper()
	host := template(time.Now().UnixNano(), "localhost")
	host.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	host.DNSNames, host.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	key, der := sign(t, host, s.authority, s.key)
	s.Host, s.HostKey = pemBlock("CERTIFICATE", der), keyBlock(t, key)
	return s
}

// template is a certificate of a day to be signed.
func template(serial int64, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func keyBlock(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal("certificates: encode key:", err)
	}
	return pemBlock("PRIVATE KEY", der)
}

// sign makes a key and a certificate for it, signed by a parent or by itself.
func sign(t testing.TB, c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal("certificates: make key:", err)
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal("certificates: make certificate:", err)
	}
	return key, der
}

func pemBlock(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
