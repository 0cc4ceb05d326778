// SPDX-License-Identifier: Apache-2.0

// Probe is an operator of every kind whose parameters and input say what it does, so
// that what a graph does can be told from what comes out. Package conformance/graph has
// a twin of it in native Go.
//
// The parameter mark is the operation's name for itself, by default the kind. A payload
// that contains "!refuse:<mark>" is refused, one with "!trap:<mark>" traps, and one with
// "!stale:<mark>" traps unless the instance is new. Otherwise
//
//	map         appends ">" and the mark to the payload; parameter topic: sets that topic;
//	            shift: adds so many milliseconds to the message's time
//	filter      passes what contains parameter keep
//	branch      chooses the arm True for what contains parameter true
//	delay       until the next multiple of parameter length, in milliseconds, of the
//	            logical time or, with parameter by, the logical time plus so many
//	accumulate  lists the payloads: "<mark>[a b c]"; keeps the last one's topic
package main

import (
	"errors"
	"os"
	"strings"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/accumulate"
	"github.com/wasm-graph/graphd/operators/sdk/branch"
	"github.com/wasm-graph/graphd/operators/sdk/delay"
	"github.com/wasm-graph/graphd/operators/sdk/filter"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

func main() {} // never runs, but a main package needs one

func init() {
	mapper.Handle(openMap)
	filter.Handle(openFilter)
	branch.Handle(openBranch)
	delay.Handle(openDelay)
	accumulate.Handle(openAccumulate)
}

// probe is an instance.
type probe struct {
	mark  string
	calls int
}

func newProbe(host *sdk.Host, kind string) *probe {
	return &probe{mark: host.Config.Text("mark", kind)}
}

// obey does what a payload asks for, and returns the message.
func (p *probe) obey(in sdk.Data) (*sdk.Message, error) {
	m, err := sdk.AsMessage(in)
	if err != nil {
		return nil, err
	}
	p.calls++
	for word := range strings.FieldsSeq(m.Payload.String()) {
		switch word {
		case "!refuse:" + p.mark:
			return nil, errors.New("refused by " + p.mark)
		case "!trap:" + p.mark:
			os.Exit(3)
		case "!stale:" + p.mark:
			if p.calls > 1 {
				os.Exit(3)
			}
		}
	}
	return m, nil
}

func openMap(host *sdk.Host) (mapper.Func, error) {
	p := newProbe(host, "map")
	topic, retopic := host.Config.Lookup("topic")
	shift, err := host.Config.Int("shift", 0)
	if err != nil {
		return nil, err
	}
	return func(in sdk.Data) (sdk.Data, error) {
		m, err := p.obey(in)
		if err != nil {
			return nil, err
		}
		m.Payload = sdk.Text(m.Payload.String() + ">" + p.mark)
		if retopic {
			m.Topic = sdk.Text(topic)
		}
		if shift != 0 {
			m.Timestamp.Secs, m.Timestamp.Nanos = split(millis(m.Timestamp) + shift)
		}
		return m, nil
	}, nil
}

func openFilter(host *sdk.Host) (filter.Func, error) {
	p := newProbe(host, "filter")
	keep := host.Config.Text("keep", "")
	return func(in sdk.Data) (bool, error) {
		m, err := p.obey(in)
		if err != nil {
			return false, err
		}
		return strings.Contains(m.Payload.String(), keep), nil
	}, nil
}

func openBranch(host *sdk.Host) (branch.Func, error) {
	p := newProbe(host, "branch")
	yes := host.Config.Text("true", "")
	return func(_ sdk.Timestamp, in sdk.Data) (bool, error) {
		m, err := p.obey(in)
		if err != nil {
			return false, err
		}
		return strings.Contains(m.Payload.String(), yes), nil
	}, nil
}

func openDelay(host *sdk.Host) (delay.Func, error) {
	p := newProbe(host, "delay")
	length, err := host.Config.Int("length", 10_000)
	if err != nil {
		return nil, err
	}
	by, err := host.Config.Int("by", 0)
	if err != nil {
		return nil, err
	}
	return func(in sdk.Data, at sdk.Timestamp) (sdk.Timestamp, error) {
		if _, err := p.obey(in); err != nil {
			return at, err
		}
		until := millis(at) + by
		if by == 0 {
			until = (until + length - 1) / length * length
		}
		at.Secs, at.Nanos = split(until)
		return at, nil
	}, nil
}

func openAccumulate(host *sdk.Host) (accumulate.Func, error) {
	p := newProbe(host, "accumulate")
	return func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error) {
		result, err := sdk.AsMessage(staged)
		if err != nil {
			return nil, err
		}
		list := strings.TrimSuffix(result.Payload.String(), "]")
		if list == "" {
			list = p.mark + "["
		} else {
			list += " "
		}
		for i, in := range batch {
			m, err := p.obey(in)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				list += " "
			}
			list += m.Payload.String()
			result.Topic = m.Topic
		}
		result.Payload = sdk.Text(list + "]")
		return result, nil
	}, nil
}

func millis(t sdk.Timestamp) int64 { return int64(t.Secs)*1000 + int64(t.Nanos)/1e6 }

func split(millis int64) (secs uint64, nanos uint32) {
	return uint64(millis / 1000), uint32(millis % 1000 * 1e6)
}
