// SPDX-License-Identifier: Apache-2.0

package resource_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/resource"
)

// hub is an endpoint of Kafka, and a Dataflow from it to another.
const hub = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: hub}
spec:
  endpointType: Kafka
  kafkaSettings:
    host: ns.servicebus.windows.net:9093
    authentication: {method: Anonymous}
    consumerGroupId: plant
`

const account = `---
apiVersion: v1
kind: Secret
metadata: {name: account}
stringData: {username: u, password: p}
`

const drain = `---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: drain}
spec:
  profileRef: default
  operations:
  - operationType: Source
    sourceSettings: {endpointRef: hub, dataSources: [telemetry, a.b-c_D]}
  - operationType: Destination
    destinationSettings: {endpointRef: hub, dataDestination: processed}
`

func TestKafka(t *testing.T) {
	defaults := resource.Kafka{
		Host: "ns.servicebus.windows.net:9093", Group: "plant",
		Batching: resource.Batching{Latency: 5 * time.Millisecond, MaxMessages: 100_000, MaxBytes: 1_000_000},
		Acks:     "All", Compression: "None", Partitioning: "Default", CloudEvents: "Propagate",
	}
	changed := func(change func(*resource.Kafka)) resource.Kafka {
		k := defaults
		change(&k)
		return k
	}
	authenticated := func(a resource.Authentication) resource.Kafka {
		return changed(func(k *resource.Kafka) { k.Authentication = a })
	}
	for _, tt := range []struct {
		name, old, new string
		want           resource.Kafka
	}{
		{"defaults", "", "", defaults},
		{"everything", "consumerGroupId: plant", `batching: {mode: enabled, latencyMs: 0, maxMessages: 1, maxBytes: 7}
    copyMqttProperties: disabled
    compression: gzip
    kafkaAcks: one
    partitionStrategy: property
    partitionKeyProperty: device-id
    tls: {mode: disabled}
    cloudEventAttributes: createOrRemap`, resource.Kafka{
			Host: defaults.Host, TLS: resource.TLS{Disabled: true}, OmitProperties: true,
			Batching: resource.Batching{MaxMessages: 1, MaxBytes: 7}, Acks: "One", Compression: "Gzip",
			Partitioning: "Property", PartitionKey: "device-id", CloudEvents: "CreateOrRemap",
		}},
		{"several brokers", "host: ns", "host: a:1, b, ns", changed(func(k *resource.Kafka) { k.Host = "a:1, b, ns.servicebus.windows.net:9093" })},
		{"batching of the templates", "consumerGroupId", "batching: {enabled: false}\n    consumerGroupId", changed(func(k *resource.Kafka) { k.Batching.Disabled = true })},
		{"no acknowledgement", "consumerGroupId", "kafkaAcks: None\n    consumerGroupId", changed(func(k *resource.Kafka) { k.Acks = "Zero" })},
		{"password", "Anonymous", "Sasl, saslSettings: {saslType: scramsha256, secretRef: account}",
			authenticated(resource.Authentication{SASL: &resource.SASL{Type: "ScramSha256", Secret: "account"}})},
		{"system identity", "Anonymous", "SystemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {}",
			authenticated(resource.Authentication{Identity: &resource.ManagedIdentity{Scope: "https://ns.servicebus.windows.net/.default"}})},
		{"user identity", "Anonymous", "UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: c, tenantId: t, scope: s}",
			authenticated(resource.Authentication{Identity: &resource.ManagedIdentity{ClientID: "c", TenantID: "t", Scope: "s"}})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(hub, tt.old, tt.new, 1)
			set, problems := resource.Parse("f.yaml", []byte(text+account))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			e := set.Endpoints[key("hub")]
			if diff := cmp.Diff(&tt.want, e.Kafka); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if tt.want.Authentication.SASL != nil && e.SecretRef() != "account" {
				t.Errorf("the secret is %q", e.SecretRef())
			}
			if e.TLS() != tt.want.TLS {
				t.Errorf("TLS is %+v", e.TLS())
			}
		})
	}
	if _, problems := resource.Parse("f.yaml", []byte(hub+drain)); problems.Err() != nil {
		t.Errorf("a flow: %v", problems.Err())
	}
}

// TestKafkaRefused replaces a part of a good text and says what must come of it.
func TestKafkaRefused(t *testing.T) {
	more := func(text string) string { return text + "\n    consumerGroupId" }
	for _, tt := range []struct{ name, old, new, want string }{
		{"settings missing", hub[strings.Index(hub, "  kafkaSettings"):], "", "spec.kafkaSettings is missing"},
		{"settings of another endpoint", "  kafkaSettings", "  mqttSettings: {}\n  kafkaSettings", "f.yaml:6:17: spec.mqttSettings has no meaning where endpointType is Kafka"},
		{"host of another endpoint", "  kafkaSettings", "  hostType: EventGrid\n  kafkaSettings", `spec.hostType can't be "EventGrid"`},
		{"field misspelt", "consumerGroupId", "consumerGroupID", "f.yaml:9:5: unknown property spec.kafkaSettings.consumerGroupID; did you mean consumerGroupId?"},
		{"field of MQTT", "consumerGroupId", more("qos: 1"), "unknown property spec.kafkaSettings.qos"},
		{"host missing", "    host: ns.servicebus.windows.net:9093\n", "", "spec.kafkaSettings.host is missing; write host: HOST:PORT"},
		{"host with a scheme", "host: ns", "host: https://ns", "f.yaml:7:11: spec.kafkaSettings.host can't be"},
		{"host with a gap", "host: ns", "host: a:1,,ns", "write HOST:PORT, or several with commas between"},
		{"authentication of MQTT", "Anonymous", "ServiceAccountToken", `authentication.method can't be "ServiceAccountToken"`},
		{"password of whom", "Anonymous", "Sasl", "saslSettings is missing; write saslSettings: {saslType: Plain, secretRef: NAME}"},
		{"mechanism unknown", "Anonymous", "Sasl, saslSettings: {saslType: GSSAPI, secretRef: account}", `saslType can't be "GSSAPI"`},
		{"secret missing", "Anonymous", "Sasl, saslSettings: {saslType: Plain, secretRef: acount}", `there is no Secret "acount" in namespace azure-iot-operations; did you mean account?`},
		{"secret without a password", "Anonymous", "Sasl, saslSettings: {saslType: Plain, secretRef: device}", "the Secret device has no username"},
		{"certificate without TLS", "{method: Anonymous}", "{method: X509Certificate, x509CertificateSettings: {secretRef: account}}\n    tls: {mode: Disabled}", "nobody can show a certificate without TLS"},
		{"latency too long", "consumerGroupId", more("batching: {latencyMs: 65536}"), "batching.latencyMs must be from 0 to 65535, not 65536"},
		{"batch of nothing", "consumerGroupId", more("batching: {maxMessages: 0}"), "batching.maxMessages must be from 1"},
		{"bytes of nothing", "consumerGroupId", more("batching: {maxBytes: 0}"), "batching.maxBytes must be from 1"},
		{"latency of storage", "consumerGroupId", more("batching: {latencySeconds: 1}"), "unknown property spec.kafkaSettings.batching.latencySeconds"},
		{"batching twice", "consumerGroupId", more("batching: {mode: Enabled, enabled: true}"), "batching.enabled says again what mode says"},
		{"batching neither", "consumerGroupId", more("batching: {mode: On}"), `batching.mode can't be "On"`},
		{"copying neither", "consumerGroupId", more("copyMqttProperties: Some"), `copyMqttProperties can't be "Some"`},
		{"codec unknown", "consumerGroupId", more("compression: Zstd"), `compression can't be "Zstd"`},
		{"acknowledgement unknown", "consumerGroupId", more("kafkaAcks: Two"), `kafkaAcks can't be "Two"`},
		{"strategy unknown", "consumerGroupId", more("partitionStrategy: Random"), `partitionStrategy can't be "Random"`},
		{"strategy without its property", "consumerGroupId", more("partitionStrategy: Property"), "no property is named; write partitionKeyProperty: NAME beside it"},
		{"property without its strategy", "consumerGroupId", more("partitionKeyProperty: x"), "write partitionStrategy: Property"},
		{"events neither", "consumerGroupId", more("cloudEventAttributes: Create"), `cloudEventAttributes can't be "Create"`},
		{"source without a group", "    consumerGroupId: plant\n", "", "the DataflowEndpoint hub has no consumer group, which a source needs; write kafkaSettings.consumerGroupId there"},
		{"topic with a wildcard", "[telemetry", "[telemetry/#", `topic "telemetry/#": topics of Kafka are named by`},
		{"destination with levels", "dataDestination: processed", "dataDestination: a/b", `topic "a/b": topics of Kafka are named by`},
		{"destination of the message", "dataDestination: processed", `dataDestination: "${inputTopic}"`, "topics of Kafka are static"},
		{"destination that is the source", "dataDestination: processed", "dataDestination: telemetry", "the graph would read what it writes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := hub + account + drain + "---\n" + device
			text := strings.Replace(base, tt.old, tt.new, 1)
			if !strings.Contains(base, tt.old) {
				t.Fatalf("%q is not in the text", tt.old)
			}
			_, problems := resource.Parse("f.yaml", []byte(text))
			if err := problems.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwhich lacks\n%s", err, tt.want)
			}
		})
	}
}
