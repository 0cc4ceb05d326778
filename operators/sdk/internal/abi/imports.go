// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"unsafe"

	"github.com/wasm-graph/graphd/operators/sdk"
)

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
