// SPDX-License-Identifier: Apache-2.0

// Package statetest is the suite that every state store passes.
package statetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/state"
)

// Fixture is an empty store with its clock.
type Fixture struct {
	Store   state.Store
	Now     func() time.Time    // the store's physical time
	Advance func(time.Duration) // lets that time pass
	Quota   int                 // bytes that are surely too many for the store; 0: it has no bound
}

// Run runs the suite. open is called once a test.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, Fixture)
	}{
		{"get and set", getAndSet},
		{"any bytes", anyBytes},
		{"conditions", conditions},
		{"delete", remove},
		{"expiry", expiry},
		{"versions", versions},
		{"fencing", fencing},
		{"fencing of deletes", fencingDelete},
		{"fencing ahead of time", fencingAhead},
		{"fencing ends with the key", fencingEnds},
		{"refusals", refusals},
		{"ownership", ownership},
		{"quota", quota},
		{"cancelled", cancelled},
		{"one lock, many takers", oneLock},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// user makes requests that are expected to succeed.
type user struct {
	*testing.T
	store state.Store
}

func (u user) set(key, value string, opts state.SetOptions, want bool) hlc.Timestamp {
	u.Helper()
	applied, version, err := u.store.Set(u.Context(), []byte(key), []byte(value), opts)
	if err != nil || applied != want {
		u.Fatalf("Set(%q, %q, %+v) = %v, %v; want %v", key, value, opts, applied, err, want)
	}
	return version
}

// get checks what a key holds; want is nil where it holds nothing.
func (u user) get(key string, want any) hlc.Timestamp {
	u.Helper()
	value, version, found, err := u.store.Get(u.Context(), []byte(key))
	if err != nil || found != (want != nil) || found && string(value) != want || !found && version != (hlc.Timestamp{}) {
		u.Fatalf("Get(%q) = %q, %v, %v, %v; want %v", key, value, version, found, err, want)
	}
	return version
}

// del deletes a key, if it holds value where value is no nil.
func (u user) del(key string, value []byte, fencing *hlc.Timestamp, want int64) hlc.Timestamp {
	u.Helper()
	n, version, err := u.store.Delete(u.Context(), []byte(key), value, fencing)
	if err != nil || n != want {
		u.Fatalf("Delete(%q, %q, %v) = %d, %v; want %d", key, value, fencing, n, err, want)
	}
	return version
}

// refused checks that err is a refusal in those words.
func (u user) refused(err error, text string) {
	u.Helper()
	var e *state.RequestError
	if !errors.As(err, &e) || e.Text != text {
		u.Errorf("error is %v, want a refusal: %s", err, text)
	}
}

func getAndSet(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	u.get("a", nil)
	u.set("a", "1", state.SetOptions{}, true)
	u.set("b", "2", state.SetOptions{}, true)
	u.get("a", "1")
	u.get("b", "2")
	u.set("a", "3", state.SetOptions{}, true)
	u.get("a", "3")
	u.set("a", "", state.SetOptions{}, true)
	u.get("a", "")
}

func anyBytes(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	key, value := "\x00\r\n\xff$1", "\xff\x00*3\r\n"
	u.set(key, value, state.SetOptions{}, true)
	u.get(key, value)
	u.get("\x00\r\n\xff$2", nil)
	large := strings.Repeat("large", 10_000)
	u.set("large", large, state.SetOptions{}, true)
	u.get("large", large)
}

func conditions(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	first := u.set("k", "1", state.SetOptions{Condition: state.IfAbsent}, true)
	if left := u.set("k", "1", state.SetOptions{Condition: state.IfAbsent}, false); left != first {
		t.Errorf("version where the condition fails is %v, want that of the value, %v", left, first)
	}
	u.set("k", "2", state.SetOptions{Condition: state.IfAbsentEqual}, false)
	u.get("k", "1")
	if again := u.set("k", "1", state.SetOptions{Condition: state.IfAbsentEqual}, true); again.Compare(first) <= 0 {
		t.Errorf("version of an equal value is %v, want it after %v", again, first)
	}
	u.set("l", "1", state.SetOptions{Condition: state.IfAbsentEqual}, true)
	u.get("l", "1")
}

func remove(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	u.del("k", nil, nil, 0)
	u.del("k", []byte("1"), nil, 0)
	version := u.set("k", "1", state.SetOptions{}, true)
	if got := u.del("k", []byte("2"), nil, -1); got != version {
		t.Errorf("version after a delete of another value is %v, want %v", got, version)
	}
	u.del("k", []byte{}, nil, -1)
	u.get("k", "1")
	if got := u.del("k", []byte("1"), nil, 1); got != version {
		t.Errorf("version of the deleted value is %v, want %v", got, version)
	}
	u.get("k", nil)
	u.set("k", "", state.SetOptions{}, true)
	u.del("k", []byte{}, nil, 1)
	u.set("k", "2", state.SetOptions{Condition: state.IfAbsent}, true)
	u.del("k", nil, nil, 1)
	u.get("k", nil)
}

func expiry(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	u.set("short", "1", state.SetOptions{Expires: 2 * time.Second}, true)
	u.set("long", "1", state.SetOptions{Expires: 5 * time.Second}, true)
	u.set("renewed", "1", state.SetOptions{Expires: 2 * time.Second}, true)
	u.set("kept", "1", state.SetOptions{Expires: 2 * time.Second}, true)
	u.set("for ever", "1", state.SetOptions{}, true)
	f.Advance(time.Second)
	u.get("short", "1")
	u.set("renewed", "1", state.SetOptions{Condition: state.IfAbsentEqual, Expires: 3 * time.Second}, true)
	u.set("kept", "2", state.SetOptions{}, true)
	f.Advance(time.Second)
	u.get("short", nil)
	u.del("short", nil, nil, 0)
	u.get("long", "1")
	u.get("renewed", "1")
	u.get("kept", "2")
	u.set("short", "2", state.SetOptions{Condition: state.IfAbsent}, true)
	f.Advance(3 * time.Second)
	u.get("long", nil)
	u.get("renewed", nil)
	u.get("kept", "2")
	u.get("for ever", "1")
	u.get("short", "2")
}

func versions(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	var last hlc.Timestamp
	for i := range 20 {
		version := u.set(fmt.Sprint("key", i%3), "v", state.SetOptions{}, true)
		if version.Compare(last) <= 0 || version.Node == "" {
			t.Fatalf("version %v follows %v", version, last)
		}
		if got := u.get(fmt.Sprint("key", i%3), "v"); got != version {
			t.Fatalf("Get returns version %v, want %v", got, version)
		}
		last = version
		if i%5 == 0 {
			f.Advance(time.Millisecond)
		}
	}
}

// tokens returns three tokens, the oldest first.
func tokens(f Fixture) (older, token, newer *hlc.Timestamp) {
	at := func(counter uint64, node string) *hlc.Timestamp {
		return &hlc.Timestamp{Millis: f.Now().UnixMilli(), Counter: counter, Node: node}
	}
	return at(6, "z"), at(7, "a"), at(7, "b")
}

func fencing(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	older, token, newer := tokens(f)
	set := func(fencing *hlc.Timestamp) error {
		_, _, err := f.Store.Set(t.Context(), []byte("k"), []byte("bad"), state.SetOptions{Fencing: fencing})
		return err
	}
	u.set("k", "0", state.SetOptions{}, true)
	u.set("k", "1", state.SetOptions{Fencing: token}, true) // protects it
	u.refused(set(nil), state.TextFencingMissing)
	u.refused(set(older), state.TextFencingLower)
	u.get("k", "1")
	u.set("k", "2", state.SetOptions{Fencing: token}, true)
	u.set("k", "3", state.SetOptions{Fencing: newer}, true) // raises the protection
	u.refused(set(token), state.TextFencingLower)
	u.get("k", "3")
	u.set("k", "4", state.SetOptions{Condition: state.IfAbsent, Fencing: newer}, false)
	u.get("k", "3")
}

func fencingDelete(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	older, token, newer := tokens(f)
	del := func(value []byte, fencing *hlc.Timestamp) error {
		_, _, err := f.Store.Delete(t.Context(), []byte("k"), value, fencing)
		return err
	}
	u.set("k", "1", state.SetOptions{Fencing: token}, true)
	for _, value := range [][]byte{nil, []byte("1")} {
		u.refused(del(value, nil), state.TextFencingMissing)
		u.refused(del(value, older), state.TextFencingLower)
	}
	u.get("k", "1")
	u.del("k", []byte("2"), newer, -1)
	u.set("k", "1", state.SetOptions{Fencing: token}, true) // a delete that did nothing did not raise it
	u.del("k", []byte("1"), newer, 1)
	u.set("k", "1", state.SetOptions{}, true)
	u.del("k", nil, token, 1) // a token where none is needed
}

func fencingAhead(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	limit := f.Now().Add(time.Minute).UnixMilli()
	ahead := &hlc.Timestamp{Millis: limit + 1000, Node: "n"}
	_, _, err := f.Store.Set(t.Context(), []byte("k"), []byte("1"), state.SetOptions{Fencing: ahead})
	u.refused(err, state.TextFencingAhead)
	_, _, err = f.Store.Delete(t.Context(), []byte("k"), nil, ahead)
	u.refused(err, state.TextFencingAhead)
	u.get("k", nil)
	u.set("k", "1", state.SetOptions{Fencing: &hlc.Timestamp{Millis: limit - 1000, Node: "n"}}, true)
}

func fencingEnds(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	_, token, _ := tokens(f)
	u.set("deleted", "1", state.SetOptions{Fencing: token}, true)
	u.del("deleted", nil, token, 1)
	u.set("deleted", "2", state.SetOptions{}, true)
	u.set("expired", "1", state.SetOptions{Fencing: token, Expires: time.Second}, true)
	f.Advance(time.Second)
	u.set("expired", "2", state.SetOptions{}, true)
	u.set("expired", "3", state.SetOptions{}, true)
}

func refusals(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	ctx := t.Context()
	for _, key := range [][]byte{nil, {}} {
		_, _, _, err := f.Store.Get(ctx, key)
		u.refused(err, state.TextKeyEmpty)
		_, _, err = f.Store.Set(ctx, key, []byte("1"), state.SetOptions{})
		u.refused(err, state.TextKeyEmpty)
		_, _, err = f.Store.Delete(ctx, key, nil, nil)
		u.refused(err, state.TextKeyEmpty)
	}
	_, _, err := f.Store.Set(ctx, []byte("k"), nil, state.SetOptions{Condition: 99})
	u.refused(err, state.TextSyntax)
	_, _, err = f.Store.Set(ctx, []byte("k"), nil, state.SetOptions{Expires: -1})
	u.refused(err, state.TextSyntax)
	u.get("k", nil)
}

func ownership(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	key, value := []byte("key"), []byte("value")
	token := &hlc.Timestamp{Millis: f.Now().UnixMilli(), Node: "n"}
	if _, _, err := f.Store.Set(t.Context(), key, value, state.SetOptions{Fencing: token}); err != nil {
		t.Fatal(err)
	}
	same := *token
	key[0], value[0], token.Millis = 'x', 'x', 0
	u.get("key", "value")
	u.set("key", "value", state.SetOptions{Fencing: &same}, true)
	got, _, _, err := f.Store.Get(t.Context(), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'x'
	u.get("key", "value")
}

func quota(t *testing.T, f Fixture) {
	if f.Quota == 0 {
		return
	}
	u := user{t, f.Store}
	_, _, err := f.Store.Set(t.Context(), []byte("k"), make([]byte, f.Quota), state.SetOptions{})
	u.refused(err, state.TextQuota)
	u.get("k", nil)
	// Keys count, too, and replacing a value costs the difference only.
	half := strings.Repeat("x", f.Quota/2)
	for range 5 {
		u.set("k", half, state.SetOptions{Expires: time.Second}, true)
	}
	_, _, err = f.Store.Set(t.Context(), []byte(half), []byte("v"), state.SetOptions{})
	u.refused(err, state.TextQuota)
	u.get("k", half)
	f.Advance(time.Second)
	u.set(half, "v", state.SetOptions{}, true) // what has expired does not count
	u.del(half, nil, nil, 1)
	u.set("k", half, state.SetOptions{}, true) // nor does what is deleted
}

func cancelled(t *testing.T, f Fixture) {
	u := user{t, f.Store}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := f.Store.Set(ctx, []byte("k"), []byte("1"), state.SetOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Set with a cancelled context: %v, want %v", err, context.Canceled)
	}
	u.get("k", nil)
	ctx, cancel = context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if _, _, _, err := f.Store.Get(ctx, []byte("k")); !errors.Is(err, state.ErrTimeout) {
		t.Errorf("Get past its deadline: %v, want %v", err, state.ErrTimeout)
	}
}

func oneLock(t *testing.T, f Fixture) {
	const takers, rounds = 8, 50
	wins := make([]int, takers)
	var wg sync.WaitGroup
	for i := range takers {
		wg.Go(func() {
			me := fmt.Appendf(nil, "taker %d", i)
			for round := range rounds {
				key := fmt.Appendf(nil, "lock %d", round)
				applied, _, err := f.Store.Set(t.Context(), key, me, state.SetOptions{Condition: state.IfAbsent})
				if err != nil {
					t.Errorf("Set: %v", err)
				}
				if applied {
					wins[i]++
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range wins {
		total += n
	}
	if total != rounds {
		t.Errorf("%d locks were taken %d times", rounds, total)
	}
}
