// SPDX-License-Identifier: Apache-2.0

//go:build services

package wiring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/resource"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// TestMosquittoKnowsTheDevice publishes and subscribes as who a certificate names, by
// what resources say, where nobody else may.
func TestMosquittoKnowsTheDevice(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{
		TLS: true, ClientCertificates: true, WebSockets: true,
		ACL: []string{"user device-1", "topic readwrite of/device"},
	})
	authority, err := os.ReadFile(b.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	indented := func(text string) string { return strings.ReplaceAll("\n"+text, "\n", "\n    ") }
	for protocol, host := range map[string]string{"Mqtt": b.TLSAddr, "WebSockets": b.WSSAddr + "/mqtt"} {
		t.Run(protocol, func(t *testing.T) {
			text := fmt.Sprintf(`apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: broker}
spec:
  endpointType: Mqtt
  mqttSettings:
    host: %s
    protocol: %s
    tls: {trustedCaCertificateConfigMapRef: ca}
    authentication: {method: X509Certificate, x509CertificateSettings: {secretRef: device}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data:
  ca.crt: |%s
---
apiVersion: v1
kind: Secret
metadata: {name: device}
stringData:
  client_cert.pem: |%s
  client_key.pem: |%s
  client_intermediate_certs.pem: |%s
`, host, protocol, indented(string(authority)), indented(b.Device.Certificate), indented(b.Device.Key), indented(b.Device.Intermediate))
			set, problems := resource.Parse("f.yaml", []byte(text))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			key := func(name string) resource.Key {
				return resource.Key{Namespace: resource.DefaultNamespace, Name: name}
			}
			binding := deploy.Binding{Client: protocol + "-source", Endpoint: set.Endpoints[key("broker")], CA: set.ConfigMaps[key("ca")], Secret: set.Secrets[key("device")]}
			drivers, err := NewDrivers("", nil)
			if err != nil {
				t.Fatal(err)
			}
			source, err := drivers.Source(binding, []string{"of/device"})
			if err != nil {
				t.Fatal(err)
			}
			binding.Client = protocol + "-sink"
			sink, err := drivers.Sink(binding, "of/device")
			if err != nil {
				t.Fatal(err)
			}
			arrived, flush := make(chan *message.Message, 1), make(chan struct{})
			close(flush)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 2)
			go func() { ended <- sink.Run(ctx) }()
			go func() {
				ended <- source.Run(ctx, func(d endpoint.Delivery) {
					d.Settle()
					arrived <- d.Message
				}, flush)
			}()
			defer func() {
				cancel()
				if err := errors.Join(<-ended, <-ended); err != nil {
					t.Error(err)
				}
			}()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for timeout := time.After(patience); !source.Connected(); {
				select {
				case <-tick.C:
				case <-timeout:
					t.Fatal("not subscribed")
				}
			}
			if err := sink.Send(t.Context(), &message.Message{Payload: []byte(protocol)}, func(error) {}); err != nil {
				t.Fatal(err)
			}
			select {
			case m := <-arrived:
				if string(m.Payload) != protocol {
					t.Errorf("got %q", m.Payload)
				}
			case <-time.After(patience):
				t.Error("nothing came")
			}
		})
	}
}
