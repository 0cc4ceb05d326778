// SPDX-License-Identifier: Apache-2.0

// Package kafka runs a broker of Apache Kafka, in KRaft mode and alone, for tests
// against a cluster that is not ours. Everything happens on loopback ports of its own
// and in a folder of the test's own.
//
// The script .ci/install-kafka finds the broker, and Java; where it can't, a test fails.
package kafka

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasm-graph/graphd/conformance/services/certificates"
	"github.com/wasm-graph/graphd/conformance/services/programs"
)

// patience is how long a broker has to be there. It is for machines that do much else.
const patience = time.Minute

// Who a broker knows, by PLAIN and by SCRAM. By OAUTHBEARER it takes any token that is
// not signed and has not expired, as Token makes them.
const (
	User     = "device"
	Password = "a secret: 1"
)

// Broker is a running broker. It ends with its test.
type Broker struct {
	Addr string // host:port; it stays as it is over Restart
	// SASLAddr is where clients show who they are, over TLS; PlainAddr without TLS.
	SASLAddr, PlainAddr string
	// TLSAddr is where they need a certificate of the authority's.
	TLSAddr      string
	Certificates certificates.Set

	t       testing.TB
	jars    string
	config  string // path of the configuration
	log     *os.File
	process *exec.Cmd // nil while stopped
}

// Start starts a broker that makes topics, of one partition, when they are first used,
// and waits until it listens. It is called in a folder of the repository.
func Start(t testing.TB) *Broker {
	t.Helper()
	return StartBehind(t, func(addr string) string { return addr })
}

// StartBehind is Start for a broker whose clients at Addr are told to stay with what way
// makes of it: the address of a proxy that it has started.
func StartBehind(t testing.TB, way func(addr string) string) *Broker {
	t.Helper()
	root := filepath.Dir(programs.Run(t, "go", "env", "GOMOD"))
	dir := t.TempDir()
	b := &Broker{
		t: t, Addr: programs.FreeAddress(t), SASLAddr: programs.FreeAddress(t), PlainAddr: programs.FreeAddress(t), TLSAddr: programs.FreeAddress(t),
		Certificates: certificates.Make(t), config: filepath.Join(dir, "server.properties"),
		jars: programs.Run(t, filepath.Join(root, ".ci", "install-kafka")) + "/*",
	}
	text := strings.NewReplacer(
		"ADVERTISED_ADDRESS", way(b.Addr), "BROKER_ADDRESS", b.Addr, "SASL_ADDRESS", b.SASLAddr, "PLAIN_ADDRESS", b.PlainAddr, "TLS_ADDRESS", b.TLSAddr,
		"CONTROLLER_ADDRESS", programs.FreeAddress(t), "FOLDER", dir, "USER", User, "PASSWORD", Password,
	).Replace(properties)
	for name, text := range map[string]string{
		"server.properties": text, "authority.pem": b.Certificates.Authority, "host.pem": b.Certificates.HostKey + b.Certificates.Host,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if b.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Kill()
		if text, err := os.ReadFile(b.log.Name()); t.Failed() && err == nil {
			t.Logf("Kafka said:\n%s", bytes.TrimSpace(text))
		}
		b.log.Close()
	})
	programs.Run(t, "java", "-cp", b.jars, "kafka.tools.StorageTool", "format", "-t", "abcdefghijklmnopqrstuv", "-c", b.config,
		"--add-scram", "SCRAM-SHA-256=[name="+User+",password="+Password+"]", "--add-scram", "SCRAM-SHA-512=[name="+User+",password="+Password+"]")
	b.Restart()
	return b
}

// properties is the configuration.
const properties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@CONTROLLER_ADDRESS
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://BROKER_ADDRESS,SASL://SASL_ADDRESS,PLAIN://PLAIN_ADDRESS,TLS://TLS_ADDRESS,CONTROLLER://CONTROLLER_ADDRESS
advertised.listeners=PLAINTEXT://ADVERTISED_ADDRESS,SASL://SASL_ADDRESS,PLAIN://PLAIN_ADDRESS,TLS://TLS_ADDRESS
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,PLAIN:SASL_PLAINTEXT,TLS:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_USER="PASSWORD";
listener.name.plain.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_USER="PASSWORD";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.plain.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.plain.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.plain.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
ssl.keystore.type=PEM
ssl.keystore.location=FOLDER/host.pem
ssl.truststore.type=PEM
ssl.truststore.location=FOLDER/authority.pem
listener.name.tls.ssl.client.auth=required
log.dirs=FOLDER/data
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
`

// Token returns one for OAUTHBEARER that is good until then.
func Token(expires time.Time) string {
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, User, expires.Add(-time.Hour).Unix(), expires.Unix())
	return encode(`{"alg":"none"}`) + "." + encode(claims) + "."
}

// CreateTopic makes a topic of so many partitions.
func (b *Broker) CreateTopic(name string, partitions int32) {
	b.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	message := kmsg.NewPtrCreateTopicsRequest()
	message.Topics = append(message.Topics, topic)
	if err := kerr.ErrorForCode(request(b, message.RequestWith).Topics[0].ErrorCode); err != nil {
		b.t.Fatalf("create topic %s: %v", name, err)
	}
}

// request asks the broker, which must be running.
func request[T any](b *Broker, ask func(context.Context, kmsg.Requestor) (T, error)) T {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	response, err := ask(ctx, client)
	if err != nil {
		b.t.Fatal("ask Kafka:", err)
	}
	return response
}

// Committed returns the sum of a consumer group's offsets in the partitions of a topic.
func (b *Broker) Committed(group, topic string) int64 {
	b.t.Helper()
	of := kmsg.NewOffsetFetchRequestGroup()
	of.Group = group
	message := kmsg.NewPtrOffsetFetchRequest()
	message.Group, message.Groups = group, append(message.Groups, of)
	var sum int64
	for _, g := range request(b, message.RequestWith).Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if t.Topic == topic {
					sum += max(p.Offset, 0)
				}
			}
		}
	}
	return sum
}

// End returns how many records were ever written to a topic of so many partitions.
func (b *Broker) End(topic string, partitions int32) int64 {
	b.t.Helper()
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for n := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = n, -1 // the end
		of.Partitions = append(of.Partitions, p)
	}
	message := kmsg.NewPtrListOffsetsRequest()
	message.Topics = append(message.Topics, of)
	var sum int64
	for _, t := range request(b, message.RequestWith).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				b.t.Fatalf("offsets of %s: %v", topic, kerr.ErrorForCode(p.ErrorCode))
			}
			sum += p.Offset
		}
	}
	return sum
}

// Process returns the id of the broker's process, which must be running.
func (b *Broker) Process() int { return b.process.Process.Pid }

// Kill ends the broker at once, if it runs.
func (b *Broker) Kill() {
	if b.process == nil {
		return
	}
	if err := b.process.Process.Kill(); err != nil {
		b.t.Errorf("kill Kafka: %v", err)
	}
	_ = b.process.Wait() // it was killed
	b.process = nil
}

// Restart starts the broker, having killed it where it runs, and waits until it
// listens.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Kill()
	// Small and soon there: a test does not run long enough for the better compiler.
	b.process = exec.Command("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", b.jars, "kafka.Kafka", b.config)
	b.process.Stdout, b.process.Stderr = b.log, b.log
	if err := b.process.Start(); err != nil {
		b.process = nil
		b.t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for {
		c, err := net.Dial("tcp", b.Addr)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("Kafka is not there after %v: %v", patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
