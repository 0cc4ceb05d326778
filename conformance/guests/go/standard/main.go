// SPDX-License-Identifier: Apache-2.0

// Standard is an operator that does what Go programs do, so that tests can see how the
// runtime takes it. The topic of a message says what its map operator does with it; the
// payload that it returns says what came of it. The other kinds of operators do
// something simple each.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/accumulate"
	"github.com/wasm-graph/graphd/operators/sdk/branch"
	"github.com/wasm-graph/graphd/operators/sdk/delay"
	"github.com/wasm-graph/graphd/operators/sdk/filter"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
	"github.com/wasm-graph/graphd/operators/sdk/slogger"
)

func main() {}

func init() {
	mapper.Handle(openMap)
	filter.Handle(openFilter)
	branch.Handle(openBranch)
	delay.Handle(openDelay)
	accumulate.Handle(openAccumulate)
}

// guest is an instance of the map operator.
type guest struct {
	host *sdk.Host
	kept *sdk.Message // of an earlier call
	none map[string]int
}

func openMap(host *sdk.Host) (mapper.Func, error) {
	if text := host.Config.Text("refuse", ""); text != "" {
		return nil, errors.New(text)
	}
	if host.Config.Text("panic", "") != "" {
		panic("in init")
	}
	for _, s := range host.Config.Schemas {
		host.Log.Info("schema " + s.Name + " " + s.ContentType + " " + s.Content)
	}
	g := &guest{host: host}
	return g.process, nil
}

func (g *guest) process(in sdk.Data) (sdk.Data, error) {
	m, err := sdk.AsMessage(in)
	if err != nil {
		return in, nil // anything else goes on as it is
	}
	act, found := map[string]func(m *sdk.Message) (string, error){
		"sleep":           sleep,
		"goroutines":      goroutines,
		"files":           files,
		"environment":     environment,
		"network":         network,
		"print":           printed,
		"log":             g.log,
		"metrics":         g.metrics,
		"store":           g.store,
		"store error":     g.storeError,
		"now":             now,
		"random":          random,
		"url":             parseURL,
		"json":            parseJSON,
		"garbage":         garbage,
		"large":           large,
		"keep":            g.keep,
		"error":           func(*sdk.Message) (string, error) { return "", errors.New("not today") },
		"panic":           func(m *sdk.Message) (string, error) { panic(m.Payload.String()) },
		"nil map":         func(*sdk.Message) (string, error) { g.none["x"] = 1; return "", nil },
		"nil pointer":     func(*sdk.Message) (string, error) { var none *sdk.Message; return none.Topic.String(), nil },
		"goroutine panic": goroutinePanic,
		"exit":            func(*sdk.Message) (string, error) { os.Exit(3); return "", nil },
		"deadlock":        func(*sdk.Message) (string, error) { select {} },
		"spin":            func(*sdk.Message) (string, error) { spin(); return "", nil },
		"recursion":       func(*sdk.Message) (string, error) { return fmt.Sprint(recurse(1)), nil },
		"hoard":           func(*sdk.Message) (string, error) { return hoard(), nil },
	}[m.Topic.String()]
	switch {
	case m.Topic.String() == "kept":
		return g.kept, nil
	case !found:
		return m, nil
	}
	text, err := act(m)
	if err != nil {
		return nil, err
	}
	m.Payload = sdk.Text(text)
	return m, nil
}

func sleep(*sdk.Message) (string, error) {
	begin := time.Now()
	time.Sleep(20 * time.Millisecond)
	if passed := time.Since(begin); passed < 20*time.Millisecond {
		return "", fmt.Errorf("only %v have passed", passed)
	}
	select {
	case <-time.After(10 * time.Millisecond):
		return "slept", nil
	case <-make(chan int):
		return "", errors.New("woken by nobody")
	}
}

func goroutines(*sdk.Message) (string, error) {
	var wg sync.WaitGroup
	results := make(chan int, 3)
	for i := range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
			runtime.Gosched()
			results <- i
		}()
	}
	go func() { wg.Wait(); close(results) }()
	sum := 0
	for n := range results {
		sum += n
	}
	return fmt.Sprint(sum), nil
}

func files(*sdk.Message) (string, error) {
	_, read := os.ReadFile("/etc/passwd")
	write := os.WriteFile("/tmp/x", nil, 0o600)
	_, list := os.ReadDir("/")
	if read == nil || write == nil || list == nil {
		return "", errors.New("there is a file system")
	}
	return strings.Join([]string{read.Error(), write.Error(), list.Error()}, "; "), nil
}

func environment(*sdk.Message) (string, error) {
	return fmt.Sprintf("%d %d %s/%s", len(os.Environ()), len(os.Args), runtime.GOOS, runtime.GOARCH), nil
}

func network(*sdk.Message) (string, error) {
	_, err := net.DialTimeout("tcp", "127.0.0.1:80", time.Second)
	return fmt.Sprint("dial: ", err), nil
}

func printed(*sdk.Message) (string, error) {
	fmt.Println("on stdout")
	fmt.Fprintln(os.Stderr, "on stderr")
	log.SetFlags(0)
	log.Print("by package log")
	return "printed", nil
}

func (g *guest) log(m *sdk.Message) (string, error) {
	g.host.Log.Warn(m.Payload.String())
	slogger.New(g.host.Log.WithContext("slog")).Info("structured", "n", 1)
	return "logged", nil
}

func (g *guest) metrics(*sdk.Message) (string, error) {
	label := sdk.Label{Key: "k", Value: "v"}
	count := g.host.Metrics.Counter("count", label)
	err := errors.Join(count.Add(2), count.Add(3),
		g.host.Metrics.Histogram("floats").Record(1.5),
		g.host.Metrics.Histogram("integers", label).RecordUint(7))
	return "counted", err
}

func (g *guest) store(*sdk.Message) (string, error) {
	s := g.host.Store
	var report []string
	say := func(what any, err error) { report = append(report, fmt.Sprint(what, " ", err)) }
	get := func() {
		e, err := s.Get("k", sdk.GetOptions{Timeout: time.Second})
		say(fmt.Sprintf("get %q %t %t", e.Value, e.Found, e.Version != nil), err)
	}
	set := func(value string, o sdk.SetOptions) sdk.SetResult {
		r, err := s.Set("k", []byte(value), o)
		say(fmt.Sprintf("set %s %t", value, r.Applied), err)
		return r
	}
	get()
	set("1", sdk.SetOptions{Condition: sdk.IfAbsent, Expires: time.Hour})
	set("2", sdk.SetOptions{Condition: sdk.IfAbsent})
	set("3", sdk.SetOptions{Condition: sdk.IfAbsentOrEqual})
	lock := set("4", sdk.SetOptions{})
	get()
	set("5", sdk.SetOptions{Fencing: lock.Version, Timeout: time.Second})
	set("6", sdk.SetOptions{})
	d, err := s.DeleteValue("k", []byte("wrong"), sdk.DeleteOptions{Fencing: lock.Version})
	say(fmt.Sprint("vdel ", d.Removed), err)
	d, err = s.Delete("k", sdk.DeleteOptions{Timeout: time.Second})
	say(fmt.Sprint("del ", d.Removed), err)
	d, err = s.DeleteValue("k", []byte("5"), sdk.DeleteOptions{Fencing: lock.Version, Timeout: time.Second})
	say(fmt.Sprint("vdel ", d.Removed), err)
	get()
	return strings.Join(report, "\n"), nil
}

func (g *guest) storeError(*sdk.Message) (string, error) {
	_, err := g.host.Store.Get("k", sdk.GetOptions{})
	var refusal *sdk.RequestError
	switch {
	case errors.As(err, &refusal):
		return "refused: " + refusal.Text, nil
	case errors.Is(err, sdk.ErrTimeout):
		return "timeout", nil
	}
	return fmt.Sprint(err), nil
}

func now(*sdk.Message) (string, error) { return time.Now().UTC().Format(time.RFC3339Nano), nil }

func random(*sdk.Message) (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return fmt.Sprint(hex.EncodeToString(b), " ", mathrand.Uint64()), nil
}

func parseURL(m *sdk.Message) (string, error) {
	u, err := url.Parse(m.Payload.String())
	if err != nil {
		return "", err
	}
	return u.Host + " " + u.Query().Get("q"), nil
}

func parseJSON(m *sdk.Message) (string, error) {
	var v map[string]any
	if err := json.Unmarshal(m.Payload.Bytes(), &v); err != nil {
		return "", err
	}
	out, err := json.Marshal(v)
	return string(out), err
}

// garbage makes much more of it than fits into memory at once, while it holds on to
// some: the collector has to run, and must not take what the host was given.
func garbage(m *sdk.Message) (string, error) {
	payload := m.Payload.Bytes()
	var held [][]byte
	for i := range 2000 {
		b := make([]byte, 256<<10)
		b[0] = byte(i)
		if i%100 == 0 {
			held = append(held, b)
		}
	}
	for i, b := range held {
		if b[0] != byte(i*100) {
			return "", errors.New("memory has changed")
		}
	}
	return string(payload) + fmt.Sprint(" ", len(held)), nil
}

// large answers with a payload of its own making.
func large(*sdk.Message) (string, error) { return strings.Repeat("0123456789", 500_000), nil }

func (g *guest) keep(m *sdk.Message) (string, error) {
	kept := *m
	kept.Topic = sdk.Text("answer")
	g.kept = &kept
	return "keeping", nil
}

func goroutinePanic(*sdk.Message) (string, error) {
	done := make(chan int)
	go func() {
		defer close(done)
		panic("where nobody recovers")
	}()
	<-done
	return "", errors.New("survived")
}

func spin() {
	for n := 0; n >= 0; n++ {
		if n == 1<<62 {
			n = 0
		}
	}
}

func recurse(n int) int {
	if n < 0 {
		return n
	}
	return recurse(n+1) + 1
}

func hoard() string {
	var all [][]byte
	for {
		all = append(all, make([]byte, 1<<20))
		if len(all) > 1<<20 {
			return "all there is"
		}
	}
}

func openFilter(host *sdk.Host) (filter.Func, error) {
	return func(in sdk.Data) (bool, error) {
		s, err := sdk.AsSnapshot(in)
		if err != nil {
			return false, err
		}
		return s.Width > s.Height, nil
	}, nil
}

func openBranch(*sdk.Host) (branch.Func, error) {
	return func(at sdk.Timestamp, _ sdk.Data) (bool, error) {
		if at.Node.String() == "panic" {
			panic("at a branch")
		}
		return at.Counter%2 == 1, nil
	}, nil
}

func openDelay(*sdk.Host) (delay.Func, error) {
	return func(in sdk.Data, at sdk.Timestamp) (sdk.Timestamp, error) {
		m, err := sdk.AsMessage(in)
		if err != nil {
			return at, err
		}
		if m.Payload.String() == "message time" {
			return m.Timestamp, nil
		}
		return at.WithTime(at.Time().Add(90 * time.Second)), nil
	}, nil
}

func openAccumulate(*sdk.Host) (accumulate.Func, error) {
	return func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error) {
		m, err := sdk.AsMessage(staged)
		if err != nil {
			return nil, err
		}
		text := m.Payload.String()
		for _, in := range batch {
			b, err := sdk.AsMessage(in)
			if err != nil {
				return nil, err
			}
			text += b.Payload.String() + ";"
			m.Topic = b.Topic
		}
		m.Payload = sdk.Text(text)
		return m, nil
	}, nil
}
