// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
)

// twin is the probe of conformance/guests/go/probe in native Go: an opener, and an
// instance.
type twin struct {
	config operator.Config
	mark   string
	calls  int
}

func (t *twin) parameter(key, otherwise string) string {
	for _, p := range t.config.Properties {
		if p.Key == key {
			return p.Value
		}
	}
	return otherwise
}

func (t *twin) number(key string, otherwise int64) int64 {
	n, err := strconv.ParseInt(t.parameter(key, strconv.FormatInt(otherwise, 10)), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// Open implements operator.Opener.
func (t *twin) Open(context.Context) (operator.Instance, error) {
	i := &twin{config: t.config}
	i.mark = i.parameter("mark", string(t.config.Kind))
	return i, nil
}

// Close implements operator.Instance.
func (t *twin) Close() error { return nil }

// obey does what a payload asks for.
func (t *twin) obey(m *message.Message) error {
	t.calls++
	for word := range strings.FieldsSeq(string(m.Payload)) {
		switch {
		case word == "!refuse:"+t.mark:
			return &operator.Refusal{Operation: t.config.Operation, Message: "refused by " + t.mark}
		case word == "!trap:"+t.mark, word == "!stale:"+t.mark && t.calls > 1:
			return errors.New("trap")
		}
	}
	return nil
}

// Map implements operator.Instance.
func (t *twin) Map(_ context.Context, m *message.Message) (*message.Message, error) {
	if err := t.obey(m); err != nil {
		return nil, err
	}
	out := m.Clone()
	out.Payload = []byte(string(m.Payload) + ">" + t.mark)
	out.Topic = t.parameter("topic", m.Topic)
	out.Time.Millis += t.number("shift", 0)
	return out, nil
}

// Filter implements operator.Instance.
func (t *twin) Filter(_ context.Context, m *message.Message) (bool, error) {
	return strings.Contains(string(m.Payload), t.parameter("keep", "")), t.obey(m)
}

// Branch implements operator.Instance.
func (t *twin) Branch(_ context.Context, _ hlc.Timestamp, m *message.Message) (bool, error) {
	return strings.Contains(string(m.Payload), t.parameter("true", "")), t.obey(m)
}

// Delay implements operator.Instance.
func (t *twin) Delay(_ context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
	if by := t.number("by", 0); by != 0 {
		at.Millis += by
	} else {
		length := t.number("length", 10_000)
		at.Millis = (at.Millis + length - 1) / length * length
	}
	return at, t.obey(m)
}

// Accumulate implements operator.Instance.
func (t *twin) Accumulate(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
	out := staged.Clone()
	list := strings.TrimSuffix(string(staged.Payload), "]")
	if list == "" {
		list = t.mark + "["
	} else {
		list += " "
	}
	for i, m := range batch {
		if err := t.obey(m); err != nil {
			return nil, err
		}
		if i > 0 {
			list += " "
		}
		list += string(m.Payload)
		out.Topic = m.Topic
	}
	out.Payload = []byte(list + "]")
	return out, nil
}
