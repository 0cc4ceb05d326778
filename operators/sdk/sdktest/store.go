// SPDX-License-Identifier: Apache-2.0

package sdktest

import (
	"bytes"
	"slices"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// stored is a key's value.
type stored struct {
	value   []byte
	version sdk.Timestamp
	fencing *sdk.Timestamp // nil: the key is not protected
	expires time.Time      // zero: never
}

// begin prepares a request for key: it fails if FailStore says so, and forgets the key
// if it has expired.
func (e *imports) begin(key []byte) (s stored, found bool, err error) {
	if e.storeErr != nil {
		return stored{}, false, e.storeErr
	}
	if len(key) == 0 {
		return stored{}, false, &sdk.RequestError{Text: "the key length is zero"}
	}
	s, found = e.store[string(key)]
	if found && !s.expires.IsZero() && !e.now.Before(s.expires) {
		delete(e.store, string(key))
		return stored{}, false, nil
	}
	return s, found, nil
}

// fence refuses a change of s by a request with token.
func (s stored) fence(token *sdk.Timestamp) error {
	switch {
	case s.fencing == nil:
		return nil
	case token == nil:
		return &sdk.RequestError{Text: "a fencing token is required for this request"}
	case token.Compare(*s.fencing) < 0:
		return &sdk.RequestError{Text: "the request fencing token is a lower version than the fencing token protecting the resource"}
	}
	return nil
}

func (e *imports) StoreGet(key []byte, _ sdk.GetOptions) (sdk.Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, found, err := e.begin(key)
	if err != nil || !found {
		return sdk.Entry{}, err
	}
	return sdk.Entry{Value: slices.Clone(s.value), Found: true, Version: &s.version}, nil
}

func (e *imports) StoreSet(key, value []byte, o sdk.SetOptions) (sdk.SetResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, found, err := e.begin(key)
	if err != nil {
		return sdk.SetResult{}, err
	}
	if err := s.fence(o.Fencing); err != nil {
		return sdk.SetResult{}, err
	}
	if found && (o.Condition == sdk.IfAbsent || o.Condition == sdk.IfAbsentOrEqual && !bytes.Equal(s.value, value)) {
		return sdk.SetResult{Version: &s.version}, nil
	}
	e.writes++
	s.value = slices.Clone(value)
	s.version = sdk.Timestamp{Counter: e.writes, Node: sdk.Text("sdktest")}.WithTime(e.now)
	if o.Fencing != nil {
		token := *o.Fencing
		s.fencing = &token
	}
	s.expires = time.Time{}
	if o.Expires > 0 {
		s.expires = e.now.Add(o.Expires)
	}
	e.store[string(key)] = s
	return sdk.SetResult{Applied: true, Version: &s.version}, nil
}

func (e *imports) StoreDelete(key []byte, o sdk.DeleteOptions) (sdk.DeleteResult, error) {
	return e.delete(key, o, func([]byte) bool { return true })
}

func (e *imports) StoreDeleteValue(key, value []byte, o sdk.DeleteOptions) (sdk.DeleteResult, error) {
	return e.delete(key, o, func(v []byte) bool { return bytes.Equal(v, value) })
}

func (e *imports) delete(key []byte, o sdk.DeleteOptions, match func(value []byte) bool) (sdk.DeleteResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, found, err := e.begin(key)
	if err != nil || !found {
		return sdk.DeleteResult{}, err
	}
	if err := s.fence(o.Fencing); err != nil {
		return sdk.DeleteResult{}, err
	}
	if !match(s.value) {
		return sdk.DeleteResult{Removed: -1, Version: &s.version}, nil
	}
	delete(e.store, string(key))
	return sdk.DeleteResult{Removed: 1, Version: &s.version}, nil
}
