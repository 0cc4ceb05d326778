// SPDX-License-Identifier: Apache-2.0

package resource_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/resource"
)

// TestCircles declares Dataflows, each written as SOURCE > DESTINATION with the broker before
// each topic.
func TestCircles(t *testing.T) {
	const broker = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: %s}
spec: {endpointType: Mqtt, mqttSettings: {host: "%[1]s:1883", authentication: {method: Anonymous}, tls: {mode: Disabled}}}
---
`
	const flow = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: flow%d}
spec:
  mode: %s
  operations:
  - {operationType: Source, sourceSettings: {endpointRef: %s, dataSources: [%q]}}
  - {operationType: Destination, destinationSettings: {endpointRef: %s, dataDestination: %q}}
---
`
	for _, tt := range []struct {
		name  string
		flows []string
		want  string // none where it is empty
	}{
		{"two", []string{"here a > here b", "here b > here a"}, `circle: flow0 -> flow1, and there again, by the topic "a"; publish to another topic`},
		{"three over two brokers", []string{"here a/# > there x", "there +/# > here y/z", "here $share/g/y/+ > here a"}, "flow0 -> flow1 -> flow2, and there again"},
		{"by two ways in", []string{"here a > here b", "here b > here c", "here c > here b"}, "flow1 -> flow2, and there again"},
		{"other brokers", []string{"here a > there b", "here b > there a"}, ""},
		{"the bridge", []string{"here tutorial/local > there telemetry/aio", "there telemetry/# > here tutorial/cloud"}, ""},
		{"disabled", []string{"here a > here b", "here b > here a off"}, ""},
		{"by the message", []string{"here a/+ > here b/${inputTopic.2}", "here b/+ > here a/${inputTopic.2}"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := fmt.Sprintf(broker, "here") + fmt.Sprintf(broker, "there")
			for i, f := range tt.flows {
				w := append(strings.Fields(f), "on")
				text += fmt.Sprintf(flow, i, map[bool]string{true: "Enabled", false: "Disabled"}[w[5] == "on"], w[0], w[1], w[3], w[4])
			}
			_, problems := resource.Parse("f.yaml", []byte(text))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems.Warnings() {
				if strings.Contains(p.Error(), "circle") {
					got = append(got, p.Error())
				}
			}
			if (tt.want == "") != (len(got) == 0) || len(got) > 1 || !strings.Contains(strings.Join(got, ""), tt.want) {
				t.Errorf("warnings %q, want %q", got, tt.want)
			}
		})
	}
}
