// SPDX-License-Identifier: Apache-2.0

//go:build services

package durability_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/mosquitto"
	"github.com/wasm-graph/graphd/operators/build"
)

// patience is how long the tests wait for what must happen.
const patience = time.Minute

// The load: numbers, from 0, as many a second.
const (
	numbers   = 20_000
	perSecond = 2_000
)

// rig is graphd between a broker and a publisher.
type rig struct {
	t       *testing.T
	broker  *mosquitto.Broker
	program string
	dir     string
	addr    string
	log     *os.File
	process *exec.Cmd
	results *mosquitto.Subscription
}

func newRig(t *testing.T, window string) *rig {
	t.Helper()
	r := &rig{t: t, broker: mosquitto.Start(t, mosquitto.Options{Persistence: true}), dir: t.TempDir()}
	r.program = filepath.Join(r.dir, "graphd")
	if output, err := exec.Command("go", "build", "-o", r.program, "../../cmd/graphd").CombinedOutput(); err != nil {
		t.Fatalf("build graphd: %v\n%s", err, output)
	}
	artifacts := filepath.Join(r.dir, "artifacts")
	if err := os.Mkdir(artifacts, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{"window": "../../operators/window", "tally": "../guests/go/tally"} {
		c, err := build.Operator(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		r.write(filepath.Join(artifacts, name+".wasm"), c.Bytes)
	}
	r.write(filepath.Join(artifacts, "tally-graph.yaml"), r.read("testdata/tally-graph.yaml"))
	text := strings.NewReplacer("ARTIFACTS", artifacts, "BROKER", r.broker.Addr, "WINDOW", window).Replace(string(r.read("testdata/resources.yaml")))
	r.write(filepath.Join(r.dir, "resources.yaml"), []byte(text))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if r.log, err = os.Create(filepath.Join(r.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.process != nil {
			r.end(syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("graphd said:\n%s", r.read(r.log.Name()))
		}
		if err := r.log.Close(); err != nil {
			t.Error(err)
		}
	})
	r.results = r.broker.Subscribe("-q", "1", "-t", "results", "-c", "-x", "3600")
	return r
}

func (r *rig) read(path string) []byte {
	r.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return content
}

func (r *rig) write(path string, content []byte) {
	r.t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// replace gives a file other content, in one step. Like end it may be called from any
// goroutine.
func (r *rig) replace(path string, content []byte) {
	r.t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", content, 0o644), os.Rename(path+".new", path)); err != nil {
		r.t.Error(err)
	}
}

// start starts graphd and waits until it is ready. Like end it may be called from any
// goroutine.
func (r *rig) start() {
	r.t.Helper()
	r.process = exec.Command(r.program, "run", "-f", filepath.Join(r.dir, "resources.yaml"), "--addr", r.addr, "--data-dir", filepath.Join(r.dir, "data"))
	r.process.Stderr = r.log
	if err := r.process.Start(); err != nil {
		r.t.Error(err)
		return
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); ; <-look.C {
		if status, _ := r.get("/readyz"); status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			r.t.Errorf("graphd is not ready after %v", patience)
			return
		}
	}
}

func (r *rig) get(path string) (status int, body string) {
	response, err := http.Get("http://" + r.addr + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(content)
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

// publish publishes numbers at their rate, and calls at between them: with each number
// that it has an entry for. It returns when the broker has all of them.
func (r *rig) publish(from, to int, at map[int]func()) {
	r.t.Helper()
	read, write := io.Pipe()
	var pace sync.WaitGroup
	pace.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		const perTick = perSecond / 100
		for i := from; i < to; i += perTick {
			var lines strings.Builder
			for n := i; n < i+perTick; n++ {
				fmt.Fprintln(&lines, n)
			}
			if _, err := io.WriteString(write, lines.String()); err != nil {
				return // the publisher has ended, and says why
			}
			<-tick.C
		}
		write.Close()
	})
	var meanwhile sync.WaitGroup
	began := time.Now()
	for _, n := range slices.Sorted(func(yield func(int) bool) {
		for n := range at {
			if !yield(n) {
				return
			}
		}
	}) {
		when := began.Add(time.Duration(n-from) * time.Second / perSecond)
		meanwhile.Go(func() {
			time.Sleep(time.Until(when))
			at[n]()
		})
	}
	r.broker.PublishFrom(read, "-q", "1", "-t", "numbers", "-l")
	pace.Wait()
	meanwhile.Wait()
}

// check receives results until every number has come at once and in a window, and
// checks their order, that no number is in two windows, and that a window that comes
// again is what it was.
func (r *rig) check() {
	t := r.t
	t.Helper()
	single := make([]bool, numbers)
	inWindow := make([]string, numbers) // the stamp of the window
	windows := map[string]string{}      // content by stamp
	left, again, last, lastInWindow := 2*numbers, 0, -1, -1
	for left > 0 && !t.Failed() {
		m := r.results.Next()
		payload := string(m.Payload)
		list, isWindow := strings.CutPrefix(payload, "window ")
		if !isWindow {
			n, err := strconv.Atoi(payload)
			switch {
			case err != nil || n < 0 || n >= numbers:
				t.Fatalf("got %q", payload)
			case single[n]:
				again++
			case n < last:
				t.Errorf("number %d came first after %d", n, last)
			default:
				single[n], last = true, n
				left--
			}
			continue
		}
		stamp := stampOf(m)
		if before, ok := windows[stamp]; ok {
			if before != payload {
				t.Errorf("window %s came again as something else: %d bytes, then %d", stamp, len(before), len(payload))
			}
			again++
			continue
		}
		windows[stamp] = payload
		for _, word := range strings.Fields(list) {
			n, err := strconv.Atoi(word)
			switch {
			case err != nil || n < 0 || n >= numbers:
				t.Fatalf("window %s has %q", stamp, word)
			case inWindow[n] != "":
				t.Errorf("number %d is in the windows %s and %s", n, inWindow[n], stamp)
			case n < lastInWindow:
				t.Errorf("window %s: number %d came after %d", stamp, n, lastInWindow)
			}
			inWindow[n], lastInWindow = stamp, n
			left--
		}
	}
	t.Logf("%d numbers in %d windows, %d messages came again", numbers, len(windows), again)
	_, metrics := r.get("/metrics")
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "graphd_late") || strings.HasPrefix(line, "graphd_messages_late") {
			t.Log(strings.TrimSpace(line))
			if !strings.HasSuffix(strings.TrimSpace(line), " 0") {
				t.Errorf("counted late: %s", line)
			}
		}
	}
}

func stampOf(m mosquitto.Message) string {
	for _, p := range m.UserProperties {
		if p[0] == "__ts" {
			return p[1]
		}
	}
	return ""
}

// TestKilled kills graphd three times under load.
func TestKilled(t *testing.T) {
	for _, window := range []string{"2s", "10s"} {
		t.Run("windows of "+window, func(t *testing.T) {
			r := newRig(t, window)
			r.start()
			kill := func() {
				r.end(syscall.SIGKILL)
				r.start()
			}
			r.publish(0, numbers, map[int]func(){3_000: kill, 9_000: kill, 15_500: kill})
			r.check()
		})
	}
}

// TestSwapped replaces the definition and the component that folds, by turns, under
// load and while windows are open, and kills graphd once between that.
func TestSwapped(t *testing.T) {
	r := newRig(t, "10s")
	r.start()
	artifacts := filepath.Join(r.dir, "artifacts")
	component, definition := filepath.Join(artifacts, "tally.wasm"), filepath.Join(artifacts, "tally-graph.yaml")
	wasm, text := r.read(component), r.read(definition)
	at := map[int]func(){}
	for i := range 4 {
		at[2_000+4_000*i] = func() {
			if i%2 == 0 {
				// A custom section with an empty name: the same code under another digest.
				wasm = append(wasm, 0, 1, 0)
				r.replace(component, wasm)
			} else {
				text = fmt.Appendf(text, "# version %d\n", i)
				r.replace(definition, text)
			}
		}
	}
	at[11_000] = func() {
		r.end(syscall.SIGKILL)
		r.start()
	}
	r.publish(0, numbers, at)
	r.check()
	if swaps := strings.Count(string(r.read(r.log.Name())), "graph swapped"); swaps < 3 {
		t.Errorf("swapped %d times", swaps)
	}
}

// TestBrokerStopped stops the broker for a minute, while windows are open.
func TestBrokerStopped(t *testing.T) {
	r := newRig(t, "10s")
	r.start()
	r.publish(0, numbers/2, nil)
	r.broker.Stop()
	time.Sleep(time.Minute)
	r.broker.Restart()
	r.publish(numbers/2, numbers, nil)
	r.check()
}
