// SPDX-License-Identifier: Apache-2.0

package wiring

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/kafka"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/resource"
)

// authority returns a certificate, PEM.
func authority(t *testing.T) []byte {
	t.Helper()
	certificate, _ := keyPair(t)
	return certificate
}

// keyPair returns a certificate and its key, PEM.
func keyPair(t *testing.T) (certificate, private []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

func binding(m resource.MQTT, ca *resource.ConfigMap) deploy.Binding {
	return deploy.Binding{Client: "graphd-g-n", Endpoint: &resource.DataflowEndpoint{MQTT: m}, CA: ca}
}

func TestMQTTConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		mqtt resource.MQTT
		want mqtt.Config
	}{
		{"everything on", resource.MQTT{Host: "b:1883", WebSocket: "/mqtt", KeepAlive: time.Second, SessionExpiry: time.Hour, MaxInflight: 7, QoS: 1, TLS: resource.TLS{Disabled: true}},
			mqtt.Config{Address: "b:1883", WebSocket: "/mqtt", ClientID: "graphd-g-n", KeepAlive: time.Second, SessionExpiry: time.Hour, MaxInflight: 7}},
		{"everything off", resource.MQTT{Host: "b:1883", NeverRetain: true, TLS: resource.TLS{Disabled: true}},
			mqtt.Config{Address: "b:1883", ClientID: "graphd-g-n", KeepAlive: -1, SessionExpiry: -1, QoS: mqtt.AtMostOnce, Retain: mqtt.NeverRetain}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mqttConfig(binding(tt.mqtt, nil))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(mqtt.Config{}, "Logger")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestTrustedAuthorities(t *testing.T) {
	config, err := mqttConfig(binding(resource.MQTT{Host: "b"}, nil))
	if err != nil || config.TLS == nil || config.TLS.RootCAs != nil {
		t.Errorf("without a ConfigMap: %+v, %v; want TLS with the system's authorities", config.TLS, err)
	}
	one := authority(t)
	ca := &resource.ConfigMap{Data: map[string][]byte{"ca.crt": one, "readme": []byte("no certificate")}}
	config, err = mqttConfig(binding(resource.MQTT{Host: "b"}, ca))
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AppendCertsFromPEM(one)
	if !config.TLS.RootCAs.Equal(want) {
		t.Error("the pool isn't what the ConfigMap has")
	}
	none := &resource.ConfigMap{Meta: resource.Meta{Key: resource.Key{Namespace: "n", Name: "ca"}}, Data: map[string][]byte{"ca.crt": []byte("PEM")}}
	for what, make := range map[string]func(*Drivers) error{
		"source": func(d *Drivers) error {
			_, err := d.Source(binding(resource.MQTT{Host: "b"}, none), []string{"a"})
			return err
		},
		"sink": func(d *Drivers) error { _, err := d.Sink(binding(resource.MQTT{Host: "b"}, none), "a"); return err },
	} {
		drivers := NewDrivers("")
		if err := make(drivers); err == nil || !strings.Contains(err.Error(), "ConfigMap n/ca has no certificate") {
			t.Errorf("%s: error is %v", what, err)
		}
	}
}

// TestCredentials: a name and a password are shown as the Secret has them.
func TestCredentials(t *testing.T) {
	b := binding(resource.MQTT{Host: "b", Authentication: resource.Authentication{Password: "user"}}, nil)
	b.Secret = &resource.Secret{Data: map[string][]byte{"username": []byte("u"), "password": []byte("p\n")}}
	config, err := mqttConfig(b)
	if err != nil || config.Username != "u" || string(config.Password) != "p\n" {
		t.Errorf("shows %q and %q, %v", config.Username, config.Password, err)
	}
}

// TestIdentityAtTheBroker: a broker sees the token that a local endpoint gives out.
func TestIdentityAtTheBroker(t *testing.T) {
	localIdentity(t, time.Now().Add(time.Hour))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	b := binding(resource.MQTT{
		Host: listener.Addr().String(), TLS: resource.TLS{Disabled: true},
		Authentication: resource.Authentication{Identity: &resource.ManagedIdentity{ClientID: "user", Scope: "https://eventgrid.azure.net/.default"}},
	}, nil)
	drivers := NewDrivers("")
	sink, err := drivers.Sink(b, "t")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(ctx) }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p, err := packets.ReadPacket(conn)
	if err != nil {
		t.Fatal(err)
	}
	connect := p.Content.(*packets.Connect)
	if got := connect.Properties; got.AuthMethod != "OAUTH2-JWT" || string(got.AuthData) != "https://eventgrid.azure.net of user" {
		t.Errorf("the broker sees %q by %q", got.AuthData, got.AuthMethod)
	}
	conn.Close()
	for endpoint.Trouble(sink) == nil { // soon: its first attempt has failed
		runtime.Gosched()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestSinkReportsExpiredMessages: a message that waited too long for its broker is
// counted, and done with.
func TestSinkReportsExpiredMessages(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	drivers := NewDrivers("")
	sink, err := drivers.Sink(binding(resource.MQTT{Host: listener.Addr().String(), QoS: 1, MaxInflight: 1, TLS: resource.TLS{Disabled: true}}, nil), "t")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(ctx) }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := packets.ReadPacket(conn); err != nil {
		t.Fatal(err)
	}
	if _, err := (&packets.Connack{Properties: &packets.Properties{}}).WriteTo(conn); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	m := &message.Message{Envelope: &message.Envelope{Expires: time.Now()}}
	if err := sink.Send(ctx, m, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("expired: got %v", err)
	}
	if got := endpoint.Counted(sink).Expired; got != 1 {
		t.Errorf("counted %d expired messages, want 1", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// localIdentity is an endpoint that gives out tokens, as a machine in Azure has one.
// Those of the identity "short" have expired.
func localIdentity(t *testing.T, expires time.Time) {
	for _, name := range []string{"AZURE_FEDERATED_TOKEN_FILE", "IMDS_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		until := expires
		if q.Get("client_id") == "short" {
			until = time.Now()
		}
		fmt.Fprintf(w, `{"access_token":"%s of %s","expires_on":"%d","resource":"x","token_type":"Bearer"}`, q.Get("resource"), q.Get("client_id"), until.Unix())
	}))
	t.Cleanup(server.Close)
	t.Setenv("IDENTITY_ENDPOINT", server.URL)
	t.Setenv("IDENTITY_HEADER", "shown")
}

// TestEvents: whose events an endpoint makes, if it makes any.
func TestEvents(t *testing.T) {
	b := binding(resource.MQTT{Host: "b", CloudEvents: resource.CreateEvents}, nil)
	b.Endpoint.Name = "broker"
	config, err := mqttConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	e := config.Events
	first, second := e.NewID(), e.NewID()
	if !e.Create || e.Source != "aio://broker" || first == second {
		t.Errorf("events are made by %+v, with the ids %s and %s", e, first, second)
	}
	b.Endpoint.MQTT.CloudEvents = resource.PropagateEvents
	if config, err = mqttConfig(b); err != nil || config.Events.Create {
		t.Errorf("propagated: %+v, %v", config.Events, err)
	}
}

// TestClientCertificate: the certificate is shown with those between it and an authority.
func TestClientCertificate(t *testing.T) {
	certificate, private := keyPair(t)
	b := binding(resource.MQTT{Host: "b", Authentication: resource.Authentication{Certificate: "device"}}, nil)
	b.Secret = &resource.Secret{
		Meta: resource.Meta{Key: resource.Key{Namespace: "n", Name: "device"}},
		Data: map[string][]byte{
			"client_cert.pem": bytes.TrimSpace(certificate), "client_key.pem": private, "client_intermediate_certs.pem": append(authority(t), authority(t)...),
		},
	}
	config, err := mqttConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	if c := config.TLS.Certificates; len(c) != 1 || len(c[0].Certificate) != 3 {
		t.Errorf("shows %d certificates, want one with two behind it", len(c))
	}
	_, b.Secret.Data["client_key.pem"] = keyPair(t)
	if _, err := mqttConfig(b); err == nil || !strings.Contains(err.Error(), "client_key.pem of Secret n/device: tls: private key does not match") {
		t.Errorf("with another's key: got %v", err)
	}
}

// TestTokens: who a broker is told that we are, and when it is told again.
func TestTokens(t *testing.T) {
	localIdentity(t, time.Now().Add(time.Hour))
	file := filepath.Join(t.TempDir(), "token")
	t.Setenv("AIO_SAT_FILE", file)
	if err := os.WriteFile(file, []byte("account"), 0o600); err != nil {
		t.Fatal(err)
	}
	grid := func(id string) resource.Authentication {
		return resource.Authentication{Identity: &resource.ManagedIdentity{ClientID: id, Scope: "https://eventgrid.azure.net/.default"}}
	}
	for _, tt := range []struct {
		authentication resource.Authentication
		method, token  string
		next           time.Duration // from now on, about
	}{
		{resource.Authentication{ServiceAccount: &resource.ServiceAccount{Audience: "aio-internal"}}, "K8S-SAT", "account", 30 * time.Second},
		{grid(""), "OAUTH2-JWT", "https://eventgrid.azure.net of ", 56 * time.Minute},
		{grid("user"), "OAUTH2-JWT", "https://eventgrid.azure.net of user", 56 * time.Minute},
		{grid("short"), "OAUTH2-JWT", "https://eventgrid.azure.net of short", 30 * time.Second},
	} {
		config, err := mqttConfig(binding(resource.MQTT{Host: "b", Authentication: tt.authentication}, nil))
		if err != nil {
			t.Fatal(err)
		}
		token, next, err := config.Authentication.Token(t.Context())
		if err != nil || string(token) != tt.token || config.Authentication.Method != tt.method {
			t.Errorf("token is %q by %s, %v; want %q by %s", token, config.Authentication.Method, err, tt.token, tt.method)
		}
		if d := time.Until(next) - tt.next; d.Abs() > 20*time.Second {
			t.Errorf("%s: the next token is asked for %v too late", tt.token, d)
		}
	}
	os.Remove(file)
	config, err := mqttConfig(binding(resource.MQTT{Host: "b", Authentication: resource.Authentication{ServiceAccount: &resource.ServiceAccount{}}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Authentication.Token(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: got %v", err)
	}
}

// TestKafkaConfig: what settings are in the driver's words.
func TestKafkaConfig(t *testing.T) {
	certificate, private := keyPair(t)
	secret := &resource.Secret{Data: map[string][]byte{
		"username": []byte("u"), "password": []byte("p"), "client_cert.pem": certificate, "client_key.pem": private,
	}}
	for _, tt := range []struct {
		name     string
		settings resource.Kafka
		want     kafka.Config
	}{
		{"plain", resource.Kafka{Host: "k:9092", Group: "g", TLS: resource.TLS{Disabled: true}, Acks: resource.AcksAll, Compression: resource.Uncompressed,
			Partitioning: resource.DefaultStrategy, CloudEvents: resource.PropagateEvents}, kafka.Config{Group: "g"}},
		{"everything", resource.Kafka{
			Host: "k:9092", TLS: resource.TLS{Disabled: true}, Acks: resource.AcksZero, Compression: resource.Lz4Compression,
			Batching:     resource.Batching{Disabled: true, Latency: time.Second, MaxMessages: 3, MaxBytes: 4},
			Partitioning: resource.PropertyStrategy, PartitionKey: "device", OmitProperties: true, CloudEvents: resource.CreateEvents,
			Authentication: resource.Authentication{SASL: &resource.SASL{Type: resource.SASLScramSHA512}},
		}, kafka.Config{
			Acks: kafka.NoAcks, Compression: kafka.LZ4, Batching: kafka.Batching{Disabled: true, Latency: time.Second, MaxMessages: 3, MaxBytes: 4},
			Partitioning: kafka.PropertyPartition, PartitionProperty: "device", OmitProperties: true, CloudEvents: kafka.CreateOrRemap,
			SASL: kafka.SASL{Mechanism: kafka.ScramSHA512, Username: "u", Password: "p"},
		}},
		{"others", resource.Kafka{
			Host: "k:9092", TLS: resource.TLS{Disabled: true}, Acks: resource.AcksOne, Compression: resource.SnappyCompression, Partitioning: resource.TopicStrategy,
			Authentication: resource.Authentication{SASL: &resource.SASL{Type: resource.SASLPlain}},
		}, kafka.Config{
			Acks: kafka.OneAck, Compression: kafka.Snappy, Partitioning: kafka.TopicPartition,
			SASL: kafka.SASL{Mechanism: kafka.Plain, Username: "u", Password: "p"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			drivers := NewDrivers("node")
			b := deploy.Binding{Client: "graphd-g-n", Endpoint: &resource.DataflowEndpoint{Meta: resource.Meta{Key: resource.Key{Name: "hub"}}, Kafka: &tt.settings}, Secret: secret}
			got, err := drivers.kafkaConfig(b)
			if err != nil {
				t.Fatal(err)
			}
			if id := got.NewID(); id == got.NewID() {
				t.Error("ids repeat")
			}
			got.NewID = nil
			tt.want.Address, tt.want.ClientID, tt.want.Instance, tt.want.EventSource = "k:9092", "graphd-g-n", "graphd-g-n-node", "aio://hub"
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b func(context.Context) (string, error)) bool { return (a == nil) == (b == nil) })); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			if sink, err := drivers.Sink(b, "t"); err != nil || sink.Connected() {
				t.Errorf("sink is %T, %v", sink, err)
			}
		})
	}
	drivers := NewDrivers("")
	b := deploy.Binding{Client: "c", Secret: secret, Endpoint: &resource.DataflowEndpoint{Kafka: &resource.Kafka{
		Host: "k", Authentication: resource.Authentication{Certificate: "device"},
	}}}
	config, err := drivers.kafkaConfig(b)
	if err != nil || len(config.TLS.Certificates) != 1 || config.Instance != "" {
		t.Errorf("with a certificate: %+v, %v", config, err)
	}
	if _, err := drivers.Source(b, []string{"t"}); err == nil || !strings.Contains(err.Error(), "no consumer group") {
		t.Errorf("a source without a group: %v", err)
	}
}

// TestStaticPartition: each instance has a partition of its own, and keeps it.
func TestStaticPartition(t *testing.T) {
	const partitions = 4
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	filled := func() (all []int32) {
		for _, p := range cluster.PartitionInfos("t") {
			for range p.HighWatermark {
				all = append(all, p.Partition)
			}
		}
		return all
	}
	send := func(instance int) {
		t.Helper()
		sink, err := NewDrivers("").Sink(deploy.Binding{
			Client: fmt.Sprintf("graphd-g_%d-d", instance), Group: "graphd-g-d", Instance: instance, Logger: slog.New(slog.DiscardHandler),
			Endpoint: &resource.DataflowEndpoint{Kafka: &resource.Kafka{Host: cluster.ListenAddrs()[0], TLS: resource.TLS{Disabled: true}, Partitioning: resource.StaticStrategy}},
		}, "t")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended, sent := make(chan error, 1), make(chan error, 1)
		go func() { ended <- sink.Run(ctx) }()
		if err := sink.Send(ctx, &message.Message{Payload: []byte("m")}, func(err error) { sent <- err }); err != nil {
			t.Fatal(err)
		}
		err = <-sent
		cancel()
		if err := errors.Join(err, <-ended); err != nil {
			t.Fatal(err)
		}
	}
	for instance := range partitions {
		send(instance)
	}
	if diff := cmp.Diff([]int32{0, 1, 2, 3}, filled()); diff != "" {
		t.Errorf("partitions with a message (-want +got):\n%s", diff)
	}
	for range 3 {
		send(0)
	}
	count := map[int32]int{}
	for _, p := range filled() {
		count[p]++
	}
	if most := slices.Max(slices.Collect(maps.Values(count))); most != 4 {
		t.Errorf("messages by partition are %v, want all of one instance in one", count)
	}
}
