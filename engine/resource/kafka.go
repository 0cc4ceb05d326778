// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"net"
	"slices"
	"strings"
	"time"
)

// Kafka is how Apache Kafka, or what speaks its protocol, is reached, and what is asked
// of it. All but Host, TLS, Authentication and Group is for destinations.
type Kafka struct {
	Host           string // host:port of a broker, or several with commas between
	TLS            TLS
	Authentication Authentication
	Group          string // consumer group; sources need one
	Batching       Batching
	Acks           KafkaAcks
	Compression    KafkaCompression
	Partitioning   PartitionStrategy
	PartitionKey   string // the user property to partition by, with PropertyStrategy
	OmitProperties bool   // leave out what MQTT messages have beside their payload
	CloudEvents    CloudEvents
}

// Batching says how many messages are sent together: until one of the limits is reached.
type Batching struct {
	Disabled    bool // each is sent alone
	Latency     time.Duration
	MaxMessages int
	MaxBytes    int
}

// KafkaAcks is which brokers must have a message before it is delivered.
type KafkaAcks string

// The ways to acknowledge.
const (
	AcksAll  KafkaAcks = "All"  // all replicas that are in sync
	AcksOne  KafkaAcks = "One"  // the partition's leader
	AcksZero KafkaAcks = "Zero" // none
)

// KafkaCompression is a codec.
type KafkaCompression string

// The codecs.
const (
	Uncompressed      KafkaCompression = "None"
	GzipCompression   KafkaCompression = "Gzip"
	SnappyCompression KafkaCompression = "Snappy"
	Lz4Compression    KafkaCompression = "Lz4"
)

// PartitionStrategy is how a message's partition is chosen.
type PartitionStrategy string

// The strategies.
const (
	DefaultStrategy  PartitionStrategy = "Default"  // one after another
	StaticStrategy   PartitionStrategy = "Static"   // always the same
	TopicStrategy    PartitionStrategy = "Topic"    // by the message's topic
	PropertyStrategy PartitionStrategy = "Property" // by a user property
)

// CloudEvents is what is done about the attributes of CloudEvents.
type CloudEvents string

// What may be done.
const (
	PropagateEvents CloudEvents = "Propagate"     // those that a message has go on
	CreateEvents    CloudEvents = "CreateOrRemap" // those that it lacks are made
)

// SASL is an authentication by a name and a password.
type SASL struct {
	Type   SASLType
	Secret string // names the Secret with both: username and password
}

// SASLType is the mechanism.
type SASLType string

// The mechanisms.
const (
	SASLPlain       SASLType = "Plain"
	SASLScramSHA256 SASLType = "ScramSha256"
	SASLScramSHA512 SASLType = "ScramSha512"
)

// The keys of a Secret with a name and a password.
const (
	UsernameKey = "username"
	PasswordKey = "password"
)

// kafka reads the settings of an endpoint of that type.
func (d *decoder) kafka(meta Meta, spec value) *Kafka {
	s := spec.at("kafkaSettings")
	k := &Kafka{
		Group:          s.at("consumerGroupId").text,
		Batching:       batching(s.at("batching")),
		OmitProperties: s.at("copyMqttProperties").is("Disabled"),
		Compression:    KafkaCompression(s.at("compression").text),
		Acks:           KafkaAcks(s.at("kafkaAcks").text),
		Partitioning:   PartitionStrategy(s.at("partitionStrategy").text),
		CloudEvents:    CloudEvents(s.at("cloudEventAttributes").text),
	}
	host, beside := s.at("host"), spec.at("host") // the latter is in some of the published templates
	switch {
	case host.Present():
		beside.Errorf("remove it", "%s says again what kafkaSettings.host says", beside.Path())
	case beside.Present():
		host = beside
	default:
		s.Errorf(host.field.Hint, "property %s.host is missing", s.Path())
	}
	k.Host = host.text
	for _, address := range strings.Split(k.Host, ",") {
		if host.ok && !checkHost(host, strings.TrimSpace(address), "write HOST:PORT, or several with commas between") {
			break
		}
	}
	name, _, _ := strings.Cut(k.Host, ",")
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	k.Authentication = d.authentication(meta, s, "https://"+name)
	k.TLS = d.tls(meta, s)
	strategy, property := s.at("partitionStrategy"), s.at("partitionKeyProperty")
	k.PartitionKey = property.text
	switch {
	case strategy.Present() && !strategy.ok:
	case k.Partitioning == PropertyStrategy && k.PartitionKey == "":
		strategy.Errorf("write partitionKeyProperty: NAME beside it", "%s is Property, and no property is named", strategy.Path())
	case k.Partitioning != PropertyStrategy && property.Present():
		property.Errorf("write partitionStrategy: Property", "%s has no meaning with another strategy", property.Path())
	}
	return k
}

// batching reads how many messages are sent together.
func batching(v value) Batching {
	mode, enabled := v.at("mode"), v.at("enabled")
	b := Batching{
		Disabled:    mode.is("Disabled") || enabled.Present() && !enabled.flag,
		Latency:     time.Duration(v.at("latencyMs").number) * time.Millisecond,
		MaxMessages: v.at("maxMessages").number,
		MaxBytes:    v.at("maxBytes").number,
	}
	if mode.Present() { // enabled is in some of the published templates
		enabled.Errorf("remove it", "%s says again what mode says", enabled.Path())
	}
	return b
}

// checkKafkaTopic checks the name of a topic of Kafka.
func checkKafkaTopic(name string) error {
	other := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
	}
	switch {
	case strings.Contains(name, "${"):
		return errors.New("topics of Kafka are static")
	case slices.Contains([]string{"", ".", ".."}, name), len(name) > 249, strings.ContainsFunc(name, other):
		return errors.New("topics of Kafka are named by at most 249 letters, digits, '.', '_' and '-'")
	}
	return nil
}
