// SPDX-License-Identifier: Apache-2.0

//go:build services

package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/engine/message"
)

// lane is the user property that says which numbers follow each other; one lane is in one
// partition.
const lane = "lane"

const partitions = 3 // of each topic

var lanes = []string{"left", "middle", "right"}

// inLanes are messages of the numbers from from to to, in each lane.
func inLanes(from, to int) []*message.Message {
	var all []*message.Message
	for _, m := range numbers(from, to) {
		for _, name := range lanes {
			all = append(all, &message.Message{Payload: m.Payload, Properties: []message.Property{
				{Key: lane, Value: name}, {Key: "padding", Value: strings.Repeat("x", 1000)},
			}})
		}
	}
	return all
}

// kafkaDown has numbers go from MQTT to Kafka, from there to Kafka, and from there to MQTT,
// and each of them fail in its turn: graphd, Kafka, the way there, and the broker behind.
func kafkaDown(t *testing.T, newRig func(setup) *rig) {
	r := newRig(setup{Kafka: true})
	all := func(n int) int { return n * len(lanes) }
	well := map[string]string{"to-kafka": "", "through-kafka": "", "from-kafka": ""}

	var publishing sync.WaitGroup
	publishing.Go(func() { r.publish(2000, inLanes(0, 3000)...) })
	for _, n := range []int{200, 1000, 2000} {
		r.until(fmt.Sprintf("%d numbers have come", n), func() bool { return r.arrivals.reached(n) })
		r.end(syscall.SIGKILL)
		r.start()
	}
	publishing.Wait()
	r.wantAll(3000)
	r.wantReasons(well)
	before := r.resident()

	// Kafka is gone: MQTT keeps what is for it.
	r.kafka.Kill()
	killed := time.Now()
	r.publish(8000, inLanes(3000, 10_000)...)
	r.confirmed.Wait()
	r.wantReasons(map[string]string{
		"to-kafka":      "DataflowKafkaTargetEndpointUnreachable",
		"through-kafka": "DataflowKafkaSourceConnectionFailed",
		"from-kafka":    "DataflowKafkaSourceConnectionFailed",
	})
	attempts := r.between.Connections()
	time.Sleep(time.Until(killed.Add(*outage)))
	attempts = r.between.Connections() - attempts
	t.Logf("%d attempts in %v", attempts, *outage)
	if attempts > 100*int(*outage/time.Second) { // by four clients, whose several loops begin at a tenth of a second
		t.Errorf("there were %d attempts to connect in %v", attempts, *outage)
	}
	r.bounded(before, all(7000)*1000, 20<<20)
	r.kafka.Restart()
	r.wantAll(10_000)
	r.wantReasons(well)

	// The broker behind is gone: Kafka keeps what is for it, and its offset.
	r.until("all of that is committed", func() bool { return r.kafka.Committed("plant", "second") == r.kafka.End("second", partitions) })
	delivered := r.kafka.End("second", partitions)
	r.to.Stop()
	stopped := time.Now()
	r.publish(8000, inLanes(10_000, 17_000)...)
	r.confirmed.Wait()
	r.until("all of that is in Kafka", func() bool { return r.kafka.End("second", partitions) >= delivered+int64(all(7000)) })
	r.wantReasons(map[string]string{"to-kafka": "", "through-kafka": "", "from-kafka": "DataflowMqttTargetConnectionFailed"})
	time.Sleep(time.Until(stopped.Add(*outage)))
	r.bounded(before, all(7000)*1000, 150<<20) // what two sources fetch ahead, of which there may be more
	if got := r.kafka.Committed("plant", "second"); got != delivered {
		t.Errorf("%d offsets are committed, want %d, since nothing was delivered", got, delivered)
	}
	r.to.Restart()
	r.wantAll(17_000)
	r.wantReasons(well)

	// The way to Kafka is silent.
	r.between.Cut()
	r.publish(2000, inLanes(17_000, 18_000)...)
	r.until("it is noticed", func() bool { return !slices.Contains(slices.Collect(maps.Values(r.reasons())), "") })
	r.between.Mend()
	r.wantAll(18_000)
	r.wantReasons(well)
}
