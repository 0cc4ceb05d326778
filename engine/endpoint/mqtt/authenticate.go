// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
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

// renewal shows the broker of a link the tokens that follow the first.
type renewal struct {
	config  Config
	shown   []byte
	timer   *time.Timer   // fires when to ask for the next token; nil: never
	success chan struct{} // has room for the one answer that is awaited
}

// begin remembers the token of a new connection.
func (r *renewal) begin(token []byte, next time.Time) {
	r.shown, r.success = token, make(chan struct{}, 1)
	r.schedule(next)
}

func (r *renewal) schedule(next time.Time) {
	r.timer = nil
	if !next.IsZero() {
		r.timer = time.NewTimer(max(time.Until(next), r.config.MinBackoff))
	}
}

// accepted says that the broker has answered an authentication. It does not block.
func (r *renewal) accepted() {
	select {
	case r.success <- struct{}{}:
	default: // nobody asked
	}
}

// start renews the token beside the reading, where there is anything to renew, until stop
// is called, which waits for it.
func (r *renewal) start(ctx context.Context, l *link) (stop func()) {
	if r.timer == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { r.run(ctx, l) })
	return func() {
		cancel()
		ended.Wait()
	}
}

// run renews the token for as long as there is a next one, until ctx ends.
func (r *renewal) run(ctx context.Context, l *link) {
	for r.timer != nil {
		select {
		case <-ctx.Done():
			r.timer.Stop()
			return
		case <-r.timer.C:
			r.renew(ctx, l)
		}
	}
}

// renew asks for a token and shows it to the broker if it is another. Where the
// broker doesn't take it the connection ends.
func (r *renewal) renew(ctx context.Context, l *link) {
	ctx, cancel := context.WithTimeout(ctx, r.config.ConnectTimeout)
	defer cancel()
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
	select {
	case <-r.success: // that nobody asked for
	default:
	}
	auth := &packets.Auth{ReasonCode: packets.AuthReauthenticate, Properties: &packets.Properties{AuthMethod: r.config.Authentication.Method, AuthData: token}}
	if _, err = auth.WriteTo(l.conn); err == nil {
		select {
		case <-r.success:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		l.conn.fail(fmt.Errorf("authenticate again: %w", cmp.Or(l.conn.cause(), err)))
		return
	}
	r.shown = token
	r.config.Logger.Debug("mqtt: authenticated again", "broker", r.config.Address, "client", r.config.ClientID)
}
