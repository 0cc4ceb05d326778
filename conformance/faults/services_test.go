// SPDX-License-Identifier: Apache-2.0

//go:build services

package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/faultproxy"
	"github.com/wasm-graph/graphd/conformance/services/kafka"
	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/conformance/services/programs"
	"github.com/wasm-graph/graphd/engine/endpoint"
	"github.com/wasm-graph/graphd/engine/endpoint/mqtt"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/operators/build"
)

// outage is how long the destination is down; "make soak" makes it longer.
var outage = flag.Duration("outage", 8*time.Second, "how long the destination is down")

// patience is how long the tests wait for what must happen.
const patience = 2 * time.Minute

// setup is what a rig is made of.
type setup struct {
	mosquitto.Options
	// Kafka has the numbers go by way of it, in three Dataflows.
	Kafka bool
}

// A rig is graphd between two brokers, with a proxy on each way. Without Kafka a Dataflow
// passes numbers as they are, and a DataflowGraph has a component mark them.
type rig struct {
	t         *testing.T
	from, to  *mosquitto.Broker
	in, out   *faultproxy.Proxy
	kafka     *kafka.Broker     // nil without
	between   *faultproxy.Proxy // before it
	resources string            // a file of testdata
	dir       string
	count     int    // of the instances of each
	graphd    string // the program
	registry  string // the folder that serves as one
	addr      string // where it tells how it is
	starts    int    // of it, so far
	process   *exec.Cmd
	log       *os.File

	publisher *mqtt.Sink
	confirmed sync.WaitGroup // messages that the first broker has
	arrivals  *arrivals
	began     time.Time
}

// programsFor builds graphd, and the folder that serves as a registry.
func programsFor(t *testing.T) (graphd, artifacts string) {
	t.Helper()
	artifacts = t.TempDir()
	c, err := build.Operator(t.Context(), "../guests/go/probe")
	if err != nil {
		t.Fatal(err)
	}
	definition, err := os.ReadFile("testdata/graph.yaml")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(artifacts, "probe.wasm"), c.Bytes, 0o644),
		os.WriteFile(filepath.Join(artifacts, "graph.yaml"), definition, 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	return programs.Build(t, "graphd"), artifacts
}

func newRig(t *testing.T, graphd, artifacts string, options setup) *rig {
	t.Helper()
	r := &rig{
		t: t, count: 1, graphd: graphd, registry: artifacts, dir: t.TempDir(),
		resources: "testdata/resources.yaml", arrivals: newArrivals("plain", "marked"), began: time.Now(),
	}
	if options.Kafka {
		r.resources, r.arrivals = "testdata/kafka.yaml", newArrivals(lanes...)
		r.kafka = kafka.StartBehind(t, func(addr string) string {
			r.between = faultproxy.Start(t, addr)
			return r.between.Addr
		})
		for _, topic := range []string{"first", "second"} {
			r.kafka.CreateTopic(topic, partitions)
		}
	}
	r.open(options.Options)
	return r
}

// open starts the brokers, and graphd between them.
func (r *rig) open(options mosquitto.Options) {
	t := r.t
	t.Helper()
	options.Persistence = true
	r.from, r.to = mosquitto.Start(t, options), mosquitto.Start(t, options)
	address := func(b *mosquitto.Broker) string {
		if options.TLS {
			return b.TLSAddr
		}
		return b.Addr
	}
	r.in, r.out = faultproxy.Start(t, address(r.from)), faultproxy.Start(t, address(r.to))
	var err error
	if r.log, err = os.Create(filepath.Join(r.dir, "log")); err != nil {
		t.Fatal(err)
	}
	r.configure()
	t.Cleanup(func() {
		if r.process != nil {
			r.end(syscall.SIGTERM)
		}
		if log, err := os.ReadFile(r.log.Name()); t.Failed() {
			t.Logf("graphd said:\n%s%v", log, err)
		}
		r.log.Close()
	})
	r.collect()
	r.start()
	r.ready()
	r.publisher = r.runSink()
}

// configure writes the resources.
func (r *rig) configure() {
	r.t.Helper()
	text, err := os.ReadFile(r.resources)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.between != nil {
		text = bytes.ReplaceAll(text, []byte("BETWEEN"), []byte(r.between.Addr))
	}
	changed := strings.NewReplacer("ARTIFACTS", r.registry, "COUNT", strconv.Itoa(r.count),
		"FROM_SECURITY", r.security(r.from, "from"), "TO_SECURITY", r.security(r.to, "to"),
		"FROM", r.in.Addr, "TO", r.out.Addr).Replace(string(text))
	path := filepath.Join(r.dir, "resources.yaml")
	if err := errors.Join(os.WriteFile(path+".new", []byte(changed), 0o600), os.Rename(path+".new", path)); err != nil {
		r.t.Fatal(err)
	}
}

// security is what an endpoint says about certificates, and the objects with them.
func (r *rig) security(b *mosquitto.Broker, name string) string {
	r.t.Helper()
	if b.TLSAddr == "" {
		return "    authentication: {method: Anonymous}\n    tls: {mode: Disabled}"
	}
	authority, err := os.ReadFile(b.CAFile)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf(`    tls: {trustedCaCertificateConfigMapRef: %[1]s-ca}
    authentication: {method: X509Certificate, x509CertificateSettings: {secretRef: %[1]s-device}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: %[1]s-ca}
data:
  ca.crt: |
    %[2]s
---
apiVersion: v1
kind: Secret
metadata: {name: %[1]s-device}
stringData:
  client_cert.pem: |
    %[3]s
  client_key.pem: |
    %[4]s
  client_intermediate_certs.pem: |
    %[5]s`, name, programs.Indented(authority), programs.Indented([]byte(b.Device.Certificate)),
		programs.Indented([]byte(b.Device.Key)), programs.Indented([]byte(b.Device.Intermediate)))
}

// address matches where graphd says that it serves.
var address = regexp.MustCompile(`address="?http://([0-9.:]+)`)

// start starts graphd, and waits until it says where it serves.
func (r *rig) start() {
	r.t.Helper()
	r.starts++
	r.process = exec.Command(r.graphd, "run", "-f", filepath.Join(r.dir, "resources.yaml"), "--addr", "127.0.0.1:0", "--data-dir", filepath.Join(r.dir, "data"))
	r.process.Stderr = r.log
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.until("graphd serves", func() bool {
		log, err := os.ReadFile(r.log.Name())
		said := address.FindAllSubmatch(log, -1)
		if err != nil || len(said) < r.starts {
			return false
		}
		r.addr = string(said[len(said)-1][1])
		return true
	})
}

// end ends graphd by a signal.
func (r *rig) end(signal os.Signal) {
	r.t.Helper()
	if err := r.process.Process.Signal(signal); err != nil {
		r.t.Error(err)
	}
	if err := r.process.Wait(); err != nil && signal == syscall.SIGTERM {
		r.t.Errorf("graphd: %v", err)
	}
	r.process = nil
}

// get returns what graphd answers; nothing where it doesn't.
func (r *rig) get(path string) string {
	response, err := http.Get("http://" + r.addr + path)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return ""
	}
	return string(content)
}

// until waits for what must come to hold.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-look.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (r *rig) ready() {
	r.t.Helper()
	r.until("graphd is ready", func() bool { return r.get("/readyz") != "" })
}

// wantReason waits until the Dataflow and the DataflowGraph are well, or not for that reason.
func (r *rig) wantReason(reason string) {
	r.t.Helper()
	r.wantReasons(map[string]string{"plain": reason, "marked": reason})
}

// wantReasons waits until all are well, or not for these reasons, by name.
func (r *rig) wantReasons(want map[string]string) {
	r.t.Helper()
	var got map[string]string
	defer func() {
		if r.t.Failed() {
			r.t.Logf("the reasons are %q", got)
		}
	}()
	r.until(fmt.Sprintf("the reasons are %q", want), func() bool {
		got = r.reasons()
		return maps.Equal(got, want)
	})
}

// graphStatus is what graphd says of a Dataflow or a DataflowGraph.
type graphStatus struct {
	Kind, Name  string
	HealthState struct{ Status, ReasonCode string }
	Instances   []struct{ Retiring bool } // none where there is but one
}

// statuses returns what graphd says of Dataflows and DataflowGraphs.
func (r *rig) statuses() []graphStatus {
	var status struct{ Resources []graphStatus }
	_ = json.Unmarshal([]byte(r.get("/status")), &status) // what doesn't parse has none
	return slices.DeleteFunc(status.Resources, func(s graphStatus) bool { return s.Kind != "Dataflow" && s.Kind != "DataflowGraph" })
}

// reasons returns the reason codes of Dataflows and DataflowGraphs, by name.
func (r *rig) reasons() map[string]string {
	reasons := map[string]string{}
	for _, s := range r.statuses() {
		reasons[s.Name] = s.HealthState.ReasonCode
	}
	return reasons
}

// client is how the test itself reaches a broker, past the proxies.
func (r *rig) client(b *mosquitto.Broker, id string) mqtt.Config {
	return mqtt.Config{Address: b.Addr, ClientID: id, MaxInflight: 65535, SessionExpiry: time.Hour, MaxBackoff: 200 * time.Millisecond}
}

// run runs an end until the test does.
func run(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// runSink connects the publisher of numbers.
func (r *rig) runSink() *mqtt.Sink {
	r.t.Helper()
	sink, err := mqtt.NewSink(r.client(r.from, "publisher"), "numbers")
	if err != nil {
		r.t.Fatal(err)
	}
	run(r.t, sink.Run)
	return sink
}

// publish publishes messages at a rate. They are confirmed later: r.confirmed says when.
func (r *rig) publish(perSecond int, messages ...*message.Message) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i, m := range messages {
		if perTick := max(perSecond/50, 1); i%perTick == perTick-1 {
			<-tick.C
		}
		r.confirmed.Add(1)
		err := r.publisher.Send(r.t.Context(), m, func(err error) {
			if err != nil {
				r.t.Errorf("publish: %v", err)
			}
			r.confirmed.Done()
		})
		if err != nil {
			r.t.Error("publish:", err)
			r.confirmed.Done()
			return
		}
	}
}

// numbers are messages of the numbers from from to to.
func numbers(from, to int) []*message.Message {
	var all []*message.Message
	for i := from; i < to; i++ {
		all = append(all, &message.Message{Payload: []byte(strconv.Itoa(i))})
	}
	return all
}

// collect subscribes to what comes out.
func (r *rig) collect() {
	r.t.Helper()
	source, err := mqtt.NewSource(r.client(r.to, "collector"), "plain", "marked", "passed")
	if err != nil {
		r.t.Fatal(err)
	}
	flush := make(chan struct{})
	close(flush)
	run(r.t, func(ctx context.Context) error {
		return source.Run(ctx, func(d endpoint.Delivery) {
			r.arrivals.take(d.Message)
			d.Settle()
		}, flush)
	})
	r.until("the collector is subscribed", source.Connected)
}

// wantAll waits until the numbers below n have come out on all ways, in order.
func (r *rig) wantAll(n int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d numbers have come", n), func() bool { return r.arrivals.complete(n) })
	r.arrivals.mu.Lock()
	defer r.arrivals.mu.Unlock()
	for _, fault := range r.arrivals.faults {
		r.t.Error(fault)
	}
	r.t.Logf("%d numbers on each way, %d messages came again; after %v", n, r.arrivals.again, time.Since(r.began).Round(time.Second))
}

// arrivals are what came out.
type arrivals struct {
	mu     sync.Mutex
	next   map[string]int          // guarded by mu: the number to come, by way; in any order: how many have come
	came   map[string]map[int]bool // guarded by mu: the numbers that have come, by way; nil: they come in order
	again  int                     // guarded by mu: messages that had come before
	faults []string                // guarded by mu
	others []*message.Message
}

func newArrivals(ways ...string) *arrivals {
	a := &arrivals{next: map[string]int{}}
	for _, way := range ways {
		a.next[way] = 0
	}
	return a
}

// inAnyOrder are arrivals of which only the set matters.
func inAnyOrder() *arrivals {
	a := newArrivals("plain", "marked")
	a.came = map[string]map[int]bool{"plain": {}, "marked": {}}
	return a
}

// take notes a message. A number that comes for the first time must be the next.
func (a *arrivals) take(m *message.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, mark, marked := strings.Cut(string(m.Payload), ">")
	n, err := strconv.Atoi(text)
	way := m.Topic
	if m.Topic == "passed" {
		way, _ = m.Property(lane)
	}
	switch next, known := a.next[way]; {
	case !known:
		a.faults = append(a.faults, fmt.Sprintf("%s: %q came", way, m.Payload))
	case marked != (m.Topic == "marked") || marked && mark != "map":
		a.faults = append(a.faults, fmt.Sprintf("%s: got %q", m.Topic, m.Payload))
	case err != nil:
		a.others = append(a.others, m)
	case a.came != nil && a.came[way][n]:
		a.again++
	case a.came != nil:
		a.came[way][n] = true
		a.next[way]++
	case n == next:
		a.next[way]++
	case n < next:
		a.again++
	case len(a.faults) < 10:
		a.faults = append(a.faults, fmt.Sprintf("%s: number %d came first when it was %d's turn", way, n, next))
	}
}

// reached reports whether the numbers below n have come out.
func (a *arrivals) reached(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.faults) > 0 {
		return true
	}
	for _, next := range a.next {
		if next < n {
			return false
		}
	}
	return true
}

// complete reports whether these have, and no others.
func (a *arrivals) complete(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.faults) > 0 {
		return true
	}
	for _, next := range a.next {
		if next != n {
			return false
		}
	}
	return true
}

// TestFaults runs side by side what mostly waits.
func TestFaults(t *testing.T) {
	graphd, artifacts := programsFor(t)
	for _, tt := range []struct {
		name string
		play func(*testing.T, func(setup) *rig)
	}{
		{"Kafka", kafkaDown},
		{"network cut", networkCut},
		{"destination down", destinationDown},
		{"certificates rotated", certificatesRotated},
		{"connections reset", connectionsReset},
		{"brokers restarted and killed", brokersKilled},
		{"graphd killed", graphdKilled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.play(t, func(o setup) *rig { return newRig(t, graphd, artifacts, o) })
		})
	}
}

// graphdKilled kills graphd under load.
func graphdKilled(t *testing.T, newRig func(setup) *rig) {
	r := newRig(setup{})
	var publishing sync.WaitGroup
	publishing.Go(func() { r.publish(1000, numbers(0, 6000)...) })
	for _, n := range []int{500, 2000, 4000} {
		r.until(fmt.Sprintf("%d numbers have come", n), func() bool { return r.arrivals.reached(n) })
		r.end(syscall.SIGKILL)
		r.start()
	}
	publishing.Wait()
	r.wantAll(6000)
}

// networkCut cuts graphd off for half a minute, one from the first broker and another from the
// second: no side is told, and each finds out by itself.
func networkCut(t *testing.T, newRig func(setup) *rig) {
	before, behind := newRig(setup{}), newRig(setup{})
	publish := func(from, to int) {
		var publishing sync.WaitGroup
		for _, r := range []*rig{before, behind} {
			publishing.Go(func() { r.publish(200, numbers(from, to)...) })
		}
		publishing.Wait()
	}
	publish(0, 400)
	before.in.Cut()
	behind.out.Cut()
	began := time.Now()
	publish(400, 2000)
	before.wantReason("DataflowMqttSourceConnectionFailed")
	behind.wantReason("DataflowMqttTargetConnectionFailed")
	time.Sleep(time.Until(began.Add(30 * time.Second)))
	before.in.Mend()
	behind.out.Mend()
	publish(2000, 2400)
	for _, r := range []*rig{before, behind} {
		r.wantAll(2400)
		r.wantReason("")
	}
}

// connectionsReset resets all connections, again and again.
func connectionsReset(t *testing.T, newRig func(setup) *rig) {
	r := newRig(setup{})
	for i := range 10 {
		r.publish(1000, numbers(400*i, 400*(i+1))...)
		r.in.Reset()
		r.out.Reset()
	}
	r.wantAll(4000)
}

// brokersKilled restarts both brokers under load; then it kills them, where they have written
// down what they have confirmed.
func brokersKilled(t *testing.T, newRig func(setup) *rig) {
	r := newRig(setup{})
	r.publish(1000, numbers(0, 1000)...)
	r.from.Restart()
	r.publish(1000, numbers(1000, 2000)...)
	r.to.Restart()
	r.publish(1000, numbers(2000, 3000)...)

	r.out.Cut() // so that the second one has no more to confirm
	r.confirmed.Wait()
	time.Sleep(100 * time.Millisecond)
	r.to.Save()
	r.to.Kill()
	r.to.Restart()
	r.out.Reset()
	r.out.Mend()
	r.publish(1000, numbers(3000, 4000)...)

	r.confirmed.Wait()
	r.from.Save() // what graphd acknowledges between this and that comes again
	r.from.Kill()
	r.from.Restart()
	r.publish(1000, numbers(4000, 5000)...)
	r.wantAll(5000)
}

// certificatesRotated renews the certificates of both brokers while they run; then it replaces
// them, the authority that signed them, and that of graphd.
func certificatesRotated(t *testing.T, newRig func(setup) *rig) {
	r := newRig(setup{Options: mosquitto.Options{TLS: true, ClientCertificates: true, ACL: []string{
		"topic readwrite #", "user device-1", "topic readwrite numbers", "topic readwrite plain", "topic readwrite marked",
	}}})
	connections := func() int { return r.in.Connections() + r.out.Connections() }
	connected := connections()
	r.publish(1000, numbers(0, 200)...)
	r.from.Renew()
	r.to.Renew()
	r.publish(1000, numbers(200, 400)...)
	r.until("these have come", func() bool { return r.arrivals.complete(400) })
	if n := connections() - connected; n != 0 {
		t.Errorf("graphd has connected %d times because certificates were renewed", n)
	}
	r.in.Reset()
	r.out.Reset()
	r.publish(1000, numbers(400, 500)...)
	r.until("all of that has come", func() bool { return r.arrivals.complete(500) })
	if n := connections() - connected; n < 4 {
		t.Errorf("graphd has connected %d times again, want 4: it saw no new certificate", n)
	}
	for i, b := range []*mosquitto.Broker{r.from, r.to} {
		b.Rotate()
		r.publish(500, numbers(500+1000*i, 1000+1000*i)...)
		r.until("graphd trusts the broker no more", func() bool {
			log, err := os.ReadFile(r.log.Name())
			return err == nil && strings.Contains(string(log), "certificate signed by unknown authority")
		})
		r.configure()
		r.publish(500, numbers(1000+1000*i, 1500+1000*i)...)
	}
	r.wantAll(2500)
	r.ready()
}

// destinationDown stops the second broker, while the first one holds what is for it.
func destinationDown(t *testing.T, newRig func(setup) *rig) {
	r := newRig(setup{})
	r.publish(1000, numbers(0, 1000)...)
	r.confirmed.Wait()
	r.until("all of that has come", func() bool { return r.arrivals.complete(1000) })
	before := r.resident()
	r.to.Stop()
	stopped := time.Now()
	for _, m := range []struct {
		text  string
		after time.Duration
	}{{"gone", 3 * time.Second}, {"kept", 1000 * time.Second}} {
		r.publish(1000, &message.Message{Payload: []byte(m.text), Envelope: &message.Envelope{Expires: time.Now().Add(m.after)}})
	}
	large := numbers(1000, 20_000)
	for _, m := range large {
		m.Properties = []message.Property{{Key: "padding", Value: strings.Repeat("x", 2000)}}
	}
	r.publish(5000, large...)
	r.confirmed.Wait()
	r.wantReason("DataflowMqttTargetConnectionFailed")
	time.Sleep(time.Until(stopped.Add(*outage)))
	r.bounded(before, len(large)*2000, 20<<20)
	r.to.Restart()
	r.wantAll(20_000)
	r.wantReason("")
	r.arrivals.mu.Lock()
	defer r.arrivals.mu.Unlock()
	if len(r.arrivals.others) != 2 {
		t.Errorf("%d messages with an expiry came, want the one that had not expired, on each way", len(r.arrivals.others))
	}
	for _, m := range r.arrivals.others {
		if left := time.Until(m.Envelope.Expires); !strings.HasPrefix(string(m.Payload), "kept") || left > 1000*time.Second-*outage+time.Second || left < 800*time.Second {
			t.Errorf("%q came with %v left", m.Payload, left)
		}
	}
	expired := 0
	for line := range strings.Lines(r.get("/metrics")) {
		if strings.HasPrefix(line, "aio_dataflow_messages_expired") {
			n, _ := strconv.Atoi(strings.TrimSpace(line[strings.LastIndex(line, " "):]))
			expired += n
		}
	}
	if expired != 2 {
		t.Errorf("%d messages are counted as expired, want 2", expired)
	}
}

// bounded waits until graphd has grown by no more than limit since it had before bytes of
// memory, though so many are waiting: what it needed to catch up is given back after a while.
func (r *rig) bounded(before, waiting, limit int) {
	r.t.Helper()
	first := r.resident()
	during := first
	r.until(fmt.Sprintf("graphd has grown by no more than %d MiB", limit>>20), func() bool {
		during = r.resident()
		return during <= before+limit
	})
	r.t.Logf("resident: %d MiB before, %d and then %d MiB with %d MiB waiting", before>>20, first>>20, during>>20, waiting>>20)
}

// resident returns how much memory graphd has, in bytes.
func (r *rig) resident() int {
	r.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return n << 10
}
