// SPDX-License-Identifier: Apache-2.0

//go:build services

// Package bridge_test does what the sample's README says, between two real brokers.
package bridge_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/conformance/services/programs"
)

func TestBridge(t *testing.T) {
	local := mosquitto.Start(t, mosquitto.Options{TLS: true})
	remote := mosquitto.Start(t, mosquitto.Options{TLS: true, ClientCertificates: true, Persistence: true})
	dir := programs.Resources(t, []string{"resources"},
		"localhost:8883", local.TLSAddr,
		"remote.example:8883", remote.TLSAddr,
		"put the certificate of the local broker's authority here", read(t, local.CAFile),
		"put the certificate of the remote broker's authority here", read(t, remote.CAFile),
		"put the bridge's certificate here", programs.Indented([]byte(remote.Device.Certificate)),
		"put the certificates between it and the authority here", programs.Indented([]byte(remote.Device.Intermediate)),
		"put the bridge's key here", programs.Indented([]byte(remote.Device.Key)),
	)
	cloud := local.Subscribe("-q", "1", "-t", "tutorial/cloud")
	telemetry := remote.Subscribe("-q", "1", "-t", "telemetry/#")
	stop := programs.Graphd(t, programs.Build(t, "graphd"), dir)

	// There, and back: it is below telemetry.
	local.Publish("-q", "1", "-t", "tutorial/local", "-m", "no JSON", "-D", "publish", "user-property", "unit", "C")
	if got := telemetry.Next(); got.Topic != "telemetry/aio" || string(got.Payload) != "no JSON" || fmt.Sprint(got.UserProperties[0]) != "[unit C]" {
		t.Errorf("at the remote broker: got %+v", got)
	}
	if got := cloud.Next(); got.Topic != "tutorial/cloud" || string(got.Payload) != "no JSON" {
		t.Errorf("back at the local broker: got %+v", got)
	}
	remote.Publish("-q", "1", "-t", "telemetry/line/7", "-m", "from afar")
	if got := cloud.Next(); string(got.Payload) != "from afar" {
		t.Errorf("at the local broker: got %+v", got)
	}
	if got := telemetry.Next(); string(got.Payload) != "from afar" {
		t.Errorf("at the remote broker: got %+v", got)
	}

	// While the remote broker is away, the local one keeps what is for it.
	remote.Stop()
	var lines strings.Builder
	const many = 200
	for i := range many {
		fmt.Fprintln(&lines, i)
	}
	local.PublishFrom(strings.NewReader(lines.String()), "-q", "1", "-l", "-t", "tutorial/local")
	remote.Restart()
	for i := range many {
		got := string(cloud.Next().Payload)
		if i == 0 && got == "from afar" {
			// Delivered, and not acknowledged before the broker stopped.
			got = string(cloud.Next().Payload)
		}
		if got != fmt.Sprint(i) {
			t.Fatalf("message %d after the outage: got %q", i, got)
		}
	}

	// Nothing went round.
	local.Publish("-q", "1", "-t", "tutorial/local", "-m", "last")
	if got := string(cloud.Next().Payload); got != "last" {
		t.Errorf("got %q, want the last message alone", got)
	}
	stop()
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return programs.Indented(text)
}
