// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Config describes a client of a Kafka cluster. The zero value of a field is its
// default.
type Config struct {
	// Address is a broker's host:port, or several with commas between; the others are
	// learned from it. Without a port it is 9092, or 9093 with TLS.
	Address string
	// TLS secures the connections. Nil means plain TCP. An empty ServerName is filled
	// with the host of each broker.
	TLS *tls.Config
	// ClientID is what brokers call the client in logs and quotas. Required.
	ClientID string
	// SASL says who the client is. Its zero value is nobody, or the owner of TLS's
	// certificate.
	SASL SASL

	// Group is the consumer group. Sources only, and required for those.
	Group string
	// Instance names the member of the group, the same in each run and different from
	// that of any other: who comes back under its name gets its partitions at once,
	// where the group otherwise waits until the member that died is missed. Sources
	// only. Empty: a new member each time, that others take over from when it ends.
	Instance string

	// Batching says how a sink collects records.
	Batching Batching
	// Acks is what a sink waits for. Default AllAcks.
	Acks Acks
	// Compression is that of a sink's batches. Default none.
	Compression Compression
	// Partitioning says how a sink chooses the partition of a record.
	Partitioning Partitioning
	// StaticPartition, modulo their number, is the partition of all records, with
	// StaticPartition.
	StaticPartition uint32
	// PartitionProperty is the user property whose value is a record's key, with
	// PropertyPartition.
	PartitionProperty string
	// OmitProperties leaves out a record's headers: neither user properties nor what
	// else an MQTT message says of itself are copied. Sinks only.
	OmitProperties bool
	// CloudEvents says what a sink does about their attributes.
	CloudEvents CloudEvents
	// EventSource is the attribute "source" of events that CreateOrRemap makes, and
	// NewID returns their "id", a different one each time. Required for that.
	EventSource string
	NewID       func() string

	// ConnectTimeout bounds one attempt to connect. Default 10 s.
	ConnectTimeout time.Duration
	// MaxBackoff bounds the pause between two attempts, which doubles from 100 ms up to
	// it. Default 5 s.
	MaxBackoff time.Duration
	// CommitInterval is the least time between two commits of a source. Default 100 ms.
	CommitInterval time.Duration
	// DrainTimeout is how long the end may take: a source's last commit, or a sink's
	// outstanding confirmations. Default 5 s.
	DrainTimeout time.Duration

	// Logger takes what happens to the connections. Nil discards it.
	Logger *slog.Logger
}

// SASL is an authentication by the mechanism of that name. At most one of Mechanism and
// Token is set.
type SASL struct {
	Mechanism Mechanism
	Username  string
	Password  string
	// Token returns a token to show, which is the mechanism OAUTHBEARER. It is called for
	// each connection, and again when the broker says that a token has expired.
	Token func(context.Context) (string, error)
}

// Mechanism is how a username and a password are shown.
type Mechanism uint8

// The mechanisms.
const (
	NoMechanism Mechanism = iota
	Plain
	ScramSHA256
	ScramSHA512
)

// Acks is how many replicas must have a record before a sink confirms it.
type Acks uint8

// What a sink may wait for.
const (
	AllAcks Acks = iota // all replicas that are in sync
	OneAck              // the leader: lost where that fails at once
	NoAcks              // none: confirmed when written
)

// Compression is a codec for batches.
type Compression uint8

// The codecs.
const (
	NoCompression Compression = iota
	Gzip
	Snappy
	LZ4
)

// Partitioning is a way to choose the partition of a record.
type Partitioning uint8

// The ways. Records of one key go to one partition, by the hash that Kafka's own clients
// use.
const (
	RoundRobin        Partitioning = iota // one after another, a batch each, without a key
	StaticPartition                       // always the same, without a key
	TopicPartition                        // by the message's topic as the key
	PropertyPartition                     // by a user property as the key; round robin without it
)

// CloudEvents is what is done about the attributes of CloudEvents.
type CloudEvents uint8

// What may be done.
const (
	// Propagate makes headers of the attributes that a message has, if it has all that
	// are required, and otherwise leaves them the properties that they are.
	Propagate CloudEvents = iota
	// CreateOrRemap also adds those that a message lacks.
	CreateOrRemap
)

// Batching says how many records a sink sends at once. A batch is sent when it has been
// open for Latency, or is full.
type Batching struct {
	// Disabled sends each record in a batch of its own and waits for its confirmation
	// before the next.
	Disabled bool
	// Latency is how long a record waits for others. Default 0: no longer than it takes
	// to send those before it.
	Latency time.Duration
	// MaxMessages and MaxBytes bound a batch: fewer records than that are under way at any
	// time. Defaults 100,000 and 1,000,000. A larger record than the larger of MaxBytes
	// and 1,000,000 bytes is refused.
	MaxMessages, MaxBytes int
}

// Window is how many offsets of a partition, from the committed one on, a source
// delivers at most.
const Window = 1 << 16

// The bounds of what a sink has under way, whatever Batching says.
const (
	maxRecords   = 32_768
	maxBytes     = 32 << 20
	usualRecords = 100_000   // Batching.MaxMessages
	usualBytes   = 1_000_000 // Batching.MaxBytes
)

// Validate reports every field that cannot work, joined.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Address == "" {
		fail("address is empty")
	}
	if c.ClientID == "" {
		fail("client id is empty")
	}
	if c.SASL.Mechanism > ScramSHA512 {
		fail("unknown mechanism %d", c.SASL.Mechanism)
	}
	if c.SASL.Mechanism != NoMechanism && c.SASL.Token != nil {
		fail("both a password and tokens to show")
	}
	if c.Acks > NoAcks || c.Compression > LZ4 || c.Partitioning > PropertyPartition || c.CloudEvents > CreateOrRemap {
		fail("unknown acknowledgement %d, compression %d, partitioning %d or treatment of events %d", c.Acks, c.Compression, c.Partitioning, c.CloudEvents)
	}
	if c.Partitioning == PropertyPartition && c.PartitionProperty == "" {
		fail("no property to partition by")
	}
	if c.CloudEvents == CreateOrRemap && (c.NewID == nil || c.EventSource == "") {
		fail("events can't be made without a source and ids")
	}
	if b := c.Batching; b.Latency < 0 || b.MaxMessages < 0 || b.MaxBytes < 0 || b.MaxBytes > 1<<30 {
		fail("batching of %v, %d messages and %d bytes is out of range", b.Latency, b.MaxMessages, b.MaxBytes)
	}
	if c.ConnectTimeout < 0 || c.MaxBackoff < 0 || c.CommitInterval < 0 || c.DrainTimeout < 0 {
		fail("negative duration")
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("kafka: configure client %s: %w", c.ClientID, err)
	}
	return nil
}

// withDefaults returns c with every zero field set.
func (c Config) withDefaults() Config {
	setDefault(&c.Batching.MaxMessages, usualRecords)
	setDefault(&c.Batching.MaxBytes, usualBytes)
	if c.Batching.Disabled {
		c.Batching.Latency, c.Batching.MaxMessages = 0, 1
	}
	setDefault(&c.ConnectTimeout, 10*time.Second)
	setDefault(&c.MaxBackoff, 5*time.Second)
	setDefault(&c.CommitInterval, 100*time.Millisecond)
	setDefault(&c.DrainTimeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// brokers returns the addresses, with ports.
func (c Config) brokers() []string {
	port := "9092"
	if c.TLS != nil {
		port = "9093"
	}
	all := strings.Split(c.Address, ",")
	for i, address := range all {
		address = strings.TrimSpace(address)
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(address, port)
		}
		all[i] = address
	}
	return all
}
