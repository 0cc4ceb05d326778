// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"strings"
	"time"
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// What an import is given has to stay alive only while it runs, and is lowered without
// being kept: the functions called borrow return, beside the lowered value, what the
// caller keeps alive.

// borrowText is borrow for text, which the host refuses where it is not UTF-8.
func (m *Memory) borrowText(s string) ([]byte, list) {
	b := []byte(strings.ToValidUTF8(s, "\uFFFD"))
	return b, m.borrow(b)
}

func (m *Memory) borrowLabels(labels []sdk.Label) (texts [][]byte, lowered []label) {
	for _, l := range labels {
		k, kl := m.borrowText(l.Key)
		v, vl := m.borrowText(l.Value)
		texts = append(texts, k, v)
		lowered = append(lowered, label{kl, vl})
	}
	return texts, lowered
}

func (m *Memory) borrowClock(t *sdk.Timestamp) (node []byte, v optionalClock) {
	if t == nil {
		return nil, optionalClock{}
	}
	node, l := m.borrowText(t.Node.String())
	return node, optionalClock{some: 1, clock: clock{secs: t.Secs, nanos: t.Nanos, counter: t.Counter, node: l}}
}

func lowerDuration(d time.Duration) optionalDuration {
	if d <= 0 {
		return optionalDuration{}
	}
	return optionalDuration{some: 1, duration: duration{
		seconds: uint64(d / time.Second),
		nanos:   uint32(d % time.Second),
	}}
}

// setArguments lowers the arguments of state-store.set.
func (m *Memory) setArguments(key, value []byte, o sdk.SetOptions) (node []byte, a setArguments) {
	node, fencing := m.borrowClock(o.Fencing)
	return node, setArguments{
		key:       m.borrow(key),
		value:     m.borrow(value),
		timeout:   lowerDuration(o.Timeout),
		fencing:   fencing,
		condition: lowerCondition(o.Condition),
		expires:   lowerDuration(o.Expires),
	}
}

// metricsError lifts what a function of metrics returned.
func (m *Memory) metricsError(r *metricsResult) error {
	if r.tag == resultOK {
		return nil
	}
	return &sdk.MetricsError{Incompatible: r.kind == metricsIncompatible, Text: m.text(r.text)}
}

// entry lifts what state-store.get returned.
func (m *Memory) entry(r *getResult) (sdk.Entry, error) {
	if r.tag != resultOK {
		return sdk.Entry{}, m.storeError(unsafe.Pointer(r))
	}
	e := sdk.Entry{Found: r.found != 0, Version: m.version(&r.version)}
	if e.Found {
		e.Value = m.bytes(r.value)
	}
	return e, nil
}

// setResult lifts what state-store.set returned.
func (m *Memory) setResult(r *setResult) (sdk.SetResult, error) {
	if r.tag != resultOK {
		return sdk.SetResult{}, m.storeError(unsafe.Pointer(r))
	}
	return sdk.SetResult{Applied: r.applied != 0, Version: m.version(&r.version)}, nil
}

// deleteResult lifts what state-store.del and vdel returned.
func (m *Memory) deleteResult(r *deleteResult) (sdk.DeleteResult, error) {
	if r.tag != resultOK {
		return sdk.DeleteResult{}, m.storeError(unsafe.Pointer(r))
	}
	return sdk.DeleteResult{Removed: r.removed, Version: m.version(&r.version)}, nil
}

func (m *Memory) version(v *optionalClock) *sdk.Timestamp {
	if v.some == 0 {
		return nil
	}
	t := m.clock(&v.clock)
	return &t
}

func (m *Memory) storeError(result unsafe.Pointer) error {
	switch e := (*storeError)(result); e.kind {
	case storeRequest:
		return &sdk.RequestError{Text: m.text(e.text)}
	case storeTimeout:
		return sdk.ErrTimeout
	case storeProtocol:
		return sdk.ErrProtocol
	default:
		return sdk.ErrInternal
	}
}

// The cases of set-conditions.
const (
	onlyIfDoesNotExist        = 0
	onlyIfEqualOrDoesNotExist = 1
	unconditional             = 2
)

// lowerCondition lowers c to a set-conditions.
func lowerCondition(c sdk.Condition) uint8 {
	switch c {
	case sdk.IfAbsent:
		return onlyIfDoesNotExist
	case sdk.IfAbsentOrEqual:
		return onlyIfEqualOrDoesNotExist
	default:
		return unconditional
	}
}
