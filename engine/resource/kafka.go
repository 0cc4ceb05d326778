// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
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

// defaultKafka is what an endpoint's Kafka settings are where they say nothing.
func defaultKafka() Kafka {
	return Kafka{
		Batching: Batching{Latency: 5 * time.Millisecond, MaxMessages: 100_000, MaxBytes: 1_000_000},
		Acks:     AcksAll, Compression: Uncompressed, Partitioning: DefaultStrategy, CloudEvents: PropagateEvents,
	}
}

// kafka reads the settings of an endpoint of that type.
func (d *decoder) kafka(meta Meta, spec document.Object) *Kafka {
	spec.Optional("hostType").Enum("Eventhub", "CustomKafka", "FabricRT")
	s := spec.Required("kafkaSettings", "").Object("host", "authentication", "consumerGroupId", "batching", "copyMqttProperties",
		"compression", "kafkaAcks", "partitionStrategy", "partitionKeyProperty", "tls", "cloudEventAttributes")
	k := defaultKafka()
	host := s.Required("host", "write host: HOST:PORT")
	k.Host = host.Text()
	for _, address := range strings.Split(k.Host, ",") {
		if err := checkAddress(strings.TrimSpace(address)); err != nil && k.Host != "" {
			host.Errorf("write HOST:PORT, or several with commas between", "%s can't be %q: %v", host.Path(), k.Host, err)
			break
		}
	}
	k.Authentication = d.kafkaAuthentication(meta, s, k.Host)
	k.TLS = d.tls(meta, s, k.Authentication)
	k.Group = s.Optional("consumerGroupId").Text()
	k.Batching = batching(s.Optional("batching"), k.Batching)
	k.OmitProperties = !enabled(s.Optional("copyMqttProperties"), true)
	if c := s.Optional("compression").Enum("None", "Gzip", "Snappy", "Lz4"); c != "" {
		k.Compression = KafkaCompression(c)
	}
	switch a := s.Optional("kafkaAcks").Enum("All", "One", "Zero", "None"); a {
	case "":
	case "None": // as some of the documentation has it
		k.Acks = AcksZero
	default:
		k.Acks = KafkaAcks(a)
	}
	if p := s.Optional("partitionStrategy").Enum("Default", "Static", "Topic", "Property"); p != "" {
		k.Partitioning = PartitionStrategy(p)
	}
	property := s.Optional("partitionKeyProperty")
	k.PartitionKey = property.Text()
	switch {
	case k.Partitioning == PropertyStrategy && k.PartitionKey == "":
		strategy := s.Optional("partitionStrategy")
		strategy.Errorf("write partitionKeyProperty: NAME beside it", "%s is Property, and no property is named", strategy.Path())
	case k.Partitioning != PropertyStrategy && property.Present():
		property.Errorf("write partitionStrategy: Property", "%s has no meaning with another strategy", property.Path())
	}
	if c := s.Optional("cloudEventAttributes").Enum("Propagate", "CreateOrRemap"); c != "" {
		k.CloudEvents = CloudEvents(c)
	}
	return &k
}

// batching reads how many messages are sent together.
func batching(n document.Node, b Batching) Batching {
	o := n.Object("mode", "enabled", "latencyMs", "maxMessages", "maxBytes")
	b.Disabled = !enabled(o.Optional("mode"), true)
	if e := o.Optional("enabled"); e.Present() { // as some of the published templates have it
		if o.Optional("mode").Present() {
			e.Errorf("remove it", "%s says again what mode says", e.Path())
		}
		b.Disabled = !e.Bool()
	}
	if n := o.Optional("latencyMs"); n.Present() {
		b.Latency = time.Duration(n.Int(0, 65535)) * time.Millisecond
	}
	if n := o.Optional("maxMessages"); n.Present() {
		b.MaxMessages = n.Int(1, 1<<31-1)
	}
	if n := o.Optional("maxBytes"); n.Present() {
		b.MaxBytes = n.Int(1, 1<<30)
	}
	return b
}

// kafkaAuthentication reads how Kafka is authenticated to.
func (d *decoder) kafkaAuthentication(meta Meta, settings document.Object, host string) Authentication {
	var result Authentication
	switch a, method := d.authentication(settings, "Anonymous", "Sasl", "X509Certificate",
		"SystemAssignedManagedIdentity", "UserAssignedManagedIdentity"); method {
	case "X509Certificate":
		result.Certificate = d.certificate(meta, a)
	case "Sasl":
		const hint = "write saslSettings: {saslType: Plain, secretRef: NAME}"
		s := a.Required("saslSettings", hint).Object("saslType", "secretRef")
		result.SASL = &SASL{Type: SASLType(s.Required("saslType", hint).Enum("Plain", "ScramSha256", "ScramSha512"))}
		result.SASL.Secret = d.secretWith(meta, s.Required("secretRef", "name a Secret with "+UsernameKey+" and "+PasswordKey+" in this namespace"),
			UsernameKey, PasswordKey)
	case "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity":
		name, _, _ := strings.Cut(host, ",")
		if h, _, err := net.SplitHostPort(name); err == nil {
			name = h
		}
		result.Identity = managedIdentity(a, method, "https://"+name)
	}
	return result
}

// checkAddress checks a HOST[:PORT].
func checkAddress(address string) error {
	if address == "" || strings.Contains(address, "/") {
		return errors.New("not the address of a host")
	}
	if _, _, err := net.SplitHostPort(address); err != nil && strings.Contains(address, ":") {
		return err
	}
	return nil
}

// kafkaSource checks, once all is read, a source whose endpoint is Kafka.
func (d *decoder) kafkaSource(namespace string, s document.Object, source Source) {
	d.later(func() {
		e := d.set.Endpoints[Key{namespace, source.Endpoint}]
		if e == nil || e.Kafka == nil {
			return
		}
		if ref := s.Optional("endpointRef"); e.Kafka.Group == "" {
			ref.Errorf("write kafkaSettings.consumerGroupId there", "the DataflowEndpoint %s has no consumer group, which a source needs", source.Endpoint)
		}
		for _, n := range s.Optional("dataSources").List() {
			if err := checkKafkaTopic(n.Text()); err != nil {
				n.Errorf("", "topic %q: %v", n.Text(), err)
			}
		}
	})
}

// kafkaDestination checks, once all is read, a destination whose endpoint is Kafka.
func (d *decoder) kafkaDestination(namespace string, to document.Node, destination Destination) {
	text := to.Text()
	d.later(func() {
		e := d.set.Endpoints[Key{namespace, destination.Endpoint}]
		if e == nil || e.Kafka == nil || text == "" {
			return
		}
		if err := checkKafkaTopic(text); err != nil {
			to.Errorf("", "topic %q: %v", text, err)
		}
	})
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
