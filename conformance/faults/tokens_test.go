// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/wasm-graph/graphd/conformance/services/programs"
)

// A tokenBroker takes whoever shows the token of the day by one of two methods, and throws out
// those whose token has expired. Who shows none is the test.
type tokenBroker struct {
	mochi.HookBase
	server *mochi.Server
	addr   string

	gate sync.RWMutex // held while nobody with a token is let in

	mu      sync.Mutex
	day     int               // guarded by mu
	shown   map[string]string // guarded by mu: token by client
	refused int               // guarded by mu: connections
	number  int64             // guarded by mu: messages so far
}

func startTokenBroker(t *testing.T) *tokenBroker {
	t.Helper()
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumInflight, capabilities.ReceiveMaximum, capabilities.MaximumClientWritesPending = math.MaxUint16, math.MaxUint16, math.MaxUint16
	capabilities.MaximumMessageExpiryInterval = 0 // by their creation, which we number, all would have expired
	b := &tokenBroker{shown: map[string]string{}}
	b.server = mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), InlineClient: true})
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := errors.Join(b.server.AddHook(b, nil), b.server.AddListener(listener), b.server.Serve()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.server.Close() })
	b.addr = listener.Address()
	return b
}

// token is that of a day.
func token(method string, day int) string { return fmt.Sprintf("%s of day %d", method, day) }

func (b *tokenBroker) ID() string { return "tokens" }

func (b *tokenBroker) Provides(event byte) bool {
	return slices.Contains([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnPacketRead}, event)
}

func (b *tokenBroker) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// OnConnectAuthenticate looks at the token.
func (b *tokenBroker) OnConnectAuthenticate(c *mochi.Client, p packets.Packet) bool {
	method := p.Properties.AuthenticationMethod
	if method == "" {
		return true
	}
	b.gate.RLock()
	defer b.gate.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := string(p.Properties.AuthenticationData)
	if got != token(method, b.day) {
		b.refused++
		return false
	}
	b.shown[c.ID] = got
	return true
}

// OnPublish numbers messages: the broker redelivers in the order of their creation, and would
// shuffle those of one second.
func (b *tokenBroker) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	p.Created = b.number
	return p, nil
}

// OnPacketRead turns flow control off, which deadlocks when messages come and are
// acknowledged at once.
func (b *tokenBroker) OnPacketRead(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if p.FixedHeader.Type == packets.Connect {
		p.Properties.ReceiveMaximum = 0
	}
	return p, nil
}

// expire makes the tokens of the day before worthless, and throws out those who showed them.
func (b *tokenBroker) expire(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	b.day++
	clients := b.shown
	b.shown = map[string]string{}
	b.mu.Unlock()
	if len(clients) < 2 {
		t.Errorf("%d clients have shown a token, want a source and a sink", len(clients))
	}
	for id := range clients {
		if c, ok := b.server.Clients.Get(id); ok {
			_ = b.server.DisconnectClient(c, packets.ErrNotAuthorized) // an error says that it has gone
		}
	}
}

// here returns how many clients with tokens the broker has let in since the last expiry, and how
// many connections it has refused.
func (b *tokenBroker) here() (in, refused int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.shown), b.refused
}

// TestTokensExpire: tokens of a service account, and of a managed identity, expire again and
// again, and come too late, while numbers pass.
func TestTokensExpire(t *testing.T) {
	b := startTokenBroker(t)
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "token")
	var mu sync.Mutex
	issued := 0
	issue := func(day int) {
		mu.Lock()
		defer mu.Unlock()
		issued = day
		if err := errors.Join(os.WriteFile(file+".new", []byte(token("K8S-SAT", day)), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Error(err)
		}
	}
	issue(0)
	identity := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, `{"access_token": %q, "expires_on": "%d", "resource": %q, "token_type": "Bearer"}`,
			token("OAUTH2-JWT", issued), time.Now().Add(time.Minute).Unix(), r.URL.Query().Get("resource"))
	}))
	t.Cleanup(identity.Close)
	endpoint := `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: %s}
spec:
  endpointType: Mqtt
  mqttSettings:
    host: %s
    tls: {mode: Disabled}
    authentication: {method: %s}
---
`
	resources := fmt.Sprintf(endpoint, "account", b.addr, "ServiceAccountToken, serviceAccountTokenSettings: {audience: aio-internal}") +
		fmt.Sprintf(endpoint, "identity", b.addr, "SystemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {audience: \"https://eventgrid.azure.net\"}") +
		`apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata: {name: flow}
spec:
  operations:
    - operationType: Source
      sourceSettings: {endpointRef: account, dataSources: [numbers]}
    - operationType: Destination
      destinationSettings: {endpointRef: identity, dataDestination: out}
`
	if err := os.WriteFile(filepath.Join(dir, "resources.yaml"), []byte(resources), 0o600); err != nil {
		t.Fatal(err)
	}
	programs.Graphd(t, programs.Build(t, "graphd"), dir, "AIO_SAT_FILE="+file,
		"IDENTITY_ENDPOINT="+identity.URL, "IDENTITY_HEADER=secret", "AZURE_FEDERATED_TOKEN_FILE=")

	// The publisher and the subscriber are in the broker.
	var next, again int
	var fault string
	if err := b.server.Subscribe("out", 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		mu.Lock()
		defer mu.Unlock()
		payload := string(p.Payload)
		switch n, err := strconv.Atoi(payload); {
		case err == nil && n == next:
			next++
		case err == nil && n < next:
			again++
		case fault == "":
			fault = fmt.Sprintf("%q came when it was %d's turn", payload, next)
		}
	}); err != nil {
		t.Fatal(err)
	}
	publish := func(from, to int) {
		for i := from; i < to; i++ { // each is distributed when Publish returns
			if err := b.server.Publish("numbers", []byte(strconv.Itoa(i)), false, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	await := func(what string, holds func() bool) {
		t.Helper()
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for deadline := time.Now().Add(time.Minute); !holds(); <-look.C {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain until %s", what)
			}
		}
	}
	const rounds, each = 4, 500
	for day := 1; day <= rounds; day++ {
		await("both have been let in", func() bool { in, _ := b.here(); return in == 2 })
		first := each * (day - 1)
		publish(first, first+each/2)
		late := day == rounds
		if !late {
			issue(day)
		}
		// The broker mixes what it sends again with what comes meanwhile, so nothing does.
		b.gate.Lock()
		b.expire(t)
		publish(first+each/2, first+each)
		_, refused := b.here()
		b.gate.Unlock()
		if late {
			await("the expired token is refused", func() bool { _, now := b.here(); return now > refused })
			issue(day)
		}
		await("all have come", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return next == each*day || fault != ""
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if fault != "" {
		t.Error(fault)
	}
	t.Logf("%d messages came again", again)
}
