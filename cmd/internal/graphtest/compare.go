// SPDX-License-Identifier: Apache-2.0

package graphtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/recording"
)

// SinkTopic is the topic of a message that comes out of a graph which left the topic
// alone, or made a message without any.
const SinkTopic = "sensors"

// stampProperty is the user property in which a transport carries the message time.
const stampProperty = "__ts"

// Outputs is what came out of a graph, in order.
type Outputs []*node

// Add adds a message. As JSON it is
//
//	{"tst":"2020-01-01T00:00:00.001000Z+0000","topic":"sensors","qos":1,"retain":0,"payloadlen":2,
//	 "properties":{"content-type":"application/json","user-properties":{"__ts":"001577836800001:00000:graphd-run"}},
//	 "payload":"{}"}
//
// with payloadBase64 in the place of payload where that is not UTF-8. Of user
// properties with one key it has the last.
func (o *Outputs) Add(m *message.Message) {
	topic := m.Topic
	if topic == "" || topic == recording.JSONTopic || topic == recording.RawTopic {
		topic = SinkTopic
	}
	out := &node{kind: object}
	out.set("tst", newText(time.UnixMilli(m.Time.Millis).UTC().Format("2006-01-02T15:04:05.000000Z-0700")))
	out.set("topic", newText(topic))
	out.set("qos", newNumber(1))
	out.set("retain", newNumber(0))
	out.set("payloadlen", newNumber(len(m.Payload)))
	properties, user := &node{kind: object}, &node{kind: object}
	if m.ContentType != "" {
		properties.set("content-type", newText(m.ContentType))
	}
	for _, p := range m.Properties {
		user.set(p.Key, newText(p.Value))
	}
	user.set(stampProperty, newText(m.Time.String()))
	properties.set("user-properties", user)
	out.set("properties", properties)
	if utf8.Valid(m.Payload) {
		payload := newText(string(m.Payload))
		payload.embed()
		out.set("payload", payload)
	} else {
		out.set("payloadBase64", newText(base64.StdEncoding.EncodeToString(m.Payload)))
	}
	*o = append(*o, out)
}

// reduced returns what a test compares of an output, or of what is expected of it.
func (c *Case) reduced(n *node) *node {
	if len(c.Select) > 0 {
		found := map[*node]bool{}
		for _, path := range c.Select {
			n.find(path, found)
		}
		n = n.only(found)
	}
	if n != nil {
		found := map[*node]bool{}
		for _, path := range c.Ignores {
			n.find(path, found)
		}
		n = n.without(found)
	}
	if n == nil {
		return &node{kind: object}
	}
	return n
}

// Check compares what came out with what is expected, and returns how it differs: a
// problem each, at its place in the expected file where it has one there. An error
// says that there is nothing to compare with.
func (c *Case) Check(outputs Outputs) (document.Problems, error) {
	expected, err := c.readExpected()
	if errors.Is(err, errMissing) {
		return nil, c.Problemf(c.Expected.Pos, "graphctl test --update writes it", "%s: no such file", c.Expected.Name)
	}
	if err != nil {
		return nil, err
	}
	d := &differ{file: c.Expected.Name}
	if expected.kind == object {
		if len(outputs) == 0 {
			d.add(expected.at, "no message came out")
		} else {
			d.compare(c.reduced(expected), c.reduced(outputs[len(outputs)-1]), "", expected.at)
		}
		return d.problems, nil
	}
	for i, want := range expected.items {
		if i >= len(outputs) {
			d.add(want.at, "message %d did not come out", i+1)
			continue
		}
		d.compare(c.reduced(want), c.reduced(outputs[i]), "message "+strconv.Itoa(i+1), want.at)
	}
	for i := len(expected.items); i < len(outputs); i++ {
		d.add(expected.at, "message %d came out, and is not expected: %s", i+1, c.reduced(outputs[i]))
	}
	return d.problems, nil
}

// readExpected reads the expected file.
func (c *Case) readExpected() (*node, error) {
	text, err := os.ReadFile(c.Expected.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err != nil {
		return nil, c.Problemf(c.Expected.Pos, "", "%v", err)
	}
	root, err := parse(c.Expected.Name, text)
	if err != nil {
		return nil, err
	}
	items := root.items
	if root.kind == object {
		items = []*node{root}
	} else if root.kind != array {
		items = []*node{root} // reported below
	}
	for _, item := range items {
		if item.kind != object {
			return nil, &document.Problem{Severity: document.Error, File: c.Expected.Name, Position: item.at, Message: "want an object, or an array of objects"}
		}
		item.embedPayload()
	}
	return root, nil
}

// embedPayload prepares an expected message: a payload may be written as a string, or
// as the JSON that is in it.
func (n *node) embedPayload() {
	payload := n.get("payload")
	switch {
	case payload == nil:
	case payload.kind == array || payload.kind == object:
		n.set("payload", &node{kind: embedded, items: []*node{payload}, at: payload.at})
	default:
		payload.embed()
	}
}

// Update writes the expected file, with what came out: as an object where it was
// one, or where it wasn't there and one message came out.
func (c *Case) Update(outputs Outputs) error {
	single := len(outputs) == 1
	if old, err := c.readExpected(); err == nil {
		single = old.kind == object && len(outputs) > 0
	}
	all := &node{kind: array}
	for _, o := range outputs {
		all.items = append(all.items, c.reduced(o))
	}
	if single {
		all = all.items[len(all.items)-1]
	}
	if err := os.MkdirAll(filepath.Dir(c.Expected.Name), 0o777); err != nil {
		return err
	}
	return os.WriteFile(c.Expected.Name, append(all.append(nil, "", "  "), '\n'), 0o666)
}

// differ collects differences.
type differ struct {
	file     string
	problems document.Problems
}

func (d *differ) add(at document.Position, format string, args ...any) {
	d.problems = append(d.problems, &document.Problem{Severity: document.Error, File: d.file, Position: at, Message: fmt.Sprintf(format, args...)})
}

// compare adds how got differs from want, which is at path. at is the nearest place
// in the file.
func (d *differ) compare(want, got *node, path string, at document.Position) {
	if want.at.Line > 0 {
		at = want.at
	}
	switch {
	case want.kind == embedded && got.kind == embedded:
		d.compareEmbedded(want.items[0], got.items[0], path, at)
	case want.kind == object && got.kind == object:
		for i, key := range want.keys {
			if other := got.get(key); other != nil {
				d.compare(want.items[i], other, join(path, key), at)
			} else {
				d.add(want.items[i].near(at), "%s is missing, want %s", join(path, key), want.items[i])
			}
		}
		for i, key := range got.keys {
			if want.get(key) == nil {
				d.add(at, "%s is not expected: %s", join(path, key), got.items[i])
			}
		}
	case want.kind == array && got.kind == array && len(want.items) == len(got.items):
		for i, item := range want.items {
			d.compare(item, got.items[i], join(path, strconv.Itoa(i)), at)
		}
	default:
		if w, g := want.String(), got.String(); w != g {
			d.add(at, "%s is %s, want %s", path, g, w)
		}
	}
}

// compareEmbedded compares JSON that has to be equal as text.
func (d *differ) compareEmbedded(want, got *node, path string, at document.Position) {
	w, g := want.String(), got.String()
	if w == g {
		return
	}
	before := len(d.problems)
	d.compare(want, got, path, at)
	if len(d.problems) == before {
		d.add(at, "%s has its members in another order: it is %s, want %s", path, g, w)
	}
}

// near is n's place or, where it has none, another.
func (n *node) near(at document.Position) document.Position {
	if n.at.Line > 0 {
		return n.at
	}
	return at
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
