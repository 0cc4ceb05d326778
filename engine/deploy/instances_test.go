// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
)

// profile is the default profile, with so many instances.
func profile(count int) string {
	return fmt.Sprintf("---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata: {name: default}\nspec: {instanceCount: %d}\n", count)
}

// remembered is Counts for a test.
type remembered struct{ counts map[resource.Key]int }

func (r *remembered) Load() (map[resource.Key]int, error) {
	return maps.Collect(maps.All(r.counts)), nil
}

func (r *remembered) Store(counts map[resource.Key]int) error {
	r.counts = maps.Collect(maps.All(counts))
	return nil
}

// TestInstances: as many run as the profile says; those too many finish what they have,
// beyond the end of a process.
func TestInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept remembered
		counted := func(want int) {
			t.Helper()
			if got := kept.counts[key("a")]; got != want {
				t.Errorf("%d instances are remembered, want %d", got, want)
			}
		}
		s, d, wanted, stop := startWith(t, &kept)
		a := text("a", "simple:1", "")
		wanted <- set(t, broker, a, profile(1))
		s.want(t, "a runs simple:1")
		counted(0)

		// One that shares is connected otherwise than one that is alone.
		wanted <- set(t, broker, a, profile(3))
		time.Sleep(10 * time.Second)
		s.want(t, "a drained", "a runs simple:1", "a#1 runs simple:1", "a#2 runs simple:1")
		counted(3)
		var numbers []int
		for _, i := range status(t, d, "DataflowGraph", "a").Instances {
			numbers = append(numbers, i.Instance)
		}
		if diff := cmp.Diff([]int{0, 1, 2}, numbers); diff != "" {
			t.Errorf("instances -want +got\n%s", diff)
		}

		// All become something else together, and stay connected.
		a = text("a", "simple:2", "")
		wanted <- set(t, broker, a, profile(3))
		s.want(t, "a becomes simple:2", "a#1 becomes simple:2", "a#2 becomes simple:2")

		// One fewer, one more again before it has finished, and two fewer.
		wanted <- set(t, broker, a, profile(2))
		s.want(t, "a#2 retires")
		if got := status(t, d, "DataflowGraph", "a"); !got.Instances[2].Retiring || got.Health.State != engine.Available {
			t.Errorf("status is %+v", got)
		}
		wanted <- set(t, broker, a, profile(3))
		s.want(t, "a#2 drained early", "a#2 runs simple:2")
		counted(3)
		wanted <- set(t, broker, a, profile(1))
		time.Sleep(10 * time.Second)
		s.want(t, "a drained", "a runs simple:2", "a#1 retires", "a#2 retires")
		counted(3)
		stop()
		s.want(t, "a drained", "a#1 drained early", "a#2 drained early")

		// The next process goes on, whatever has become of the rest.
		s, d, wanted, stop = startWith(t, &kept)
		s.setFailure("a#2", errors.New("no broker"))
		wanted <- set(t, broker, a, profile(1))
		s.want(t, "a runs simple:2", "a#1 retires", "a#1 runs simple:2", "a#2 fails")
		time.Sleep(65 * time.Second)
		s.setFailure("a#2", nil)
		time.Sleep(10 * time.Minute)
		s.take()
		counted(1)
		if got := status(t, d, "DataflowGraph", "a"); got.Instances != nil || got.Health.State != engine.Available {
			t.Errorf("status is %+v", got)
		}
		stop()
		s.want(t, "a drained")
		s, _, wanted, stop = startWith(t, &kept)
		wanted <- set(t, broker, a, profile(1))
		s.want(t, "a runs simple:2")
		stop()
	})
}

// TestHealthOfInstances: some of many is not all.
func TestHealthOfInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, wanted, stop := start(t)
		s.setFailure("a#1", &deploy.Failure{Reason: deploy.MQTTSourceConnectionFailed, Err: errors.New("bad password")})
		wanted <- set(t, broker, text("a", "simple:1", ""), text("b", "simple:1", "profileRef: one"), profile(2), strings.Replace(profile(1), "default", "one", 1))
		synctest.Wait()
		for _, tt := range []struct {
			kind, name string
			want       deploy.Health
		}{
			{"DataflowGraph", "a", deploy.Health{State: engine.Degraded, Reason: deploy.MQTTSourceConnectionFailed, Message: "instance 1: bad password (1 of 2)"}},
			{"DataflowGraph", "b", deploy.Health{State: engine.Available}},
			{"DataflowProfile", "default", deploy.Health{State: engine.Degraded, Reason: deploy.MQTTSourceConnectionFailed, Message: "DataflowGraph a: instance 1: bad password (1 of 2)"}},
			{"DataflowProfile", "one", deploy.Health{State: engine.Available}},
			{"RegistryEndpoint", "default", deploy.Health{State: engine.Available}},
			{"DataflowEndpoint", "default", deploy.Health{State: engine.Unknown, Message: "nothing that runs uses it"}},
		} {
			tt.want.Since, tt.want.Updated = time.Now(), time.Now()
			if diff := cmp.Diff(tt.want, status(t, d, tt.kind, tt.name).Health); diff != "" {
				t.Errorf("%s %s -want +got\n%s", tt.kind, tt.name, diff)
			}
		}
		if err := d.Ready(); err == nil {
			t.Error("ready with an instance that isn't")
		}
		stop()
	})
}
