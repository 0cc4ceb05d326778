// SPDX-License-Identifier: Apache-2.0

package wiring

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/wasm-graph/graphd/cmd/internal/identity"
	"github.com/wasm-graph/graphd/engine/cloudevent"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/kafka"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/resource"
)

// Drivers serves endpoints by their types: MQTT and Kafka.
type Drivers struct{ node string }

// NewDrivers returns Drivers of the node with that id, empty for one that will not come
// back.
func NewDrivers(node string) *Drivers { return &Drivers{node} }

// Source implements deploy.Drivers.
func (d *Drivers) Source(b deploy.Binding, filters []string) (endpoint.Source, error) {
	if b.Endpoint.Kafka != nil {
		config, err := d.kafkaConfig(b)
		if err != nil {
			return nil, err
		}
		return kafka.NewSource(config, filters...)
	}
	config, err := mqttConfig(b)
	if err != nil {
		return nil, err
	}
	if b.Sharing != deploy.NeverShared {
		config.Group = strings.NewReplacer("/", "_", "+", "_", "#", "_").Replace(b.Group)
		config.Alone = b.Sharing == deploy.Unshared
	}
	return mqtt.NewSource(config, filters...)
}

// Sink implements deploy.Drivers.
func (d *Drivers) Sink(b deploy.Binding, topic string) (endpoint.Sink, error) {
	if b.Endpoint.Kafka != nil {
		config, err := d.kafkaConfig(b)
		if err != nil {
			return nil, err
		}
		return kafka.NewSink(config, topic)
	}
	config, err := mqttConfig(b)
	if err != nil {
		return nil, err
	}
	return mqtt.NewSink(config, topic)
}

// mqttConfig is an endpoint's settings in the driver's words, where zero means the
// default and a negative duration means none.
func mqttConfig(b deploy.Binding) (mqtt.Config, error) {
	m := b.Endpoint.MQTT
	config := mqtt.Config{
		Address:       m.Host,
		WebSocket:     m.WebSocket,
		ClientID:      b.Client,
		QoS:           mqtt.AtLeastOnce,
		MaxInflight:   m.MaxInflight,
		SessionExpiry: orNone(m.SessionExpiry),
		KeepAlive:     orNone(m.KeepAlive),
		Persistence:   b.Persistence,
		Logger:        b.Logger,
	}
	if m.QoS == 0 {
		config.QoS = mqtt.AtMostOnce
	}
	if m.NeverRetain {
		config.Retain = mqtt.NeverRetain
	}
	if m.CloudEvents == resource.CreateEvents {
		config.Events = cloudevent.Policy{Create: true, Source: eventSource(b), NewID: uuid.NewString}
	}
	if m.Authentication.Password != "" {
		config.Username, config.Password = string(b.Secret.Data[resource.UsernameKey]), b.Secret.Data[resource.PasswordKey]
	}
	var err error
	if config.Authentication, err = tokens(m.Authentication); err != nil {
		return mqtt.Config{}, err
	}
	config.TLS, err = tlsConfig(b)
	return config, err
}

// tlsConfig is how connections to an endpoint are secured; nil where they aren't.
func tlsConfig(b deploy.Binding) (*tls.Config, error) {
	if b.Endpoint.TLS().Disabled {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if b.Endpoint.Authentication().Certificate != "" {
		certificate, err := clientCertificate(b.Secret)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	if b.CA != nil {
		pool, err := certPool(b.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	return config, nil
}

// eventSource is the source of the CloudEvents that are made for an endpoint.
func eventSource(b deploy.Binding) string { return "aio://" + b.Endpoint.Name }

// kafkaConfig is an endpoint's settings in the driver's words.
func (d *Drivers) kafkaConfig(b deploy.Binding) (kafka.Config, error) {
	k := b.Endpoint.Kafka
	config := kafka.Config{
		Address:  k.Host,
		ClientID: b.Client,
		Group:    k.Group,
		Batching: kafka.Batching{
			Disabled: k.Batching.Disabled, Latency: k.Batching.Latency,
			MaxMessages: k.Batching.MaxMessages, MaxBytes: k.Batching.MaxBytes,
		},
		Acks: map[resource.KafkaAcks]kafka.Acks{
			resource.AcksOne: kafka.OneAck, resource.AcksZero: kafka.NoAcks,
		}[k.Acks],
		Compression: map[resource.KafkaCompression]kafka.Compression{
			resource.GzipCompression: kafka.Gzip, resource.SnappyCompression: kafka.Snappy, resource.Lz4Compression: kafka.LZ4,
		}[k.Compression],
		Partitioning: map[resource.PartitionStrategy]kafka.Partitioning{
			resource.StaticStrategy: kafka.StaticPartition, resource.TopicStrategy: kafka.TopicPartition,
			resource.PropertyStrategy: kafka.PropertyPartition,
		}[k.Partitioning],
		StaticPartition:   staticPartition(b),
		PartitionProperty: k.PartitionKey,
		OmitProperties:    k.OmitProperties,
		EventSource:       eventSource(b),
		NewID:             uuid.NewString,
		Logger:            b.Logger,
	}
	if d.node != "" {
		config.Instance = b.Client + "-" + d.node
	}
	if k.CloudEvents == resource.CreateEvents {
		config.CloudEvents = kafka.CreateOrRemap
	}
	switch a := k.Authentication; {
	case a.SASL != nil:
		config.SASL = kafka.SASL{
			Mechanism: map[resource.SASLType]kafka.Mechanism{
				resource.SASLPlain: kafka.Plain, resource.SASLScramSHA256: kafka.ScramSHA256, resource.SASLScramSHA512: kafka.ScramSHA512,
			}[a.SASL.Type],
			Username: string(b.Secret.Data[resource.UsernameKey]),
			Password: string(b.Secret.Data[resource.PasswordKey]),
		}
	case a.Identity != nil:
		id, err := identity.New(identity.Config{ClientID: a.Identity.ClientID, TenantID: a.Identity.TenantID})
		if err != nil {
			return kafka.Config{}, err
		}
		config.SASL.Token = func(ctx context.Context) (string, error) {
			token, _, err := id.Token(ctx, a.Identity.Scope)
			return token, err
		}
	}
	var err error
	config.TLS, err = tlsConfig(b)
	return config, err
}

// staticPartition is, with that strategy, a number that each instance of a node keeps: the
// next one is that of the next instance.
func staticPartition(b deploy.Binding) uint32 {
	if b.Endpoint.Kafka.Partitioning != resource.StaticStrategy {
		return 0
	}
	sum := fnv.New32a()
	sum.Write([]byte(b.Group))
	return sum.Sum32()>>1 + uint32(b.Instance)
}

// How long before a token expires it is replaced, and how often that is tried. The
// identity's cache gives a token back until it has five minutes left.
const (
	renewBefore = 4 * time.Minute
	renewEvery  = 30 * time.Second
)

// tokens is how a broker is shown tokens; nil where it isn't.
func tokens(a resource.Authentication) (*mqtt.Authentication, error) {
	switch {
	case a.ServiceAccount != nil:
		file := identity.ServiceAccountFile()
		return &mqtt.Authentication{Method: mqtt.ServiceAccountToken, Token: func(context.Context) ([]byte, time.Time, error) {
			token, err := file.Token()
			// Kubernetes replaces the file when a fifth of the token's time is left, which
			// is two minutes at least.
			return []byte(token), time.Now().Add(renewEvery), err
		}}, nil
	case a.Identity != nil:
		id, err := identity.New(identity.Config{ClientID: a.Identity.ClientID, TenantID: a.Identity.TenantID})
		if err != nil {
			return nil, err
		}
		return &mqtt.Authentication{Method: mqtt.EntraToken, Token: func(ctx context.Context) ([]byte, time.Time, error) {
			token, expires, err := id.Token(ctx, a.Identity.Scope)
			next := expires.Add(-renewBefore)
			if soonest := time.Now().Add(renewEvery); next.Before(soonest) {
				next = soonest
			}
			return []byte(token), next, err
		}}, nil
	}
	return nil, nil
}

// clientCertificate reads a certificate and its key from a Secret.
func clientCertificate(s *resource.Secret) (tls.Certificate, error) {
	chain := slices.Concat(s.Data[resource.ClientCertificateKey], []byte("\n"), s.Data[resource.ClientIntermediatesKey])
	certificate, err := tls.X509KeyPair(chain, s.Data[resource.ClientPrivateKeyKey])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("wiring: read %s and %s of Secret %s: %w",
			resource.ClientCertificateKey, resource.ClientPrivateKeyKey, s.Key, err)
	}
	return certificate, nil
}

func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// certPool returns the certificates in a ConfigMap, whatever its keys are called.
func certPool(c *resource.ConfigMap) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	for _, text := range c.Data {
		found = pool.AppendCertsFromPEM(text) || found
	}
	if !found {
		return nil, fmt.Errorf("wiring: ConfigMap %s has no certificate in PEM form", c.Key)
	}
	return pool, nil
}
