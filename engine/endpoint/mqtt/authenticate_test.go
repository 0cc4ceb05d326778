// SPDX-License-Identifier: Apache-2.0

package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
)

// tokens hands out what the test sends it, and is asked again at once.
type tokens chan string

func (c tokens) authentication() *mqtt.Authentication {
	return &mqtt.Authentication{Method: "K8S-SAT", Token: func(ctx context.Context) ([]byte, time.Time, error) {
		select {
		case token := <-c:
			if token == "none" {
				return nil, time.Time{}, errors.New("nobody has one")
			}
			return []byte(token), time.Now(), nil
		case <-ctx.Done():
			return nil, time.Time{}, ctx.Err()
		}
	}}
}

// wantToken checks who a client says it is.
func wantToken(t *testing.T, p *packets.Properties, token string) {
	t.Helper()
	if p.AuthMethod != "K8S-SAT" || string(p.AuthData) != token {
		t.Errorf("authentication is %q by %q, want %q by K8S-SAT", p.AuthData, p.AuthMethod, token)
	}
}

// TestTokens: each new token is shown on the connection that there is, and none twice.
func TestTokens(t *testing.T) {
	broker := newScript(t)
	given := make(tokens)
	config := testConfig(t, broker.addr())
	config.Authentication = given.authentication()
	source := newSource(t, config, "t")
	emit, deliveries := collect()
	runSource(t, source, emit)

	given <- "none" // is tried again
	given <- "one"
	c, connect := broker.accept()
	wantToken(t, connect.Properties, "one")
	c.connack(0, false, func(p *packets.Properties) { p.AuthMethod = "K8S-SAT" })
	c.suback(read[*packets.Subscribe](c), 1)

	given <- "one"  // nothing new
	given <- "none" // and now nothing at all
	given <- "two"
	again := read[*packets.Auth](c)
	wantToken(t, again.Properties, "two")
	if again.ReasonCode != packets.AuthReauthenticate {
		t.Errorf("AUTH is %v", again)
	}
	c.write(&packets.Auth{ReasonCode: packets.AuthSuccess, Properties: &packets.Properties{AuthMethod: "K8S-SAT"}})
	given <- "three"
	wantToken(t, read[*packets.Auth](c).Properties, "three")
	c.write(&packets.Auth{ReasonCode: packets.AuthSuccess, Properties: &packets.Properties{AuthMethod: "K8S-SAT"}})
	c.publish(1, "a") // the connection is the same
	wantDeliveries(t, deliveries, "a")
}

// TestTokenRefused: a broker that doesn't take a new token sees it on the next
// connection.
func TestTokenRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		refuse func(*scriptConn)
	}{
		{"DISCONNECT", func(c *scriptConn) { c.disconnect(packets.DisconnectNotAuthorized) }},
		{"question", func(c *scriptConn) {
			c.write(&packets.Auth{ReasonCode: packets.AuthContinueAuthentication, Properties: &packets.Properties{AuthMethod: "K8S-SAT"}})
		}},
		{"hung up", func(c *scriptConn) { c.cut() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := newScript(t)
			given := make(tokens)
			config := testConfig(t, broker.addr())
			config.Authentication = given.authentication()
			runSink(t, newSink(t, config, "t"))
			given <- "one"
			c := broker.greet(false)
			given <- "two"
			read[*packets.Auth](c)
			tt.refuse(c)
			given <- "three"
			_, connect := broker.accept()
			wantToken(t, connect.Properties, "three")
		})
	}
}

// TestTokenRefusedAtOnce: a broker that doesn't take a token when we connect may take the
// next, and nothing ends because of that; where there is none, it would.
func TestTokenRefusedAtOnce(t *testing.T) {
	for _, code := range []byte{packets.ConnackNotAuthorized, packets.ConnackBadUsernameOrPassword} {
		broker := newScript(t)
		given := make(tokens)
		config := testConfig(t, broker.addr())
		config.Authentication = given.authentication()
		source := newSource(t, config, "t")
		emit, deliveries := collect()
		runSource(t, source, emit)
		for range 3 {
			given <- "expired"
			c, connect := broker.accept()
			wantToken(t, connect.Properties, "expired")
			c.connack(code, false)
		}
		waitUntil(t, "it says why", func() bool {
			return source.Trouble() != nil && strings.Contains(source.Trouble().Error(), "the broker refuses the token: ")
		})
		given <- "new"
		c := broker.subscribed(false)
		c.publish(1, "a")
		wantDeliveries(t, deliveries, "a")
	}
}

// TestUnaskedAuthentication: a broker that begins an authentication that nobody asked
// for costs a connection, and nothing else.
func TestUnaskedAuthentication(t *testing.T) {
	broker := newScript(t)
	source := newSource(t, testConfig(t, broker.addr()), "t")
	emit, deliveries := collect()
	runSource(t, source, emit)
	question := &packets.Auth{ReasonCode: packets.AuthContinueAuthentication, Properties: &packets.Properties{}}
	c, _ := broker.accept()
	c.write(question)
	c = broker.subscribed(false)
	c.write(question)
	c = broker.greet(false, func(p *packets.Properties) { p.AuthMethod = "anything" })
	c.suback(read[*packets.Subscribe](c), 1)
	c.publish(1, "a")
	wantDeliveries(t, deliveries, "a")
}

func TestBadTokens(t *testing.T) {
	for _, tt := range []struct{ token, want string }{
		{"", "get token for K8S-SAT: it is empty"},
		{strings.Repeat("x", 1<<16), "it has 65536 bytes"},
		{"none", "nobody has one"},
	} {
		given := make(tokens)
		logged := make(chan string, 100)
		config := testConfig(t, "127.0.0.1:1")
		config.Authentication, config.Logger = given.authentication(), logErrors(logged)
		sink := runSink(t, newSink(t, config, "t"))
		given <- tt.token
		if got := receive(t, logged); !strings.Contains(got, tt.want) {
			t.Errorf("logged %q, want %q in it", got, tt.want)
		}
		if err := sink.stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestPersistence: the broker is asked when connecting and when subscribing.
func TestPersistence(t *testing.T) {
	broker := newScript(t)
	config := testConfig(t, broker.addr())
	config.Persistence = true
	emit, _ := collect()
	runSource(t, newSource(t, config, "t"), emit)
	c, connect := broker.accept()
	c.connack(0, false)
	request := read[*packets.Subscribe](c)
	c.suback(request, 1)
	want := []packets.User{{Key: "aio-persistence", Value: "true"}}
	for _, p := range []*packets.Properties{connect.Properties, request.Properties} {
		if diff := cmp.Diff(want, p.User); diff != "" {
			t.Errorf("user properties (-want +got):\n%s", diff)
		}
	}
}
