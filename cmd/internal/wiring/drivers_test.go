// SPDX-License-Identifier: Apache-2.0

package wiring

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/resource"
)

// authority returns a certificate, PEM.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
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
		{"everything on", resource.MQTT{Host: "b:1883", KeepAlive: time.Second, SessionExpiry: time.Hour, MaxInflight: 7, QoS: 1, TLS: resource.TLS{Disabled: true}},
			mqtt.Config{Address: "b:1883", ClientID: "graphd-g-n", KeepAlive: time.Second, SessionExpiry: time.Hour, MaxInflight: 7}},
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
		drivers, err := NewDrivers(noop.Meter{})
		if err != nil {
			t.Fatal(err)
		}
		if err := make(drivers); err == nil || !strings.Contains(err.Error(), "ConfigMap n/ca has no certificate") {
			t.Errorf("%s: error is %v", what, err)
		}
	}
}

// TestSourceReportsItsLosses looks at the metric while a source runs, and after.
func TestSourceReportsItsLosses(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	drivers, err := NewDrivers(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := drivers.Source(binding(resource.MQTT{Host: "127.0.0.1:1", TLS: resource.TLS{Disabled: true}}, nil), []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	measured := func() int {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		points := 0
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				points += len(m.Data.(metricdata.Sum[int64]).DataPoints)
			}
		}
		return points
	}
	if got := measured(); got != 0 {
		t.Errorf("%d measurements before it runs", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	flush := make(chan struct{})
	close(flush)
	ended := make(chan error)
	go func() { ended <- source.Run(ctx, func(endpoint.Delivery) {}, flush) }()
	for measured() == 0 {
		select {
		case err := <-ended:
			t.Fatalf("the source ended: %v", err)
		default:
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := measured(); got != 0 {
		t.Errorf("%d measurements after it ran", got)
	}
}
