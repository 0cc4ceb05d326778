// SPDX-License-Identifier: Apache-2.0

//go:build services

package wiring

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/kafka"
	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/conformance/services/programs"
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
			drivers := NewDrivers("")
			source, err := drivers.Source(binding, []string{"of/device"})
			if err != nil {
				t.Fatal(err)
			}
			binding.Client = protocol + "-sink"
			sink, err := drivers.Sink(binding, "of/device")
			if err != nil {
				t.Fatal(err)
			}
			relay(t, source, sink, protocol)
		})
	}
}

// TestKafkaKnowsTheDevice produces and consumes as who the resources say, in every way
// that there is to show it, and is refused in the name of another.
func TestKafkaKnowsTheDevice(t *testing.T) {
	b := kafka.Start(t)
	token := kafka.Token(time.Now().Add(time.Hour))
	identities := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := token
		if r.URL.Query().Get("client_id") == "other" {
			shown = kafka.Token(time.Now().Add(-time.Hour))
		}
		fmt.Fprintf(w, `{"access_token":%q,"expires_on":"%d","resource":"x","token_type":"Bearer"}`, shown, time.Now().Add(time.Hour).Unix())
	}))
	t.Cleanup(identities.Close)
	for _, name := range []string{"AZURE_FEDERATED_TOKEN_FILE", "IMDS_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("IDENTITY_ENDPOINT", identities.URL)
	t.Setenv("IDENTITY_HEADER", "shown")

	const trusting, open = "{trustedCaCertificateConfigMapRef: ca}", "{mode: Disabled}"
	sasl := func(mechanism string) string {
		return "{method: Sasl, saslSettings: {saslType: " + mechanism + ", secretRef: device}}"
	}
	identity := func(client string) string {
		return "{method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: " + client + ", tenantId: t, scope: kafka/.default}}"
	}
	for _, tt := range []struct {
		name, host, authentication, tls string
		other                           string // who is refused, and may not be for ever; empty: who has another password, and will be
		trouble                         string // that other has
	}{
		{"Plain", b.SASLAddr, sasl("Plain"), trusting, "", ""},
		{"Plain-without-TLS", b.PlainAddr, sasl("Plain"), open, "", ""},
		{"ScramSha256", b.SASLAddr, sasl("ScramSha256"), trusting, "", ""},
		{"ScramSha512", b.SASLAddr, sasl("ScramSha512"), trusting, "", ""},
		{"ScramSha512-without-TLS", b.PlainAddr, sasl("ScramSha512"), open, "", ""},
		{"identity", b.SASLAddr, identity("device"), trusting, identity("other"), "refuses the token"},
		{"X509", b.TLSAddr, "{method: X509Certificate, x509CertificateSettings: {secretRef: device}}", trusting, "{method: Anonymous}", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bind := func(authentication, password string) deploy.Binding {
				text := fmt.Sprintf(`apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: hub}
spec:
  endpointType: Kafka
  kafkaSettings:
    host: %s
    consumerGroupId: %s
    tls: %s
    authentication: %s
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data:
  ca.crt: |
    %s
---
apiVersion: v1
kind: Secret
metadata: {name: device}
stringData:
  username: %s
  password: %q
  client_cert.pem: |
    %s
  client_key.pem: |
    %s
  client_intermediate_certs.pem: |
    %s
`, tt.host, tt.name, tt.tls, authentication, programs.Indented([]byte(b.Certificates.Authority)), kafka.User, password,
					programs.Indented([]byte(b.Certificates.Device.Certificate)), programs.Indented([]byte(b.Certificates.Device.Key)),
					programs.Indented([]byte(b.Certificates.Device.Intermediate)))
				set, problems := resource.Parse("f.yaml", []byte(text))
				if err := problems.Err(); err != nil {
					t.Fatal(err)
				}
				key := func(name string) resource.Key {
					return resource.Key{Namespace: resource.DefaultNamespace, Name: name}
				}
				binding := deploy.Binding{Client: tt.name, Endpoint: set.Endpoints[key("hub")], Secret: set.Secrets[key("device")]}
				if tt.tls == trusting {
					binding.CA = set.ConfigMaps[key("ca")]
				}
				return binding
			}
			drivers := NewDrivers("")
			binding := bind(tt.authentication, kafka.Password)
			source, err := drivers.Source(binding, []string{tt.name})
			if err != nil {
				t.Fatal(err)
			}
			sink, err := drivers.Sink(binding, tt.name)
			if err != nil {
				t.Fatal(err)
			}
			relay(t, source, sink, tt.name)

			other := tt.authentication
			if tt.other != "" {
				other = tt.other
			}
			if sink, err = drivers.Sink(bind(other, "no secret"), tt.name); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- sink.Run(ctx) }()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for timeout := time.After(patience); ; {
				select {
				case err := <-ended:
					if err == nil || !strings.Contains(err.Error(), "SASL_AUTHENTICATION_FAILED") {
						t.Errorf("refused with %v", err)
					}
					return
				case <-tick.C:
				case <-timeout:
					t.Fatalf("neither refused nor, as it should, in trouble: %v", endpoint.Trouble(sink))
				}
				if err := endpoint.Trouble(sink); err != nil && tt.other != "" {
					if !strings.Contains(err.Error(), tt.trouble) {
						t.Errorf("in trouble with %v, want %s", err, tt.trouble)
					}
					cancel()
					if err := <-ended; err != nil {
						t.Error(err)
					}
					return
				}
				if sink.Connected() {
					t.Fatal("connected in the name of another")
				}
			}
		})
	}
}

// relay sends a message through a sink and waits until it comes out of a source.
func relay(t *testing.T, source endpoint.Source, sink endpoint.Sink, text string) {
	t.Helper()
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
		case err := <-ended:
			ended <- err
			ended <- nil
			t.Fatalf("ended: %v", err)
		case <-timeout:
			t.Fatalf("not subscribed: %v", endpoint.Trouble(source))
		}
	}
	if err := sink.Send(t.Context(), &message.Message{Payload: []byte(text)}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-arrived:
		if string(m.Payload) != text {
			t.Errorf("got %q", m.Payload)
		}
	case <-time.After(patience):
		t.Error("nothing came")
	}
}
