// SPDX-License-Identifier: Apache-2.0

package mosquitto

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

// certificates makes an authority and a certificate for the loopback host signed
// by it. It returns the three parts that a broker needs, PEM, and a client
// configuration that trusts the authority and nobody else.
func certificates(t testing.TB) (authority, certificate, key string, client *tls.Config) {
	t.Helper()
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test authority"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	caKey, caDER := sign(t, ca, nil, nil)
	host := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	hostKey, hostDER := sign(t, host, ca, caKey)
	keyDER, err := x509.MarshalECPrivateKey(hostKey)
	if err != nil {
		t.Fatal("mosquitto: encode key:", err)
	}
	authority = pemBlock("CERTIFICATE", caDER)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(authority))
	return authority, pemBlock("CERTIFICATE", hostDER), pemBlock("EC PRIVATE KEY", keyDER), &tls.Config{RootCAs: pool}
}

// sign makes a key and a certificate for it, signed by a parent or by itself.
func sign(t testing.TB, c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal("mosquitto: make key:", err)
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal("mosquitto: make certificate:", err)
	}
	return key, der
}

func pemBlock(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
