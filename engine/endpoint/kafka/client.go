// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// options returns what sources and sinks have in common.
func (c Config) options(l *link) []kgo.Opt {
	backoff := func(tries int) time.Duration { return pause(tries, c.MaxBackoff) }
	options := []kgo.Opt{
		kgo.SeedBrokers(c.brokers()...),
		kgo.ClientID(c.ClientID),
		kgo.DialTimeout(c.ConnectTimeout),
		kgo.RetryBackoffFn(backoff),
		kgo.WithLogger(logger{c.Logger}),
		kgo.WithHooks(l),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.MetadataMaxAge(10 * time.Second), // so soon a new topic or partition is noticed
		kgo.AllowAutoTopicCreation(),         // if the brokers do
		kgo.DisableClientMetrics(),
	}
	if c.TLS != nil {
		options = append(options, kgo.DialTLSConfig(c.TLS))
	}
	switch s := c.SASL; {
	case s.Token != nil:
		options = append(options, kgo.SASL(bearer{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.Token(ctx)
			return oauth.Auth{Token: token}, err
		})}))
	case s.Mechanism == Plain:
		options = append(options, kgo.SASL(plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism()))
	case s.Mechanism == ScramSHA256:
		options = append(options, kgo.SASL(scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism()))
	case s.Mechanism == ScramSHA512:
		options = append(options, kgo.SASL(scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism()))
	}
	return options
}

// bearer is OAUTHBEARER, and says what a broker has against a token. That is no refusal
// for good: the next token may be a better one.
type bearer struct{ sasl.Mechanism }

// Authenticate implements sasl.Mechanism.
func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := b.Mechanism.Authenticate(ctx, host)
	return bearing{session}, first, err
}

// bearing is a session of bearer.
type bearing struct{ sasl.Session }

// Challenge implements sasl.Session. What a broker answers but for yes is why not, RFC
// 7628, section 3.2.2.
func (b bearing) Challenge(answer []byte) (done bool, response []byte, err error) {
	if len(answer) > 0 {
		return false, nil, fmt.Errorf("the broker refuses the token: %s", answer)
	}
	return b.Session.Challenge(answer)
}

// pause returns how long to wait after so many attempts.
func pause(tries int, limit time.Duration) time.Duration {
	return min(100*time.Millisecond<<min(max(tries-1, 0), 10), limit)
}

// refused reports whether going on is pointless after err: somebody has to change
// something here or at the brokers.
func refused(err error) bool {
	for _, e := range []error{
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.InvalidGroupID, kerr.InvalidTopicException,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// link watches over a client's connections.
type link struct {
	config  Config
	changed func() // called when reachable or joined may have changed
	lost    chan struct{}

	mu        sync.Mutex
	reachable bool  // guarded by mu: a broker has answered, lately
	trouble   error // guarded by mu: why the last attempt failed, while it is not reachable
}

func newLink(c Config, changed func()) *link {
	return &link{config: c, changed: changed, lost: make(chan struct{}, 1)}
}

// up reports whether a broker has answered lately.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reachable
}

// Trouble returns why no broker answers; nil while one does, and before an attempt has
// failed.
func (l *link) Trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

// set notes that a broker has answered, or, with why, that none has.
func (l *link) set(reachable bool, why error) {
	l.mu.Lock()
	was := l.reachable
	l.reachable, l.trouble = reachable, why
	l.mu.Unlock()
	if was != reachable {
		l.changed()
	}
}

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect: watch looks at once.
func (l *link) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	select {
	case l.lost <- struct{}{}:
	default:
	}
}

// patrol is how often watch asks a cluster that nothing was heard of.
const patrol = 5 * time.Second

// watch asks whether a broker is there, when a connection was lost and now and then,
// until ctx ends or the client is refused for good.
func (l *link) watch(ctx context.Context, client *kgo.Client) error {
	defer l.set(false, nil)
	for tries := 0; ; {
		attempt, cancel := context.WithTimeout(ctx, l.config.ConnectTimeout)
		err := client.Ping(attempt)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		wait := patrol
		switch {
		case err == nil:
			if tries > 0 || !l.up() {
				l.config.Logger.Info("kafka: connected", "broker", l.config.Address, "client", l.config.ClientID)
			}
			tries = 0
		case refused(err):
			return err
		default:
			tries++
			wait = pause(tries, l.config.MaxBackoff)
			if tries == 1 {
				l.config.Logger.Warn("kafka: not connected", "broker", l.config.Address, "client", l.config.ClientID, "error", err)
			}
		}
		l.set(err == nil, err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.lost:
			timer.Stop()
			if tries > 0 { // our own attempts end so
				select {
				case <-time.After(wait):
				case <-ctx.Done():
				}
			}
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// logger gives what the client library says to slog, one level down: what it takes for
// an error is often one that it copes with.
type logger struct{ to *slog.Logger }

// Level implements kgo.Logger.
func (l logger) Level() kgo.LogLevel {
	if l.to.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelError
}

// Log implements kgo.Logger.
func (l logger) Log(level kgo.LogLevel, text string, pairs ...any) {
	to := slog.LevelDebug
	if level == kgo.LogLevelError {
		to = slog.LevelWarn
	}
	l.to.Log(context.Background(), to, "kafka: "+text, pairs...)
}
