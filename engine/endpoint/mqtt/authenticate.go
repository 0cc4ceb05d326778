// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// The methods of authentication by token that brokers of Azure know.
const (
	ServiceAccountToken = "K8S-SAT"    // a Kubernetes service account's, at the broker of Azure IoT Operations
	EntraToken          = "OAUTH2-JWT" // Microsoft Entra ID's, at Azure Event Grid
)

// Authentication is MQTT's enhanced authentication (section 4.12) with tokens that
// expire: one is shown when connecting, and each that follows it in an AUTH packet,
// so that the connection outlives them. A broker that doesn't take it ends the
// connection, and sees the new token on the next.
type Authentication struct {
	// Method names what the token is to the broker. Required.
	Method string
	// Token returns the token to show now, and when to ask for the next; the zero time
	// means never. It is asked for each connection, too. Where it fails before a
	// connection is made, that is tried again as if the broker weren't there; later,
	// after MaxBackoff. Source and sink may call it at once. Required.
	Token func(context.Context) (token []byte, next time.Time, err error)
}

// token asks for a token that can be sent.
func (a *Authentication) token(ctx context.Context) ([]byte, time.Time, error) {
	token, next, err := a.Token(ctx)
	switch {
	case err != nil:
	case len(token) == 0:
		err = errors.New("it is empty")
	case len(token) > math.MaxUint16:
		err = fmt.Errorf("it has %d bytes, at most %d can be sent", len(token), math.MaxUint16)
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("get token for %s: %w", a.Method, err)
	}
	return token, next, nil
}

// errDialogue ends a connection whose broker answers a token by a question.
var errDialogue = errors.New("the broker asks for more than a token")

// monologue is the client library's side of an authentication in which the broker
// has nothing to say but yes or no.
type monologue struct{ conn *conn }

// Authenticate ends the connection: nobody here can answer a broker's AUTH.
func (m monologue) Authenticate(*paho.Auth) *paho.Auth {
	m.conn.fail(errDialogue)
	return &paho.Auth{Properties: &paho.AuthProperties{}} // cannot be sent any more
}

// Authenticated implements paho.Auther.
func (monologue) Authenticated() {}

// renewal shows the broker of a link the tokens that follow the first.
type renewal struct {
	config Config
	shown  []byte
	timer  *time.Timer // fires when to ask for the next token; nil: never
}

// begin remembers the token of a new connection.
func (r *renewal) begin(token []byte, next time.Time) {
	r.shown = token
	r.schedule(next)
}

func (r *renewal) schedule(next time.Time) {
	r.timer = nil
	if !next.IsZero() {
		r.timer = time.NewTimer(max(time.Until(next), r.config.MinBackoff))
	}
}

// due returns the channel of the timer.
func (r *renewal) due() <-chan time.Time {
	if r.timer == nil {
		return nil
	}
	return r.timer.C
}

func (r *renewal) stop() {
	if r.timer != nil {
		r.timer.Stop()
	}
}

// renew asks for a token and shows it to the broker if it is another. Where the
// broker doesn't take it the connection ends.
func (r *renewal) renew(ctx context.Context, l *link) {
	ctx, cancel := context.WithTimeout(ctx, r.config.ConnectTimeout)
	defer cancel()
	go func() {
		select {
		case <-l.client.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	token, next, err := r.config.Authentication.token(ctx)
	if err != nil {
		r.config.Logger.Warn("mqtt: no new token", "broker", r.config.Address, "client", r.config.ClientID, "error", err)
		r.schedule(time.Now().Add(r.config.MaxBackoff))
		return
	}
	r.schedule(next)
	if bytes.Equal(token, r.shown) {
		return
	}
	answer, err := l.client.Authenticate(ctx, &paho.Auth{
		ReasonCode: packets.AuthReauthenticate,
		Properties: &paho.AuthProperties{AuthMethod: r.config.Authentication.Method, AuthData: token},
	})
	if err == nil && !answer.Success {
		err = &ReasonError{Code: answer.ReasonCode, Reason: answer.Properties.ReasonString}
	}
	if err != nil {
		l.conn.fail(fmt.Errorf("authenticate again: %w", cmp.Or(l.conn.cause(), err)))
		return
	}
	r.shown = token
	r.config.Logger.Debug("mqtt: authenticated again", "broker", r.config.Address, "client", r.config.ClientID)
}
