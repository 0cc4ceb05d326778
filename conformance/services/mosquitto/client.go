// SPDX-License-Identifier: Apache-2.0

package mosquitto

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Message is what a subscriber got.
type Message struct {
	Topic   string
	Payload []byte
	QoS     int
	Retain  bool

	ContentType    string
	ResponseTopic  string
	UserProperties [][2]string // in order; keys may repeat
	Text           bool        // the payload format indicator
	Expiry         int         // seconds left; 0: does not expire
}

// Publish publishes by mosquitto_pub, MQTT 5, with these arguments, such as "-t",
// "topic", "-m", "payload", and waits for its end.
func (b *Broker) Publish(args ...string) {
	b.t.Helper()
	b.PublishFrom(nil, args...)
}

// PublishFrom is Publish with a standard input, for "-l" (each line a message) and
// "-s" (all of it one message).
func (b *Broker) PublishFrom(stdin io.Reader, args ...string) {
	b.t.Helper()
	cmd := b.client("mosquitto_pub", args)
	cmd.Stdin = stdin
	if output, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", cmd, err, output)
	}
}

// Subscription is a running mosquitto_sub. It ends with its test.
type Subscription struct {
	b        *Broker
	messages chan Message
}

// Subscribe subscribes by mosquitto_sub, MQTT 5, with these arguments, such as
// "-q", "1", "-t", "topic", and waits until the broker has done so.
func (b *Broker) Subscribe(args ...string) *Subscription {
	b.t.Helper()
	b.clients++
	id := fmt.Sprintf("subscriber-%d", b.clients)
	cmd := b.client("mosquitto_sub", append([]string{"-i", id, "-F", "%x %j"}, args...))
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal("mosquitto_sub:", err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal("mosquitto_sub:", err)
	}
	s := &Subscription{b: b, messages: make(chan Message, 1<<16)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read(output)
	}()
	b.t.Cleanup(func() {
		// It has no other end than this; a test may have ended it, though.
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	if !b.waitLog(": " + id + " ") {
		b.fail("saw no subscription")
	}
	return s
}

func (s *Subscription) read(r io.Reader) {
	defer close(s.messages)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		m, err := parse(lines.Text())
		if err != nil {
			s.b.t.Errorf("mosquitto_sub: %v", err)
			return
		}
		s.messages <- m
	}
}

// Next returns the next message. It fails the test if none comes.
func (s *Subscription) Next() Message {
	s.b.t.Helper()
	select {
	case m, ok := <-s.messages:
		if !ok {
			s.b.t.Fatal("mosquitto_sub has ended")
		}
		return m
	case <-time.After(patience):
		s.b.t.Fatal("mosquitto_sub: no message came")
	}
	return Message{}
}

// client prepares a command line client.
func (b *Broker) client(name string, args []string) *exec.Cmd {
	b.t.Helper()
	host, port, _ := net.SplitHostPort(b.Addr)
	return exec.Command(program(b.t, name), append([]string{"-V", "mqttv5", "-h", host, "-p", port}, args...)...)
}

// parse reads a line of mosquitto_sub -F "%x %j": the payload in hexadecimal, then
// everything as JSON.
func parse(line string) (Message, error) {
	payload, text, ok := strings.Cut(line, " ")
	if !ok {
		return Message{}, fmt.Errorf("parse line %q: no blank", line)
	}
	var fields struct {
		Topic      string
		QoS        int
		Retain     int
		Properties struct {
			ContentType   string     `json:"content-type"`
			ResponseTopic string     `json:"response-topic"`
			Text          int        `json:"payload-format-indicator"`
			Expiry        int        `json:"message-expiry-interval"`
			User          properties `json:"user-properties"`
		}
	}
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return Message{}, fmt.Errorf("parse line %q: %w", line, err)
	}
	m := Message{
		Topic:          fields.Topic,
		QoS:            fields.QoS,
		Retain:         fields.Retain == 1,
		ContentType:    fields.Properties.ContentType,
		ResponseTopic:  fields.Properties.ResponseTopic,
		UserProperties: fields.Properties.User,
		Text:           fields.Properties.Text == 1,
		Expiry:         fields.Properties.Expiry,
	}
	var err error
	if m.Payload, err = hex.DecodeString(payload); err != nil {
		return Message{}, fmt.Errorf("parse line %q: %w", line, err)
	}
	return m, nil
}

// properties is a JSON object of strings with its order and its repeated keys.
type properties [][2]string

// UnmarshalJSON implements json.Unmarshaler.
func (p *properties) UnmarshalJSON(data []byte) error {
	tokens := json.NewDecoder(bytes.NewReader(data))
	var text []string
	for {
		token, err := tokens.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if s, ok := token.(string); ok {
			text = append(text, s)
		}
	}
	for ; len(text) >= 2; text = text[2:] {
		*p = append(*p, [2]string{text[0], text[1]})
	}
	return nil
}
