// SPDX-License-Identifier: Apache-2.0

package resource_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
)

// simple is a graph that needs nothing else; its parts are replaced by tests.
const simple = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata:
  name: temperature
spec:
  nodes:
    - name: sensors
      nodeType: Source
      sourceSettings:
        endpointRef: default
        dataSources: [sensor/+/raw]
    - name: convert
      nodeType: Graph
      graphSettings:
        registryEndpointRef: default
        artifact: graph-simple:1.0.0
    - name: out
      nodeType: Destination
      destinationSettings:
        endpointRef: default
        dataDestination: sensor/processed
  nodeConnections:
    - from: {name: sensors}
      to: {name: convert}
    - from: {name: convert}
      to: {name: out}
`

const broker = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: broker
spec:
  endpointType: Mqtt
  mqttSettings:
    authentication: {method: Anonymous}
`

// device is a Secret with a certificate, as far as anybody reads it.
const device = `apiVersion: v1
kind: Secret
metadata: {name: device}
stringData: {client_cert.pem: PEM}
`

// ignorePlaces compares objects without the places they were read from.
var ignorePlaces = cmpopts.IgnoreTypes(document.Position{})

func key(name string) resource.Key {
	return resource.Key{Namespace: resource.DefaultNamespace, Name: name}
}

// connections joins nodes, in pairs.
func connections(nodes ...string) []resource.Connection {
	var all []resource.Connection
	for i := 0; i < len(nodes); i += 2 {
		all = append(all, resource.Connection{From: resource.Port{Node: nodes[i]}, To: resource.Port{Node: nodes[i+1]}})
	}
	return all
}

// parse reads what must be good.
func parse(t *testing.T, text string) *resource.Set {
	t.Helper()
	set, problems := resource.Parse("f.yaml", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestGraphAndImpliedObjects(t *testing.T) {
	got := parse(t, simple)
	implied := resource.Meta{Key: key("default")}
	want := &resource.Set{
		Graphs: map[resource.Key]*resource.DataflowGraph{key("temperature"): {
			Meta:         resource.Meta{Key: key("temperature"), File: "f.yaml", Dir: "."},
			Profile:      "default",
			Sources:      []resource.Source{{Name: "sensors", Endpoint: "default", Topics: []string{"sensor/+/raw"}}},
			Graphs:       []resource.Graph{{Name: "convert", Registry: "default", Artifact: "graph-simple:1.0.0"}},
			Destinations: []resource.Destination{{Name: "out", Endpoint: "default", Topic: "sensor/processed"}},
			Connections:  connections("sensors", "convert", "convert", "out"),
		}},
		Endpoints: map[resource.Key]*resource.DataflowEndpoint{key("default"): {Meta: implied, MQTT: resource.MQTT{
			Host: "aio-broker:18883", KeepAlive: time.Minute, SessionExpiry: 10 * time.Minute, MaxInflight: 100, QoS: 1, CloudEvents: resource.PropagateEvents,
			Authentication: resource.Authentication{ServiceAccount: &resource.ServiceAccount{Audience: "aio-internal"}},
		}}},
		Registries: map[resource.Key]*resource.RegistryEndpoint{key("default"): {Meta: implied, Host: "mcr.microsoft.com"}},
		Profiles:   map[resource.Key]*resource.DataflowProfile{key("default"): {Meta: implied, InstanceCount: 1, LogLevel: "info"}},
	}
	if diff := cmp.Diff(want, got, ignorePlaces, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestEverythingThatIsBuilt(t *testing.T) {
	text := `
apiVersion: connectivity.iotoperations.azure.com/v1beta1
kind: DataflowEndpoint
metadata: {name: broker, namespace: plant, labels: {x: y}, uid: 1-2, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  endpointType: mqtt
  hostType: customMqtt
  mqttSettings:
    host: localhost:1883
    authentication: {method: anonymous, anonymousSettings: {}}
    clientIdPrefix: plant
    protocol: mqtt
    keepAliveSeconds: 0
    retain: NEVER
    maxInflightMessages: 7
    qos: 0
    sessionExpirySeconds: 0
    tls: {mode: enabled, trustedCaCertificateConfigMapRef: ca}
    cloudEventAttributes: createOrRemap
status: {healthState: {status: Available}}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: RegistryEndpoint
metadata: {name: local, namespace: plant}
spec: {host: "file://artifacts"}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowProfile
metadata: {name: profile, namespace: plant}
spec:
  instanceCount: 1
  diagnostics: {logs: {level: debug}, metrics: {prometheusPort: 9600}}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: ca, namespace: plant}
  data: {ca.crt: PEM}
  binaryData: {bin: AQI=}
- apiVersion: v1
  kind: Secret
  metadata: {name: secret, namespace: plant}
  type: Opaque
  data: {a: cGxhaW4=}
  stringData: {b: text}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata:
  name: graph
  namespace: plant
  annotations:
    graphd.io/deadline: 250ms
    graphd.io/memory: 64Mi
    graphd.io/operation.module-temperature.map.deadline: 2s
    other.io/whatever: is none of our business
spec:
  profileRef: profile
  mode: disabled
  nodes:
  - {name: s, nodeType: source, sourceSettings: {endpointRef: broker, dataSources: [a/#, "$share/g/b/+"]}}
  - name: g
    nodeType: graph
    graphSettings: {registryEndpointRef: local, artifact: simple:1.0.0, configuration: [{key: k, value: v}, {key: empty, value: ""}]}
  - {name: d, nodeType: destination, destinationSettings: {endpointRef: broker, dataDestination: "${outputTopic}"}}
  nodeConnections:
  - {from: {name: s, schema: {serializationFormat: json}}, to: {name: g}}
  - {from: {name: g}, to: {name: d}}
`
	set := parse(t, text)
	plant := func(name string) resource.Meta {
		return resource.Meta{Key: resource.Key{Namespace: "plant", Name: name}, File: "f.yaml", Dir: "."}
	}
	for _, tt := range []struct{ got, want any }{
		{set.Endpoints[plant("broker").Key], &resource.DataflowEndpoint{Meta: plant("broker"), MQTT: resource.MQTT{
			Host: "localhost:1883", ClientIDPrefix: "plant", MaxInflight: 7, NeverRetain: true, TLS: resource.TLS{TrustedCA: "ca"}, CloudEvents: resource.CreateEvents,
		}}},
		{set.Registries[plant("local").Key], &resource.RegistryEndpoint{Meta: plant("local"), Host: "file://artifacts"}},
		{set.Profiles[plant("profile").Key], &resource.DataflowProfile{Meta: plant("profile"), InstanceCount: 1, LogLevel: "debug"}},
		{set.ConfigMaps[plant("ca").Key], &resource.ConfigMap{Meta: plant("ca"), Data: map[string][]byte{"ca.crt": []byte("PEM"), "bin": {1, 2}}}},
		{set.Secrets[plant("secret").Key], &resource.Secret{Meta: plant("secret"), Data: map[string][]byte{"a": []byte("plain"), "b": []byte("text")}}},
		{set.Graphs[plant("graph").Key], &resource.DataflowGraph{
			Meta: plant("graph"), Profile: "profile", Disabled: true,
			Options: []resource.Option{
				{Name: "deadline", Value: "250ms"},
				{Name: "memory", Value: "64Mi"},
				{Name: "operation.module-temperature.map.deadline", Value: "2s"},
			},
			Sources: []resource.Source{{Name: "s", Endpoint: "broker", Topics: []string{"a/#", "$share/g/b/+"}}},
			Graphs: []resource.Graph{{Name: "g", Registry: "local", Artifact: "simple:1.0.0",
				Configuration: []resource.Parameter{{Key: "k", Value: "v"}, {Key: "empty"}}}},
			Destinations: []resource.Destination{{Name: "d", Endpoint: "broker"}},
			Connections:  connections("s", "g", "g", "d"),
		}},
		{set.GraphKeys(), []resource.Key{plant("graph").Key}},
	} {
		if diff := cmp.Diff(tt.want, tt.got, ignorePlaces); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

func TestImpliedBrokerTrustsTheClusterAuthority(t *testing.T) {
	set := parse(t, simple+`---
apiVersion: v1
kind: ConfigMap
metadata: {name: azure-iot-operations-aio-ca-trust-bundle}
data: {ca.crt: PEM}
`)
	if got, want := set.Endpoints[key("default")].MQTT.TLS.TrustedCA, "azure-iot-operations-aio-ca-trust-bundle"; got != want {
		t.Errorf("trusted authority is %q, want %q", got, want)
	}
}

// several is two sources, two graphs one behind the other, and two destinations.
const several = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata: {name: several}
spec:
  nodes:
  - {name: s1, nodeType: Source, sourceSettings: {endpointRef: default, dataSources: [in/1]}}
  - {name: s2, nodeType: Source, sourceSettings: {endpointRef: default, dataSources: [in/2]}}
  - {name: g1, nodeType: Graph, graphSettings: {registryEndpointRef: default, artifact: "a:1"}}
  - {name: g2, nodeType: Graph, graphSettings: {registryEndpointRef: default, artifact: "b:1"}}
  - {name: d1, nodeType: Destination, destinationSettings: {endpointRef: default, dataDestination: out/1}}
  - name: d2
    nodeType: Destination
    destinationSettings:
      endpointRef: default
      dataDestination: in/2
      headers:
      - {actionType: addIfNotPresent, key: site, value: plant 1}
      - {actionType: Remove, key: secret}
  nodeConnections:
  - {from: {name: s1}, to: {name: g1.left}}
  - {from: {name: s1}, to: {name: g1.right}}
  - {from: {name: g1.output.true}, to: {name: g2}}
  - {from: {name: g1.output.false}, to: {name: d2}}
  - {from: {name: g2}, to: {name: d1}}
  - {from: {name: s2}, to: {name: d1}}
`

func TestSeveralNodes(t *testing.T) {
	g := parse(t, several).Graphs[key("several")]
	var got []string
	for _, c := range g.Connections {
		got = append(got, c.From.String()+" -> "+c.To.String())
	}
	want := []string{"s1 -> g1.left", "s1 -> g1.right", "g1.output.true -> g2", "g1.output.false -> d2", "g2 -> d1", "s2 -> d1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
	if p := g.Connections[2].From; p.Node != "g1" || p.Operation != "output.true" {
		t.Errorf("port is %#v", p)
	}
	wantHeaders := []resource.HeaderAction{
		{Action: resource.AddHeader, Key: "site", Value: "plant 1"},
		{Action: resource.RemoveHeader, Key: "secret"},
	}
	if diff := cmp.Diff(wantHeaders, g.Destinations[1].Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

// TestSeveralNodesRefused: what is wrong between nodes. That d2 writes what s2 reads
// is no fault, as nothing leads from s2 there.
func TestSeveralNodesRefused(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"cycle", "- {from: {name: g2}, to: {name: d1}}", "- {from: {name: g2}, to: {name: d1}}\n  - {from: {name: g2.more}, to: {name: g1.left}}",
			"f.yaml:25:19: the connections form a cycle: g1 -> g2 -> g1; remove one of the connections"},
		{"loop over the broker", "{from: {name: s2}, to: {name: d1}}", "{from: {name: s2}, to: {name: d2}}", `matches the topic "in/2" of its destination`},
		{"graph that leads nowhere", "  - {from: {name: g2}, to: {name: d1}}\n", "", `f.yaml:9:5: nothing leads away from the node "g2"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(several, tt.old) {
				t.Fatal("the text has changed")
			}
			_, problems := resource.Parse("f.yaml", []byte(strings.Replace(several, tt.old, tt.new, 1)))
			if err := problems.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestRefused replaces a part of a good text and says what must come of it.
func TestRefused(t *testing.T) {
	for _, tt := range []struct{ name, base, old, new, want string }{
		{"field misspelt", simple, "endpointRef: default\n        dataS", "endpontRef: default\n        dataS",
			"f.yaml:10:9: unknown property spec.nodes[0].sourceSettings.endpontRef; did you mean endpointRef?"},
		{"field of another kind", simple, "spec:", "data: {}\nspec:", "f.yaml:5:1: unknown property data"},
		{"kind misspelt", simple, "DataflowGraph", "DataFlowGrap", "f.yaml:2:7: unknown kind \"DataFlowGrap\"; did you mean DataflowGraph?"},
		{"kind of another spec", simple, "DataflowGraph", "Dataflow", "unknown property spec.nodes; did you mean mode?"},
		{"no kind", simple, "kind: DataflowGraph\n", "", "property kind is missing"},
		{"not an object", "- a", "", "", "f.yaml:1:1: the document must be an object"},
		{"API of another group", simple, "connectivity.iotoperations.azure.com/v1", "apps/v1", "f.yaml:1:13: DataflowGraph is not of \"apps/v1\"; write connectivity.iotoperations.azure.com/v1"},
		{"no name", simple, "  name: temperature\n", "  labels: {}\n", "metadata.name is missing"},
		{"name in capitals", simple, "name: temperature", "name: Temperature", `metadata.name can't be "Temperature"`},
		{"declared twice", simple + "---\n" + simple, "", "", "DataflowGraph temperature is already declared in f.yaml:1:1"},
		{"no spec", simple, "spec:", "status:", "property spec is missing"},
		{"mode", simple, "spec:", "spec:\n  mode: On", `spec.mode can't be "On"; write one of Enabled, Disabled`},
		{"file stores", simple, "spec:", "spec:\n  fileStores: []", "spec.fileStores is not supported yet"},
		{"node type", simple, "nodeType: Graph", "nodeType: Transform", `spec.nodes[1].nodeType can't be "Transform"`},
		{"settings of another type", simple, "nodeType: Graph", "nodeType: Graph\n      sourceSettings: {}", "spec.nodes[1].sourceSettings has no meaning where nodeType is Graph"},
		{"node name", simple, "- name: out", "- name: o.ut", `spec.nodes[2].name can't be "o.ut"`},
		{"two nodes of a name", simple, "- name: out", "- name: convert", `there are two nodes "convert"`},
		{"no source", simple, "nodeType: Source\n      sourceSettings:", "nodeType: Graph\n      graphSettings:", "the graph has no source"},
		{"no topics", simple, "[sensor/+/raw]", "[]", "spec.nodes[0].sourceSettings.dataSources has none"},
		{"empty topic", simple, "[sensor/+/raw]", "['']", "dataSources[0] is empty; write a topic, or take it out"},
		{"wildcard in a level", simple, "[sensor/+/raw]", "[sensor/x+/raw]", "'+' stands alone"},
		{"wildcard not last", simple, "[sensor/+/raw]", "['sensor/#/raw']", "'#' stands alone and last"},
		{"shared and empty", simple, "[sensor/+/raw]", "['$share/g']", `topic filter "$share/g": it is empty`},
		{"topics overlap, shared", simple, "[sensor/+/raw]", "['$shared/g/sensor/#']", `matches the topic "sensor/processed"`},
		{"wildcard to publish to", simple, "sensor/processed", "sensor/+/processed", "nobody can publish to a wildcard"},
		{"template", simple, "sensor/processed", "a/${inputTopic.2}", `there is no ${inputTopic} here; write ${outputTopic}`},
		{"topics overlap", simple, "sensor/processed", "sensor/x/raw", `its source's filter "sensor/+/raw" matches the topic "sensor/x/raw"`},
		{"header action", simple, "dataDestination:", "headers: [{actionType: Add, key: k, value: v}]\n        dataDestination:", `headers[0].actionType can't be "Add"; write one of AddIfNotPresent, Remove, AddOrReplace`},
		{"header without key", simple, "dataDestination:", "headers: [{actionType: Remove}]\n        dataDestination:", "headers[0].key is missing; write the name of a header"},
		{"header with an empty key", simple, "dataDestination:", "headers: [{actionType: Remove, key: ''}]\n        dataDestination:", "headers[0].key is empty"},
		{"header without value", simple, "dataDestination:", "headers: [{actionType: AddOrReplace, key: k}]\n        dataDestination:", "headers[0] has no value; add value:"},
		{"header removed with a value", simple, "dataDestination:", "headers: [{actionType: Remove, key: k, value: v}]\n        dataDestination:", "headers[0].value has no meaning where a header is removed"},
		{"configuration key", simple, "artifact:", "configuration: [{key: a b, value: x}]\n        artifact:", `configuration[0].key can't be "a b"`},
		{"configuration twice", simple, "artifact:", "configuration: [{key: a, value: x}, {key: a, value: y}]\n        artifact:", `two values for "a"`},
		{"configuration without value", simple, "artifact:", "configuration: [{key: a}]\n        artifact:", "configuration[0] has no value"},
		{"configuration of numbers", simple, "artifact:", "configuration: [{key: a, value: 1.5}]\n        artifact:", `write "1.5", with the quotes`},
		{"connection to nowhere", simple, "to: {name: out}", "to: {name: outt}", `f.yaml:26:18: there is no node "outt"; did you mean out?`},
		{"operation of a source", simple, "from: {name: sensors}", "from: {name: sensors.out}", `f.yaml:23:20: the source "sensors" has no operations: only a Graph has; write sensors`},
		{"operation of an unknown node", simple, "from: {name: convert}", "from: {name: convrt.out}", `there is no node "convrt"; did you mean convert?`},
		{"connection twice", simple, "    - from: {name: convert}\n", "    - {from: {name: sensors}, to: {name: convert}}\n    - from: {name: convert}\n", "f.yaml:25:21: the connection from sensors to convert is already made at line 23; remove one"},
		{"connection to itself", simple, "to: {name: out}", "to: {name: convert.again}", "f.yaml:25:20: the connections form a cycle: convert -> convert; remove one of the connections"},
		{"connection backwards", simple, "to: {name: out}", "to: {name: sensors}", `nothing leads to the source "sensors"`},
		{"connection from the end", simple, "from: {name: convert}", "from: {name: out}", `nothing leads away from the destination "out"`},
		{"connection missing", simple, "    - from: {name: convert}\n      to: {name: out}\n", "", `nothing leads to the node "out"; add it to nodeConnections`},
		{"format not built", simple, "from: {name: sensors}", "from: {name: sensors, schema: {serializationFormat: Avro}}", "serializationFormat can't be Avro: that is not supported yet"},
		{"endpoint missing", simple, "endpointRef: default\n        dataS", "endpointRef: broke\n        dataS", `there is no DataflowEndpoint "broke" in namespace azure-iot-operations; write default`},
		{"registry missing", simple, "registryEndpointRef: default", "registryEndpointRef: defualt", `there is no RegistryEndpoint "defualt" in namespace azure-iot-operations; did you mean default?`},
		{"profile missing", simple, "spec:", "spec:\n  profileRef: p", `there is no DataflowProfile "p"`},
		{"annotation that is no text", simple, "metadata:", "metadata:\n  annotations: {graphd.io/deadline: 1}", `metadata.annotations.graphd.io/deadline must be a string, not the number 1`},
		{"annotation elsewhere", broker, "metadata:", "metadata:\n  annotations: {graphd.io/deadline: 1s}", "annotation graphd.io/deadline has no meaning on a DataflowEndpoint"},

		{"endpoint type not built", broker, "Mqtt", "OpenTelemetry", "spec.endpointType can't be OpenTelemetry: that is not supported yet; write Mqtt or Kafka"},
		{"endpoint type unknown", broker, "Mqtt", "Amqp", `spec.endpointType can't be "Amqp"`},
		{"settings of another endpoint", broker, "  mqttSettings", "  kafkaSettings: {}\n  mqttSettings", "spec.kafkaSettings has no meaning where endpointType is Mqtt"},
		{"host with a scheme", broker, "authentication", "host: mqtt://x:1883\n    authentication", "write HOST:PORT"},
		{"host with many colons", broker, "authentication", "host: a:b:1883\n    authentication", "write HOST:PORT"},
		{"authentication missing", broker, "authentication: {method: Anonymous}", "qos: 1", "spec.mqttSettings.authentication is missing"},
		{"authentication of another endpoint", broker, "Anonymous", "accessToken", `spec.mqttSettings.authentication.method can't be "accessToken"; write one of Anonymous, ServiceAccountToken`},
		{"authentication unknown", broker, "Anonymous", "X509", `authentication.method can't be "X509"`},
		{"credentials that aren't there", broker, "name: broker", "name: broker\n  annotations: {graphd.io/credentials: user}", `f.yaml:5:40: there is no Secret "user"`},
		{"credentials without a password", broker + "---\n" + device, "name: broker", "name: broker\n  annotations: {graphd.io/credentials: device}", "the Secret device has no username and no password"},
		{"credentials beside a token", strings.Replace(broker, "Anonymous", "ServiceAccountToken", 1), "name: broker", "name: broker\n  annotations: {graphd.io/credentials: device}",
			"f.yaml:5:17: annotation graphd.io/credentials has no meaning where the endpoint authenticates otherwise; take it out, or write method: Anonymous"},
		{"certificate of whom", broker, "Anonymous", "X509Certificate", "spec.mqttSettings.authentication.x509CertificateSettings is missing; write x509CertificateSettings: {secretRef: NAME}"},
		{"certificate that isn't there", broker, "Anonymous", "X509Certificate, x509CertificateSettings: {secretRef: device}", `f.yaml:8:84: there is no Secret "device"`},
		{"certificate without its key", broker + "---\n" + device, "Anonymous", "X509Certificate, x509CertificateSettings: {secretRef: device}", `f.yaml:8:84: the Secret device has no client_key.pem`},
		{"certificate without TLS", broker, "authentication: {method: Anonymous}", "tls: {mode: Disabled}\n    authentication: {method: X509Certificate, x509CertificateSettings: {secretRef: device}}",
			"f.yaml:8:17: spec.mqttSettings.tls.mode is Disabled, and nobody can show a certificate without TLS; write Enabled"},
		{"token settings misspelt", broker, "Anonymous", "ServiceAccountToken, serviceAccountTokenSettings: {audiense: a}", "did you mean audience?"},
		{"identity without a tenant", broker, "Anonymous", "UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: a}", "userAssignedManagedIdentitySettings.tenantId is missing"},
		{"qos", broker, "authentication", "qos: 2\n    authentication", "spec.mqttSettings.qos must be from 0 to 1, not 2"},
		{"qos as text", broker, "authentication", "qos: '1'\n    authentication", "spec.mqttSettings.qos must be a whole number"},
		{"no window", broker, "authentication", "maxInflightMessages: 0\n    authentication", "must be from 1 to 65535"},
		{"path without web sockets", broker, "authentication", "host: a:443/mqtt\n    authentication", `mqttSettings.host can't be "a:443/mqtt": a port is a number from 1 to 65535; write HOST:PORT`},
		{"web socket with a scheme", broker, "authentication", "protocol: WebSockets\n    host: wss://a/mqtt\n    authentication", `mqttSettings.host can't be "wss://a/mqtt"`},
		{"web socket without a host", broker, "authentication", "protocol: WebSockets\n    host: /mqtt\n    authentication", `mqttSettings.host can't be "/mqtt": that is not the name of a host; write HOST:PORT/PATH`},
		{"web socket with a query", broker, "authentication", "protocol: WebSockets\n    host: a/mqtt?b\n    authentication", `mqttSettings.host can't be "a/mqtt?b"`},
		{"protocol", broker, "authentication", "protocol: Http\n    authentication", `mqttSettings.protocol can't be "Http"; write one of Mqtt, WebSockets`},
		{"authority missing", broker, "authentication", "tls: {trustedCaCertificateConfigMapRef: ca}\n    authentication", `there is no ConfigMap "ca"`},
		{"cloud events", broker, "authentication", "cloudEventAttributes: Create\n    authentication", `cloudEventAttributes can't be "Create"; write one of Propagate, CreateOrRemap`},

		{"registry without host", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {authentication: {method: Anonymous}}\n", "", "", "spec.host is missing"},
		{"registry with trust", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: 'file://x', trustSettings: {}}\n", "", "", "trustSettings.trustedSigningKeys is missing"},
		{"registry with keys that aren't there", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: Anonymous}, trustSettings: {trustedSigningKeys: {type: ConfigMap, configMapRef: keys}}}\n", "", "", `there is no ConfigMap "keys"`},
		{"registry with authorities that aren't there", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: Anonymous}, codeSigningCas: [{type: secret, secretRef: ca}]}\n", "", "", `there is no Secret "ca"`},
		{"registry with keys of no kind", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: Anonymous}, codeSigningCas: [{secretRef: ca}]}\n", "", "", `spec.codeSigningCas[0].type is missing`},
		{"registry with keys of another kind", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: Anonymous}, codeSigningCas: [{type: Secret, configMapRef: ca}]}\n", "", "", `spec.codeSigningCas[0].secretRef is missing`},
		{"folder with trust", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: 'file://x', codeSigningCas: [{type: Secret, secretRef: ca}]}\n", "", "", `files in a folder can't be signed`},
		{"registry with a secret", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: ArtifactPullSecret}}\n", "", "", "artifactPullSecretSettings is missing"},
		{"registry with a secret that isn't there", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: ArtifactPullSecret, artifactPullSecretSettings: {secretRef: pull}}}\n", "", "", `there is no Secret "pull" in namespace azure-iot-operations`},
		{"registry with an identity of whom", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: UserAssignedManagedIdentity}}\n", "", "", "userAssignedManagedIdentitySettings is missing"},
		{"registry with an identity without a tenant", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: a}}}\n", "", "", "userAssignedManagedIdentitySettings.tenantId is missing"},
		{"registry with an account", "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec: {host: x.io, authentication: {method: ServiceAccountToken}}\n", "", "", `spec.authentication.method can't be "ServiceAccountToken"`},
		{"secret that is no base64", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: '%'}\n", "", "", "data.a is not base64"},
		{"ConfigMap with a spec", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\nspec: {}\n", "", "", "unknown property spec"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.base
			if tt.old != "" {
				if text = strings.Replace(tt.base, tt.old, tt.new, 1); text == tt.base {
					t.Fatalf("%q is not in the text", tt.old)
				}
			}
			_, problems := resource.Parse("f.yaml", []byte(text))
			err := problems.Err()
			if err == nil {
				t.Fatalf("no error; want %q", tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is\n%v\nwhich lacks\n%s", err, tt.want)
			}
		})
	}
}

// eventGrid is a Dataflow from Event Grid, and the beginning of its profile.
const eventGrid = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: down}
spec:
  operations:
  - {operationType: Source, sourceSettings: {endpointRef: grid, dataSources: [a/#]}}
  - {operationType: Destination, destinationSettings: {endpointRef: default, dataDestination: b}}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: grid}
spec:
  endpointType: Mqtt
  mqttSettings:
    host: plant.westeurope-1.ts.eventgrid.azure.net:8883
    authentication: {method: SystemAssignedManagedIdentity}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowProfile
metadata: {name: default}
spec: `

// TestManyFlows: the profile's pods there don't start with more.
func TestManyFlows(t *testing.T) {
	var b strings.Builder
	for i := range 72 {
		b.WriteString(strings.Replace(bridge[:strings.Index(bridge, "---\n")], "name: upward", fmt.Sprintf("name: flow-%d", i), 1) + "---\n")
	}
	_, problems := resource.Parse("f.yaml", []byte(strings.ReplaceAll(b.String(), "endpointRef: remote", "endpointRef: default")))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if w := problems.Warnings(); len(w) != 1 || !strings.Contains(w[0].Error(), "the profile default has more than 70 Dataflows") {
		t.Errorf("warnings: %v", w)
	}
}

func TestWarnings(t *testing.T) {
	forgetful := strings.Replace(broker, "authentication", "sessionExpirySeconds: 0\n    authentication", 1)
	for _, tt := range []struct{ text, old, new, want string }{
		{simple, "dataSources:", "assetRef: pump\n        dataSources:", "f.yaml:11:19: warning: assets are not looked up"},
		{strings.Replace(simple, "endpointRef: default\n        dataS", "endpointRef: broker\n        dataS", 1) + "---\n" + forgetful,
			"spec:", "spec:\n  requestDiskPersistence: Enabled", "f.yaml:11:22: warning: requestDiskPersistence keeps nothing: sessions at broker end with their connections"},
		{simple, "spec:", "spec:\n  requestDiskPersistence: Enabled", ""},
		{simple, "sensor/processed", "'${outputTopics}'", "${outputTopics} is published as it is; the references are ${outputTopic} and ${outputTopic.N}"},
		{simple, "[sensor/+/raw]", "[a, a]", `topic filter "a" is given twice; remove one`},
		{strings.Replace(simple, "name: temperature", "name: t", 1), "spec:", "spec:", "f.yaml:4:9: warning: metadata.name has less than 3 characters: Azure IoT Operations refuses that; graphd takes it"},
		{strings.Replace(broker, "Anonymous", "ServiceAccountToken", 1), "authentication", "tls: {mode: Disabled}\n    authentication", "f.yaml:8:17: warning: spec.mqttSettings.tls.mode is Disabled, and a token is shown"},
		{hub + account, "{method: Anonymous}", "{method: Sasl, saslSettings: {saslType: Plain, secretRef: account}}\n    tls: {mode: Disabled}", "and a password is shown to the endpoint"},
		{hub + account, "{method: Anonymous}", "{method: Sasl, saslSettings: {saslType: ScramSha256, secretRef: account}}\n    tls: {mode: Disabled}", ""},
		{strings.Replace(broker, "Mqtt\n", "Mqtt\n  hostType: EventGrid\n", 1), "x", "x", "Azure IoT Operations doesn't offer Anonymous where hostType is EventGrid; there it is one of SystemAssignedManagedIdentity"},
		{bridge, "default, dataSources", "remote, dataSources", "f.yaml:7:3: warning: neither end is the cluster's broker (remote at remote:1883 and remote at remote:1883)"},
		{bridge, "remote:1883", "localhost:1883", ""},
		{eventGrid + "{instanceCount: 2}\n", "x", "x", "f.yaml:6:59: warning: Event Grid has no shared subscriptions, by which the 2 instances of the profile default"},
		{eventGrid + "{instanceCount: 1}\n", "[a/#]", "[$share/g/a/#]", "warning: Event Grid has no shared subscriptions; write a/#"},
		{eventGrid + "{diagnostics: {logs: {level: warning}}}\n", "x", "x", "spec.diagnostics.logs.level is none of the documented levels; write one of trace, debug, info, warn, error"},
		{eventGrid + "{diagnostics: {logs: {level: TRACE}}}\n", "x", "x", ""},
	} {
		_, problems := resource.Parse("f.yaml", []byte(strings.Replace(tt.text, tt.old, tt.new, 1)))
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range problems.Warnings() {
			got = append(got, w.Error())
		}
		if all := strings.Join(got, "\n"); tt.want == "" && all != "" || !strings.Contains(all, tt.want) {
			t.Errorf("warnings: %s; want %q", all, tt.want)
		}
	}
}

// TestWebSocket: which WebSocket a host stands for.
func TestWebSocket(t *testing.T) {
	for _, tt := range []struct{ settings, host, path string }{
		{"protocol: WebSockets", "aio-broker:18883", "/mqtt"},
		{"{protocol: websockets, host: 'grid:443/mqtt'}", "grid:443", "/mqtt"},
		{"{protocol: websockets, host: grid/deep/er}", "grid", "/deep/er"},
		{"{protocol: websockets, host: 'grid:80'}", "grid:80", "/mqtt"},
		{"{protocol: mqtt, host: 'grid:80'}", "grid:80", ""},
	} {
		settings := strings.Trim(tt.settings, "{}")
		text := strings.Replace(broker, "mqttSettings:\n    authentication: {method: Anonymous}", "mqttSettings: {"+settings+", authentication: {method: Anonymous}}", 1)
		if m := parse(t, text).Endpoints[key("broker")].MQTT; m.Host != tt.host || m.WebSocket != tt.path {
			t.Errorf("%s: got %s and %s, want %s and %s", tt.settings, m.Host, m.WebSocket, tt.host, tt.path)
		}
	}
}

// TestCredentials: a user name and a password come from the Secret of an annotation.
func TestCredentials(t *testing.T) {
	text := strings.Replace(broker, "name: broker", "name: broker\n  annotations: {graphd.io/credentials: user}", 1)
	text += "---\napiVersion: v1\nkind: Secret\nmetadata: {name: user}\nstringData: {username: u, password: p}\n"
	got := parse(t, text).Endpoints[key("broker")]
	if got.MQTT.Authentication != (resource.Authentication{Password: "user"}) || got.SecretRef() != "user" {
		t.Errorf("authentication is %+v", got.MQTT.Authentication)
	}
}

// TestBrokerAuthentication: what each method becomes.
func TestBrokerAuthentication(t *testing.T) {
	for _, tt := range []struct {
		method string
		want   resource.Authentication
		secret string
	}{
		{"Anonymous", resource.Authentication{}, ""},
		{"x509certificate, x509CertificateSettings: {secretRef: device}", resource.Authentication{Certificate: "device"}, "device"},
		{"ServiceAccountToken", resource.Authentication{ServiceAccount: &resource.ServiceAccount{Audience: "aio-internal"}}, ""},
		{"ServiceAccountToken, serviceAccountTokenSettings: {audience: mine}", resource.Authentication{ServiceAccount: &resource.ServiceAccount{Audience: "mine"}}, ""},
		{"SystemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {}", resource.Authentication{Identity: &resource.ManagedIdentity{Scope: "https://eventgrid.azure.net/.default"}}, ""},
		{"UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: c, tenantId: t}", resource.Authentication{Identity: &resource.ManagedIdentity{ClientID: "c", TenantID: "t", Scope: "https://eventgrid.azure.net/.default"}}, ""},
	} {
		text := strings.Replace(broker, "Anonymous", tt.method, 1) + "---\n" + device + "  client_key.pem: PEM\n"
		got := parse(t, strings.Replace(text, "{client_cert.pem: PEM}", "\n  client_cert.pem: PEM", 1)).Endpoints[key("broker")]
		if diff := cmp.Diff(tt.want, got.MQTT.Authentication); diff != "" || got.SecretRef() != tt.secret {
			t.Errorf("%s: needs the Secret %q (-want +got):\n%s", tt.method, got.SecretRef(), diff)
		}
	}
}

func TestSecretsDontPrint(t *testing.T) {
	hidden := base64.StdEncoding.EncodeToString([]byte("hidden"))
	set := parse(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: "+hidden+"}\n")
	s := set.Secrets[key("s")]
	if string(s.Data["a"]) != "hidden" {
		t.Fatalf("data is %q", s.Data["a"])
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, "hidden") || strings.Contains(text, "104 105") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

// What is wrong with a Secret is said without saying what is in it.
func TestProblemsDontTellSecrets(t *testing.T) {
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"text for the data", head + "stringData: hunter2\n", "s.yaml:4:13: stringData must be an object, not a text"},
		{"number", head + "stringData: {password: 4711}\n", "s.yaml:4:24: stringData.password must be a string, not a number; write it with quotes"},
		{"boolean", head + "stringData: {password: true}\n", "s.yaml:4:24: stringData.password must be a string, not a boolean; write it with quotes"},
		{"date", head + "stringData: {password: 2020-01-01}\n", "s.yaml:4:24: stringData.password must be a string, not a date; write it with quotes"},
		{"alias", head + "stringData: {password: *hunter2}\n", "s.yaml:4:24: not valid YAML: unknown anchor; put a text that begins with * into quotes"},
		{"not base64", head + "data: {password: hunter2!}\n", "s.yaml:4:18: data.password is not base64; write it in base64; a Secret's stringData and a ConfigMap's data take plain text"},
		{"in a List", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: hunter2}\n", "s.yaml:4:67: items[0].stringData must be an object, not a text"},
		{"no object", "hunter2\n", "s.yaml:1:1: the document must be an object, not a text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := resource.ParseFiles(resource.File{Name: "s.yaml", Data: []byte(tt.text)})
			if err := problems.Err(); err == nil || err.Error() != tt.want {
				t.Errorf("Err() = %v, want %s", err, tt.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": simple, "b.yml": broker, ".hidden.yaml": "{", "notes.txt": "{",
		"c.json": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	set, problems, err := resource.Load(dir)
	if err != nil || problems.Err() != nil {
		t.Fatal(err, problems.Err())
	}
	if len(set.Graphs) != 1 || len(set.ConfigMaps) != 1 || set.Endpoints[key("broker")].File != filepath.Join(dir, "b.yml") {
		t.Errorf("got %+v", set)
	}

	// A file and the folder it is in: everything is declared twice.
	_, problems, err = resource.Load(dir, filepath.Join(dir, "a.yaml"))
	if err != nil || problems.Err() == nil || !strings.Contains(problems.Err().Error(), "already declared in "+filepath.Join(dir, "a.yaml")) {
		t.Errorf("problems: %v, %v", problems.Err(), err)
	}

	_, _, err = resource.Load(filepath.Join(dir, "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v, want one of a missing file", err)
	}
	_, _, err = resource.Load(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "the folder has no *.yaml") {
		t.Errorf("error is %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{simple, broker, "kind: Secret\napiVersion: v1\nmetadata: {name: s}\ndata: {a: AQI=}\n", "kind: List\napiVersion: v1\nitems: [{}]\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, problems := resource.Parse("f.yaml", []byte(text))
		if problems.Err() != nil {
			return
		}
		for _, g := range set.Graphs {
			if len(g.Sources) == 0 || len(g.Destinations) == 0 || len(g.Sources[0].Topics) == 0 || g.Sources[0].Endpoint == "" {
				t.Errorf("a graph without faults that can't run: %+v", g)
			}
		}
	})
}

func TestRegistryEndpoint(t *testing.T) {
	const head = "apiVersion: connectivity.iotoperations.azure.com/v1\nkind: RegistryEndpoint\nmetadata: {name: reg}\nspec:\n  host: plant.azurecr.io\n"
	const objects = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: keys}\ndata: {a: b}\n" +
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: ca}\nstringData: {a: c}\n"
	for _, tt := range []struct {
		name, spec string
		want       resource.RegistryEndpoint
	}{
		{"system's identity", "  authentication: {method: SystemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {}}\n",
			resource.RegistryEndpoint{Identity: &resource.ManagedIdentity{Scope: "https://management.azure.com//.default"}}},
		{"for another audience", "  authentication: {method: systemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {audience: 'https://containerregistry.azure.net', tenantId: t}}\n",
			resource.RegistryEndpoint{Identity: &resource.ManagedIdentity{TenantID: "t", Scope: "https://containerregistry.azure.net/.default"}}},
		{"user's identity", "  authentication: {method: UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: {clientId: c, tenantId: t, scope: s}}\n",
			resource.RegistryEndpoint{Identity: &resource.ManagedIdentity{ClientID: "c", TenantID: "t", Scope: "s"}}},
		{"capital letter", "  authentication: {method: UserAssignedManagedIdentity, UserAssignedManagedIdentitySettings: {clientId: c, tenantId: t}}\n",
			resource.RegistryEndpoint{Identity: &resource.ManagedIdentity{ClientID: "c", TenantID: "t", Scope: "https://management.azure.com//.default"}}},
		{"trust", "  authentication: {method: Anonymous}\n  trustSettings: {trustedSigningKeys: {type: configmap, configMapRef: keys}}\n  codeSigningCas: [{type: Secret, secretRef: ca}, {type: ConfigMap, configMapRef: keys}]\n",
			resource.RegistryEndpoint{
				SigningKeys: []resource.ObjectRef{{Kind: "ConfigMap", Name: "keys"}},
				SigningCAs:  []resource.ObjectRef{{Kind: "Secret", Name: "ca"}, {Kind: "ConfigMap", Name: "keys"}},
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "r.yaml")
			if err := os.WriteFile(file, []byte(head+tt.spec+objects), 0o644); err != nil {
				t.Fatal(err)
			}
			set, problems, err := resource.Load(file)
			if err != nil || problems.Err() != nil {
				t.Fatal(err, problems.Err())
			}
			got := set.Registries[key("reg")]
			tt.want.Meta, tt.want.Host = got.Meta, "plant.azurecr.io"
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, ref := range got.SigningCAs {
				if _, ok := set.Data(got.Namespace, ref); !ok {
					t.Errorf("%s has no data", ref)
				}
			}
			if _, ok := set.Data(got.Namespace, resource.ObjectRef{Kind: "Secret", Name: "keys"}); ok {
				t.Error("a ConfigMap was taken for a Secret")
			}
		})
	}
}

// bridge is a Dataflow.
const bridge = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: upward}
spec:
  profileRef: default
  operations:
  - operationType: Destination
    name: cloud
    destinationSettings: {endpointRef: remote, dataDestination: "telemetry/${inputTopic.2}"}
  - operationType: source
    sourceSettings: {endpointRef: default, dataSources: [plant/#], serializationFormat: Json}
---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: remote}
spec:
  endpointType: Mqtt
  mqttSettings: {host: "remote:1883", authentication: {method: Anonymous}, tls: {mode: Disabled}}
`

// loadText reads resources from a file of that text.
func loadText(t *testing.T, text string) (*resource.Set, document.Problems) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	set, problems, err := resource.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return set, problems
}

func TestDataflow(t *testing.T) {
	set, problems := loadText(t, bridge)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	got := set.Graphs[key("upward")]
	want := &resource.DataflowGraph{
		Meta: got.Meta, Flow: true, Profile: "default",
		Sources:      []resource.Source{{Name: "source", Endpoint: "default", Topics: []string{"plant/#"}}},
		Destinations: []resource.Destination{{Name: "destination", Endpoint: "remote", Topic: "telemetry/${inputTopic.2}"}},
		Connections:  []resource.Connection{{From: resource.Port{Node: "source"}, To: resource.Port{Node: "destination"}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(document.Position{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"transformation", "  - operationType: source", "  - {operationType: BuiltInTransformation, builtInTransformationSettings: {map: []}}\n  - operationType: source", "operationType can't be BuiltInTransformation: that is not supported yet; take the operation out, or use a DataflowGraph"},
		{"two sources", "  - operationType: Destination", "  - {operationType: Source, sourceSettings: {endpointRef: default, dataSources: [a]}}\n  - operationType: Destination", "a Dataflow has one Source"},
		{"no source", "operationType: source\n    sourceSettings: {endpointRef: default, dataSources: [plant/#], serializationFormat: Json}", "operationType: Source", "sourceSettings is missing"},
		{"settings of another", "name: cloud", "sourceSettings: {}", "sourceSettings has no meaning where operationType is Destination"},
		{"long name", "name: cloud", "name: " + strings.Repeat("x", 65), "name has 65 characters; write at most 64"},
		{"format", "Json}", "Avro}", `serializationFormat can't be "Avro"`},
		{"template of a graph", "${inputTopic.2}", "${outputTopic}", "there is no ${outputTopic} here"},
		{"level zero", "${inputTopic.2}", "${inputTopic.0}", "levels are counted from 1"},
		{"wildcard", "telemetry/", "+/", "nobody can publish to a wildcard"},
		{"loop", "endpointRef: remote, dataDestination: \"telemetry/", "endpointRef: default, dataDestination: \"plant/", "the graph would read what it writes"},
		{"its own topic", "endpointRef: remote, dataDestination: \"telemetry/${inputTopic.2}\"", "endpointRef: default, dataDestination: \"${inputTopic}\"", "give its source back every message"},
		{"no such endpoint", "endpointRef: remote", "endpointRef: remotes", `there is no DataflowEndpoint "remotes"`},
		{"unknown operation", "operationType: Destination", "operationType: Sink", `operationType can't be "Sink"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(bridge, tt.old, tt.new, 1)
			if text == bridge {
				t.Fatalf("%q isn't there", tt.old)
			}
			_, problems := loadText(t, text)
			if err := problems.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	twice := bridge + "---\n" + strings.Replace(simple, "name: temperature", "name: upward", 1)
	if _, problems := loadText(t, twice); problems.Err() == nil || !strings.Contains(problems.Err().Error(), "there is a Dataflow azure-iot-operations/upward as well") {
		t.Errorf("a Dataflow and a DataflowGraph of one name: got %v", problems.Err())
	}
}

// TestInstances: how many run of each graph is what its profile says.
func TestInstances(t *testing.T) {
	text := strings.Replace(bridge, "\n---", "\n---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata: {name: default}\nspec: {instanceCount: 3}\n---", 1)
	set, problems := loadText(t, text)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if got := set.Instances(set.Graphs[key("upward")]); got != 3 {
		t.Errorf("%d instances, want 3", got)
	}
	for _, w := range problems.Warnings() {
		if strings.Contains(w.Error(), "shared") {
			t.Errorf("warning of a broker that has shared subscriptions: %v", w)
		}
	}
	text = regexp.MustCompile("host: [^,}\n]*").ReplaceAllString(text, "host: \"x.westeurope-1.ts.eventgrid.azure.net:8883\"")
	_, problems = loadText(t, text+"---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: Dataflow\nmetadata: {name: back}\n"+
		"spec: {operations: [{operationType: Source, sourceSettings: {endpointRef: remote, dataSources: [a]}}, {operationType: Destination, destinationSettings: {endpointRef: default, dataDestination: b}}]}\n")
	if !slices.ContainsFunc(problems.Warnings(), func(p *document.Problem) bool {
		return strings.Contains(p.Message, "no shared subscriptions, by which the 3 instances")
	}) {
		t.Errorf("no warning of Event Grid in %v", problems)
	}
}
