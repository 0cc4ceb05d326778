// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// many is a graphd with many dataflows, each from one topic of its own to another, with
// two connections of its own.
type many struct {
	Flows      int     `json:"dataflows"`
	Start      float64 `json:"startSeconds"` // until all are connected
	IdleMemory float64 `json:"idleMB"`
	PeakMemory float64 `json:"peakMB"`
	IdleCPU    float64 `json:"idleCPUPercent"` // of one processor
}

const flowsEndpoint = `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: default}
spec:
  endpointType: Mqtt
  mqttSettings: {host: "BROKER", authentication: {method: Anonymous}, tls: {mode: Disabled}}
`

const flowTemplate = `---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: flow-NUMBER}
spec:
  profileRef: default
  operations:
    - {operationType: Source, sourceSettings: {endpointRef: default, dataSources: [in/NUMBER]}}
    - {operationType: Destination, destinationSettings: {endpointRef: default, dataDestination: out/NUMBER}}
`

// measureFlows starts a graphd with n dataflows, lets it rest, and sends messages through
// the last.
func (s *settings) measureFlows(ctx context.Context, dir string, n int) (m many, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return many{}, err
	}
	broker, addr, err := startBroker(ctx, dir)
	if broker != nil {
		defer func() { err = errors.Join(err, broker.stop()) }()
	}
	if err != nil {
		return many{}, err
	}
	var text strings.Builder
	text.WriteString(strings.ReplaceAll(flowsEndpoint, "BROKER", addr))
	for i := range n {
		text.WriteString(strings.ReplaceAll(flowTemplate, "NUMBER", fmt.Sprint(i)))
	}
	began := time.Now()
	p, err := startGraphd(ctx, dir, "flows", s.graphd, text.String())
	if p != nil {
		defer func() { err = errors.Join(err, p.stop()) }()
	}
	if err != nil {
		return many{}, err
	}
	m = many{Flows: n, Start: time.Since(began).Seconds()}
	// What the start leaves behind is cleared away first, which is no idleness.
	const settle, rest = 2 * time.Second, 10 * time.Second
	time.Sleep(settle)
	before, err := p.cpu()
	if err != nil {
		return many{}, err
	}
	time.Sleep(rest)
	after, err := p.cpu()
	if err != nil {
		return many{}, err
	}
	m.IdleCPU = 100 * (after - before).Seconds() / rest.Seconds()
	if m.IdleMemory, _, err = p.memory(); err != nil {
		return many{}, err
	}
	last := &contender{program: p, in: fmt.Sprint("in/", n-1), out: fmt.Sprint("out/", n-1)}
	if _, err := last.load(ctx, addr, 1, 1000, window, 0); err != nil {
		return many{}, err
	}
	_, m.PeakMemory, err = p.memory()
	return m, err
}
