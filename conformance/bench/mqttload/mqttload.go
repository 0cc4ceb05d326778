// SPDX-License-Identifier: Apache-2.0

// Package mqttload drives messages through an MQTT broker and whatever sits
// between two of its topics, and measures how many get through, in which order
// and how fast.
//
// It shares the machine with what it measures, so it does little per message: it
// encodes one PUBLISH and patches the number into copies of it, sends what it can
// at once, and of what comes back it decodes no more than the number. The number
// is a user property, so that what sits between may replace the payload.
package mqttload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// Config says what to send. All fields but Rate are required.
type Config struct {
	Addr    string // host:port of the broker, plain TCP
	In, Out string // topics: published to, received from
	QoS     byte   // 0 or 1, on both sides
	Count   int    // messages
	Payload []byte
	// Window bounds the messages that were sent and have not come back; at most 60000.
	Window int
	// Rate is in messages per second; 0 is as fast as the window allows.
	Rate int
	// Patience ends the run when nothing has come back for so long. With QoS 0
	// that is the normal end where messages are lost.
	Patience time.Duration
}

// Result is what came back.
type Result struct {
	Elapsed    time.Duration // from the first PUBLISH to the last arrival
	Received   int           // different messages
	Duplicates int           // messages that came again
	Disordered int           // messages that came after a later one, for the first time
	P50, P99   time.Duration // from PUBLISH to arrival
}

// PerSecond is the throughput in messages per second.
func (r Result) PerSecond() float64 { return float64(r.Received) / r.Elapsed.Seconds() }

// numberKey is the user property that carries a message's number, in digits of
// fixed width.
const (
	numberKey    = "n"
	numberDigits = 10
)

// Run sends Count messages and returns when all are back, or none came for
// Patience.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Window < 1 || c.Window > 60000 || c.Count < 1 || c.QoS > 1 || c.Patience <= 0 {
		return Result{}, fmt.Errorf("mqttload: run: window %d, count %d, quality of service %d or patience %v out of range", c.Window, c.Count, c.QoS, c.Patience)
	}
	sub, err := connect(ctx, c.Addr, "load-subscriber")
	if err != nil {
		return Result{}, fmt.Errorf("mqttload: connect subscriber: %w", err)
	}
	defer sub.conn.Close()
	if err := sub.subscribe(c.Out, c.QoS); err != nil {
		return Result{}, fmt.Errorf("mqttload: subscribe to %s: %w", c.Out, err)
	}
	pub, err := connect(ctx, c.Addr, "load-publisher")
	if err != nil {
		return Result{}, fmt.Errorf("mqttload: connect publisher: %w", err)
	}
	defer pub.conn.Close()

	// Whoever fails first, or the patience's end, closes both connections, which
	// ends everybody.
	var once sync.Once
	var failure error
	stop := func(err error) {
		once.Do(func() {
			failure = err
			pub.conn.Close()
			sub.conn.Close()
		})
	}
	defer context.AfterFunc(ctx, func() { stop(ctx.Err()) })()
	patience := time.AfterFunc(c.Patience, func() { stop(nil) })
	defer patience.Stop()

	run := &run{Config: c, sent: make([]time.Time, c.Count), took: make([]time.Duration, c.Count), slots: make(chan struct{}, c.Window)}
	var all sync.WaitGroup
	all.Go(func() { // PUBACKs need no bookkeeping: what comes back was accepted
		_, err := io.Copy(io.Discard, pub.reader)
		stop(err)
	})
	all.Go(func() {
		if err := run.publish(ctx, pub); err != nil {
			stop(fmt.Errorf("mqttload: publish to %s: %w", c.In, err))
		}
	})
	if err := run.receive(sub, patience); err != nil {
		stop(fmt.Errorf("mqttload: receive from %s: %w", c.Out, err))
	}
	stop(nil)
	run.abandon()
	all.Wait()
	if failure != nil {
		return Result{}, failure
	}
	return run.result(), nil
}

// run is the state of one Run.
type run struct {
	Config
	slots chan struct{} // one token per message that is on its way

	mu   sync.Mutex
	sent []time.Time // guarded by mu: by number

	took                             []time.Duration // by number; 0: not back
	received, duplicates, disordered int
	last                             time.Time // of an arrival
}

// publish sends the messages, as many in one write as the window has room for.
func (r *run) publish(ctx context.Context, c *client) error {
	template, idAt, numberAt := r.template()
	var batch []byte
	flush := func() error {
		_, err := c.conn.Write(batch)
		batch = batch[:0]
		return err
	}
	start := time.Now()
	for n := range r.Count {
		if r.Rate > 0 {
			if ahead := time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(r.Rate))); ahead > 0 {
				if err := flush(); err != nil {
					return err
				}
				timer := time.NewTimer(ahead)
				select {
				case <-timer.C:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		select {
		case r.slots <- struct{}{}:
		default: // full: send what we have and wait
			if err := flush(); err != nil {
				return err
			}
			select {
			case r.slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		at := len(batch)
		batch = append(batch, template...)
		if r.QoS > 0 {
			id := n%math.MaxUint16 + 1
			batch[at+idAt], batch[at+idAt+1] = byte(id>>8), byte(id)
		}
		for i, rest := numberDigits-1, n; i >= 0; i, rest = i-1, rest/10 {
			batch[at+numberAt+i] = byte('0' + rest%10)
		}
		r.mu.Lock()
		r.sent[n] = time.Now()
		r.mu.Unlock()
		if len(batch) > 32<<10 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// template encodes a PUBLISH and tells where its identifier and its number are.
func (r *run) template() (packet []byte, idAt, numberAt int) {
	p := &packets.Publish{
		Topic: r.In, QoS: r.QoS, PacketID: 1, Payload: r.Payload,
		Properties: &packets.Properties{User: []packets.User{{Key: numberKey, Value: fmt.Sprintf("%0*d", numberDigits, 0)}}},
	}
	var b bytes.Buffer
	// A write to a buffer does not fail.
	_, _ = p.WriteTo(&b)
	packet = b.Bytes()
	topicAt := bytes.Index(packet, []byte(r.In))
	digits := fmt.Appendf(nil, "%0*d", numberDigits, 0)
	return packet, topicAt + len(r.In), topicAt + len(r.In) + bytes.Index(packet[topicAt+len(r.In):], digits)
}

// receive takes messages until all are back or the connection is closed.
func (r *run) receive(c *client, patience *time.Timer) error {
	var acks []byte
	next := 0 // one more than the largest number so far
	for r.received < r.Count {
		kind, body, err := c.read()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if kind>>4 != packets.PUBLISH {
			continue
		}
		id, n, err := parse(kind, body)
		if err != nil {
			return err
		}
		if id != 0 {
			acks = append(acks, packets.PUBACK<<4, 2, byte(id>>8), byte(id))
		}
		if len(acks) > 0 && c.reader.Buffered() == 0 {
			if _, err := c.conn.Write(acks); err != nil {
				return err
			}
			acks = acks[:0]
		}
		if n < 0 || n >= r.Count {
			return fmt.Errorf("message number %d was never sent", n)
		}
		if r.took[n] != 0 {
			r.duplicates++
			continue
		}
		r.last = time.Now()
		r.mu.Lock()
		r.took[n] = r.last.Sub(r.sent[n])
		r.mu.Unlock()
		r.received++
		if n < next {
			r.disordered++
		}
		next = max(next, n+1)
		<-r.slots
		patience.Reset(r.Patience)
	}
	return nil
}

// abandon lets a publisher that waits for room go on, to find its connection closed.
func (r *run) abandon() {
	for {
		select {
		case <-r.slots:
		default:
			return
		}
	}
}

func (r *run) result() Result {
	took := slices.DeleteFunc(r.took, func(d time.Duration) bool { return d == 0 })
	slices.Sort(took)
	result := Result{Received: r.received, Duplicates: r.duplicates, Disordered: r.disordered}
	if len(took) > 0 {
		result.Elapsed = r.last.Sub(r.sent[0])
		result.P50, result.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return result
}

// client is a connection to the broker.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
	body   []byte // of the last packet read
}

func connect(ctx context.Context, addr, id string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	most := uint16(math.MaxUint16)
	p := &packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, CleanStart: true, ClientID: id,
		Properties: &packets.Properties{ReceiveMaximum: &most},
	}
	c := &client{conn: conn, reader: bufio.NewReaderSize(conn, 256<<10)}
	if _, err := p.WriteTo(conn); err != nil {
		conn.Close()
		return nil, err
	}
	kind, body, err := c.read()
	if err == nil && (kind>>4 != packets.CONNACK || len(body) < 2 || body[1] != 0) {
		err = fmt.Errorf("answered % x", body)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) subscribe(topic string, qos byte) error {
	p := &packets.Subscribe{PacketID: 1, Properties: &packets.Properties{}, Subscriptions: []packets.SubOptions{{Topic: topic, QoS: qos}}}
	if _, err := p.WriteTo(c.conn); err != nil {
		return err
	}
	kind, body, err := c.read()
	if err == nil && (kind>>4 != packets.SUBACK || len(body) < 3 || body[len(body)-1] >= 0x80) {
		err = fmt.Errorf("answered % x", body)
	}
	return err
}

// read reads a packet: its first byte and what follows the length. The latter is
// overwritten by the next read.
func (c *client) read() (byte, []byte, error) {
	kind, err := c.reader.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	length, err := readLength(c.reader)
	if err != nil {
		return 0, nil, err
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err = io.ReadFull(c.reader, c.body)
	return kind, c.body, err
}

func readLength(r io.ByteReader) (int, error) {
	length := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			return length, nil
		}
	}
	return 0, errors.New("malformed length")
}

// parse finds a PUBLISH's identifier, 0 at QoS 0, and the message's number.
func parse(kind byte, body []byte) (id, n int, err error) {
	malformed := errors.New("malformed PUBLISH")
	if len(body) < 2 {
		return 0, 0, malformed
	}
	at := 2 + int(body[0])<<8 + int(body[1])
	if kind>>1&3 > 0 {
		if len(body) < at+2 {
			return 0, 0, malformed
		}
		id = int(body[at])<<8 + int(body[at+1])
		at += 2
	}
	// The user property: its type, the key, then the value, these with their lengths.
	const key = "\x26" + "\x00\x01" + numberKey + "\x00\x0a"
	if at > len(body) {
		return 0, 0, malformed
	}
	i := bytes.Index(body[at:], []byte(key))
	if i < 0 || len(body) < at+i+len(key)+numberDigits {
		return 0, 0, errors.New("message without its number")
	}
	at += i + len(key)
	n, err = strconv.Atoi(string(body[at : at+numberDigits]))
	return id, n, err
}
