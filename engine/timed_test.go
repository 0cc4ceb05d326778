// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/engine/operator/native"
	"github.com/wasm-graph/graphd/engine/plan"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/engine/schedule"
)

// window puts messages off to the next multiple of ten seconds, as the published
// window operator does.
func window() *native.Operator {
	return &native.Operator{Delay: func(_ context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
		until := at
		until.Counter = 0
		until.Millis = (m.Time.Millis + 9_999) / 10_000 * 10_000
		return until, nil
	}}
}

// join folds payloads into "a+b+c". It takes no payload "bad", alone or among
// others, and no payload "trap".
func join() *native.Operator {
	return &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
		var parts []string
		if len(staged.Payload) > 0 {
			parts = append(parts, string(staged.Payload))
		}
		for _, m := range batch {
			switch string(m.Payload) {
			case "bad":
				return nil, refuse("bad")
			case "trap":
				return nil, errors.New("unreachable executed")
			}
			parts = append(parts, string(m.Payload))
		}
		out := staged.Clone()
		out.Payload = []byte(strings.Join(parts, "+"))
		out.Topic = batch[len(batch)-1].Topic
		return out, nil
	}}
}

// simulate runs a graph in virtual time over lines such as "12.5:payload", or
// ":payload" without a stamp, times in seconds, and returns what came out as
// "sink seconds payload", one a line.
func simulate(t *testing.T, topology string, operators map[string]*native.Operator, options plan.Options, lines ...string) (out string, g *engine.Graph) {
	t.Helper()
	r := newRig(t, topology, operators)
	r.config.Options = options
	r.config.HLC = nil
	r.config.Virtual = schedule.NewVirtualTime(time.Time{})
	for _, line := range lines {
		at, payload, _ := strings.Cut(line, ":")
		m := &message.Message{Topic: "t", Payload: []byte(payload)}
		if at != "" {
			d, err := time.ParseDuration(at + "s")
			if err != nil {
				t.Fatal(err)
			}
			m.Properties = []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", d.Milliseconds())}}
		}
		r.sources[0].Publish(m)
	}
	r.sources[0].Close()
	var b strings.Builder
	for i, s := range r.sinks {
		s.deny = func(m *message.Message) error { // not denying, but seeing the order between sinks
			fmt.Fprintf(&b, "%d %v %s\n", i+1, time.Duration(m.Time.Millis)*time.Millisecond, m.Payload)
			return nil
		}
	}
	var err error
	if r.graph, err = engine.New(r.config); err != nil {
		t.Fatal(err)
	}
	if err := r.graph.Run(t.Context()); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if n := r.sources[0].Unsettled(); n != 0 {
		t.Errorf("%d messages are unsettled after the end", n)
	}
	return b.String(), r.graph
}

func TestWindows(t *testing.T) {
	second := time.Second
	early := func() *native.Operator {
		return &native.Operator{Delay: func(_ context.Context, _ *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
			return hlc.Timestamp{Millis: at.Millis - 5_000}, nil
		}}
	}
	far := func(ms int64) *native.Operator {
		return &native.Operator{Delay: func(_ context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
			if string(m.Payload) == "far" {
				at.Millis = at.Millis + ms
			}
			return at, nil
		}}
	}
	even := func() *native.Operator {
		return &native.Operator{Branch: func(_ context.Context, at hlc.Timestamp, m *message.Message) (bool, error) {
			return len(m.Payload) > 0 && m.Payload[0]%2 == 0, nil
		}}
	}
	for _, tt := range []struct {
		name      string
		topology  string
		operators map[string]*native.Operator
		options   plan.Options
		in        []string
		want      string
		dropped   uint64
		late      uint64
	}{
		{
			name: "windows", topology: "in>w:delay>sum:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
			in:        []string{"1:a", "2:b", "10:c", "10.001:d", "29:e", "30:f", "40:g"},
			want:      "1 10s a+b+c\n1 20s d\n1 30s e+f\n1 40s g\n",
		}, {
			name: "a window closes when the frontier has passed it", topology: "in>w:delay>sum:accumulate>out1 in>out2",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
			in:        []string{"1:a", "14.999:b", "15:c", "15.001:d"},
			want:      "2 1s a\n2 14.999s b\n2 15s c\n2 15.001s d\n1 10s a\n1 20s b+c+d\n",
		}, {
			name: "messages without stamps", topology: "in>sum:accumulate>out",
			operators: map[string]*native.Operator{"sum": join()},
			in:        []string{":a", ":b"},
			want:      fmt.Sprintf("1 %v a\n1 %v b\n", time.Duration(1577836800001)*time.Millisecond, time.Duration(1577836800002)*time.Millisecond),
		}, {
			name: "late is admitted", topology: "in>w:delay>sum:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
			in:        []string{"3:a", "26:b", "4:late"},
			want:      "1 10s a\n1 30s b+late\n", // the frontier is at 21 s
			late:      1,
		}, {
			name: "not late yet", topology: "in>w:delay>sum:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
			in:        []string{"3:a", "9:b", "4:c"},
			want:      "1 10s a+b+c\n",
		}, {
			name: "lateness", topology: "in>w:delay>sum:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
			options:   plan.Options{Lateness: &second},
			in:        []string{"3:a", "11.5:b", "9:late"},
			want:      "1 10s a\n1 20s b+late\n", late: 1,
		}, {
			name: "late is dropped", topology: "in>w:delay>sum:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
			options:   plan.Options{LatePolicy: plan.DropLate},
			in:        []string{"3:a", "26:b", "4:late"},
			want:      "1 10s a\n1 30s b\n",
			dropped:   1, late: 1,
		}, {
			name: "a delay into the past is none", topology: "in>w:delay>out",
			operators: map[string]*native.Operator{"w": early()},
			in:        []string{"10:a", "20:b"},
			want:      "1 10s a\n1 20s b\n",
		}, {
			name: "a delay puts in order", topology: "in>w:delay>out",
			operators: map[string]*native.Operator{"w": far(0)},
			in:        []string{"10:a", "9:b", "8:c", "8:d", "11:e"},
			want:      "1 8s c\n1 8s d\n1 9s b\n1 10s a\n1 11s e\n",
		}, {
			name: "a delay beyond the limit", topology: "in>w:delay>out",
			operators: map[string]*native.Operator{"w": far((24 * time.Hour).Milliseconds() + 1)},
			in:        []string{"10:a", "11:far", "12:b"},
			want:      "1 10s a\n1 12s b\n", dropped: 1,
		}, {
			name: "a delay up to the limit", topology: "in>w:delay>out",
			operators: map[string]*native.Operator{"w": far((24 * time.Hour).Milliseconds())},
			in:        []string{"10:a", "11:far", "12:b"},
			want:      "1 10s a\n1 12s b\n1 11s far\n",
		}, {
			name: "a delay that overflows", topology: "in>w:delay>out",
			operators: map[string]*native.Operator{"w": far(1<<63 - 12_000)},
			in:        []string{"10:a", "11:far", "12:b"},
			want:      "1 10s a\n1 12s b\n", dropped: 1,
		}, {
			name:     "windows of windows wait for all arms",
			topology: "in>w:delay>split:branch.T>even:accumulate>join>all:accumulate>out split.F>odd:accumulate>join",
			operators: map[string]*native.Operator{"w": window(), "split": even(),
				"even": join(), "odd": join(), "all": join()},
			in:   []string{"1:0", "2:1", "3:2", "4:3", "11:4", "21:5"},
			want: "1 10s 0+2+1+3\n1 20s 4\n1 30s 5\n",
		}, {
			name: "a delay behind a window", topology: "in>w:delay>sum:accumulate>w2:delay>sum2:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join(), "w2": far(0), "sum2": join()},
			in:        []string{"1:a", "2:b", "11:c"},
			want:      "1 10s a+b\n1 20s c\n",
		}, {
			name: "only what fails is dropped", topology: "in>w:delay>sum:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
			in:        []string{"1:a", "2:bad", "3:b", "4:trap", "5:c", "11:bad", "21:d"},
			want:      "1 10s a+b+c\n1 30s d\n", // nothing is left of the second window
			dropped:   3,
		}, {
			name: "nothing in, nothing out", topology: "in>w:delay>sum:accumulate>out",
			operators: map[string]*native.Operator{"w": window(), "sum": join()},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, g := simulate(t, tt.topology, tt.operators, tt.options, tt.in...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("came out (-want +got):\n%s", diff)
			}
			s := g.Stats()
			if s.Dropped != tt.dropped || s.Late != tt.late || s.Unsettled != 0 {
				t.Errorf("dropped %d, late %d, unsettled %d; want %d, %d, 0", s.Dropped, s.Late, s.Unsettled, tt.dropped, tt.late)
			}
			for _, o := range s.Operations {
				if o.Held != 0 {
					t.Errorf("operation %s still holds %d", o.Operation, o.Held)
				}
			}
		})
	}
}

// TestBatches checks what an accumulate is given: batches of 64 in order of arrival,
// first with an empty message of the window's time, then with its last result.
func TestBatches(t *testing.T) {
	var sizes []int
	var first *message.Message
	next := 0
	op := &native.Operator{Accumulate: func(_ context.Context, staged *message.Message, batch []*message.Message) (*message.Message, error) {
		if first == nil {
			first = staged
		}
		sizes = append(sizes, len(batch))
		for _, m := range batch {
			if string(m.Payload) != fmt.Sprint(next) {
				t.Errorf("got %s, want %d next", m.Payload, next)
			}
			next++
		}
		return &message.Message{Payload: fmt.Append(nil, next), Time: staged.Time}, nil
	}}
	var in []string
	for i := range 150 {
		in = append(in, fmt.Sprintf("5:%d", i))
	}
	got, _ := simulate(t, "in>sum:accumulate>out", map[string]*native.Operator{"sum": op}, plan.Options{}, in...)
	if got != "1 5s 150\n" {
		t.Errorf("came out %s", got)
	}
	if diff := cmp.Diff([]int{64, 64, 22}, sizes); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&message.Message{Time: hlc.Timestamp{Millis: 5000, Node: engine.VirtualNode}}, first); diff != "" {
		t.Errorf("first staged (-want +got):\n%s", diff)
	}
}

// TestLateMessage checks what an operator sees of a message that came late.
func TestLateMessage(t *testing.T) {
	var seen *message.Message
	op := &native.Operator{Delay: func(_ context.Context, m *message.Message, at hlc.Timestamp) (hlc.Timestamp, error) {
		seen = m
		if at != m.Time {
			t.Errorf("logical time %v, message time %v", at, m.Time)
		}
		return at, nil
	}}
	simulate(t, "in>w:delay>out", map[string]*native.Operator{"w": op}, plan.Options{}, "30:a", "4:late")
	want := &message.Message{
		Topic: "t", Payload: []byte("late"), Time: hlc.Timestamp{Millis: 25_000, Node: engine.VirtualNode},
		Properties: []message.Property{{Key: "graphd-late", Value: "000000000004000:00000:n"}},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("late message (-want +got):\n%s", diff)
	}
}

// TestWindowInRealTime checks that windows close by the wall clock, that their
// messages are settled once the result is confirmed, and that an outage closes none.
func TestWindowInRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": join()})
		r.start()
		synctest.Wait()
		r.publish("a") // at second 0 of a window
		time.Sleep(3 * time.Second)
		r.publish("b", "c")
		time.Sleep(11 * time.Second) // now 14: the frontier is at 9
		if got := r.sinks[0].payloads(); got != "a" {
			t.Errorf("came out: %q, want a, whose time is the end of a window", got)
		}
		if n := r.sources[0].Unsettled(); n != 2 {
			t.Errorf("%d messages are unsettled, want the 2 in the open window", n)
		}
		time.Sleep(1200 * time.Millisecond)
		if got := r.sinks[0].payloads(); got != "a b+c" {
			t.Errorf("came out: %q, want a b+c", got)
		}
		if n := r.sources[0].Unsettled(); n != 0 {
			t.Errorf("%d messages are unsettled, want 0", n)
		}
		r.publish("d")
		synctest.Wait()
		r.finish()
		if n := r.sources[0].Unsettled(); n != 1 {
			t.Errorf("%d messages are unsettled after the stop, want the 1 in the open window", n)
		}
		if got := r.sinks[0].payloads(); got != "a b+c" {
			t.Errorf("came out: %q; a stop closes no window", got)
		}
	})
}

// TestUnreadHoldsTime checks that no window closes over a message that waits for
// the worker, however long that takes.
func TestUnreadHoldsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(30 * time.Second) // of the bubble's time
			return m, nil
		}}
		r := newRig(t, "in>slow:map>sum:accumulate>out", map[string]*native.Operator{"slow": slow, "sum": join()})
		r.start()
		r.publish("a", "b", "c") // all in the same millisecond
		time.Sleep(2 * time.Minute)
		if got := r.sinks[0].payloads(); got != "a+b+c" {
			t.Errorf("came out: %q, want one window of a+b+c", got)
		}
		r.finish()
	})
}

// TestBackPressureHoldsTime checks that no message comes late because it had to wait at
// its source for us: while the inbox is full nobody knows how old what waits behind it is.
func TestBackPressureHoldsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(10 * time.Second)
			return m, nil
		}}
		r := newRig(t, "in>slow:map>w:delay>sum:accumulate>out", map[string]*native.Operator{"slow": slow, "w": window(), "sum": join()})
		r.config.Inbox = 1
		time.Sleep(9 * time.Second)
		r.start()
		time.Sleep(time.Second)
		now := time.Now().UnixMilli()
		for _, m := range []struct {
			payload string
			age     int64
		}{{"a", 0}, {"b", 0}, {"c", 4000}} {
			if err := r.sources[0].Publish(&message.Message{
				Payload: []byte(m.payload), Properties: []message.Property{{Key: "__ts", Value: fmt.Sprintf("%d:0:n", now-m.age)}},
			}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		r.finish()
		if s := r.graph.Stats(); s.Late != 0 || s.Received != 3 {
			t.Errorf("%d of %d messages were late", s.Late, s.Received)
		}
	})
}

// TestTimeGoesOnAfterBackPressure fills the inbox, and checks that windows close
// again once it is empty.
func TestTimeGoesOnAfterBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &native.Operator{Map: func(_ context.Context, m *message.Message) (*message.Message, error) {
			time.Sleep(time.Second)
			return m, nil
		}}
		r := newRig(t, "in>slow:map>w:delay>sum:accumulate>out", map[string]*native.Operator{"slow": slow, "w": window(), "sum": join()})
		r.config.Inbox = 2
		time.Sleep(time.Second)
		r.start()
		r.publish("a", "b", "c", "d", "e", "f", "g")
		time.Sleep(time.Minute)
		if n := r.sources[0].Unsettled(); n != 0 {
			t.Errorf("%d messages are unsettled a minute later: the window did not close", n)
		}
		r.finish()
	})
}

// TestFiniteInputInRealTime checks that the end of the input closes all windows.
func TestFiniteInputInRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "in>w:delay>sum:accumulate>out", map[string]*native.Operator{"w": window(), "sum": join()})
		time.Sleep(time.Second)
		r.publish("a", "b")
		r.sources[0].Close()
		r.start()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := r.sinks[0].payloads(); got != "a+b" || r.sources[0].Unsettled() != 0 {
			t.Errorf("came out: %q with %d unsettled", got, r.sources[0].Unsettled())
		}
		r.stop()
	})
}

// TestVirtualTimeIsDeterministic runs the same input twice through faults, late
// messages and windows, with different sizes of the inbox.
func TestVirtualTimeIsDeterministic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var input strings.Builder
		for range rapid.IntRange(0, 50).Draw(rt, "messages") {
			payload := rapid.SampledFrom([]string{"a", "b", "c", "bad", "trap", "late"}).Draw(rt, "payload")
			if rapid.Bool().Draw(rt, "stamped") {
				fmt.Fprintf(&input, `{"topic":"t","payload":%q,"timestamp":"%d:0:n"}`+"\n", payload, rapid.IntRange(0, 100_000).Draw(rt, "time"))
			} else {
				fmt.Fprintf(&input, `{"topic":"t","payload":%q}`+"\n", payload)
			}
		}
		run := func(inbox int) string {
			r := newRig(t, "in>w:delay>sum:accumulate>out1 w>up:map>out1", map[string]*native.Operator{"w": window(), "sum": join(), "up": upper()})
			var out bytes.Buffer
			r.config.Virtual = schedule.NewVirtualTime(time.Time{})
			r.config.Inbox = inbox
			r.config.Sources[0] = recording.NewSource(recording.NewReader("in", strings.NewReader(input.String())))
			r.config.Sinks[0] = recording.NewSink(recording.NewWriter(&out))
			g, err := engine.New(r.config)
			if err != nil {
				rt.Fatal(err)
			}
			if err := g.Run(t.Context()); err != nil {
				rt.Fatal(err)
			}
			return out.String()
		}
		if diff := cmp.Diff(run(1), run(1024)); diff != "" {
			rt.Errorf("two runs differ:\n%s", diff)
		}
	})
}

// TestVirtualFailures checks that a run ends when its input or output can't be had,
// or an operation can't be opened again.
func TestVirtualFailures(t *testing.T) {
	var calls []string
	opens := 0
	hopeless := poison(&calls)
	hopeless.Init = func(context.Context) error {
		if opens++; opens > 1 {
			return operator.ErrInit
		}
		return nil
	}
	for _, tt := range []struct {
		name, input, want string
		op                *native.Operator
		out               *bytes.Buffer
	}{
		{"input", `{"payload":"a"}` + "\nnonsense\n", "in.jsonl:2: not valid JSON", upper(), &bytes.Buffer{}},
		{"output", `{"payload":"a"}`, "disk full", upper(), nil},
		{"operation", `{"payload":"trap"}`, `operation "op": open a new instance: init returned false`, hopeless, &bytes.Buffer{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "in>op:map>out", map[string]*native.Operator{"op": tt.op})
			r.config.Virtual = schedule.NewVirtualTime(time.Time{})
			r.config.Sources[0] = recording.NewSource(recording.NewReader("in.jsonl", strings.NewReader(tt.input)))
			if tt.out != nil {
				r.config.Sinks[0] = recording.NewSink(recording.NewWriter(tt.out))
			} else {
				r.config.Sinks[0] = recording.NewSink(recording.NewWriter(fullDisk{}))
			}
			r.start()
			if err := <-r.ended; err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want %s", err, tt.want)
			}
			r.stop()
		})
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }
