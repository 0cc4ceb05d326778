// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/window"
	"github.com/wasm-graph/graphd/engine/window/memory"
	"github.com/wasm-graph/graphd/engine/window/windowtest"
)

func TestStore(t *testing.T) {
	windowtest.TestStore(t, func(*testing.T) func() (window.Store, error) {
		var s memory.Store
		return func() (window.Store, error) { return &s, nil }
	})
}

// TestManyRecords puts and removes more records than a block has, in any order.
func TestManyRecords(t *testing.T) {
	var s memory.Store
	want := map[string]string{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		var changes []window.Change
		for range 2000 {
			key := fmt.Sprintf("%04d", random.IntN(8000))
			changes = append(changes, window.Change{Key: []byte(key), Value: []byte(key + " value")})
			want[key] = key + " value"
		}
		from := random.IntN(8000)
		first, end := fmt.Sprintf("%04d", from), fmt.Sprintf("%04d", from+random.IntN(3000))
		changes = append(changes, window.Change{Key: []byte(first), End: []byte(end)})
		maps.DeleteFunc(want, func(key, _ string) bool { return key >= first && key < end })
		if err := s.Commit(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		got, err := windowtest.Records(t.Context(), &s)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || s.Len() != len(want) {
			t.Fatalf("%d records, want %d (-want +got):\n%s", s.Len(), len(want), diff)
		}
	}
}
