// SPDX-License-Identifier: Apache-2.0

// Package sdktest runs operators in plain Go tests. An Env stands in for the runtime:
// it keeps what an operator logs and counts, and has a state store in memory that
// follows the same rules as a real one.
//
//	env := sdktest.New(sdk.Parameter{Key: "limit", Value: "20"})
//	process, err := open(env.Host())
//	...
//	out, err := process(sdktest.Message("sensor/1", `{"value":21}`))
package sdktest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// Env is a runtime in memory. It is safe for concurrent use. Its clock, which only
// the state store reads, stands still at 2020-01-01 until Advance moves it.
type Env struct {
	config sdk.Config

	mu         sync.Mutex // guards everything below
	logs       []LogEntry
	counters   map[string]uint64
	histograms map[string][]float64
	types      map[string]string // of metrics, by name
	now        time.Time
	writes     uint64
	store      map[string]stored
	storeErr   error
	models     func(onnx []byte) (Compute, error)
	loaded     map[uint32]Compute
	numLoaded  uint32
}

// Compute is what a model does.
type Compute func(inputs []sdk.NamedTensor) ([]sdk.NamedTensor, error)

// LogEntry is what an operator has logged.
type LogEntry struct {
	Level            sdk.Level
	Context, Message string
}

// New returns an Env whose configuration has those parameters.
func New(parameters ...sdk.Parameter) *Env {
	return &Env{
		config:     sdk.Config{Parameters: parameters},
		counters:   map[string]uint64{},
		histograms: map[string][]float64{},
		types:      map[string]string{},
		now:        time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		store:      map[string]stored{},
		loaded:     map[uint32]Compute{},
	}
}

// AddSchema adds a schema to the configuration of Hosts made from now on.
func (e *Env) AddSchema(s sdk.ModuleSchema) { e.config.Schemas = append(e.config.Schemas, s) }

// Host returns a Host for one operator. All Hosts of an Env share its state.
func (e *Env) Host() *sdk.Host { return sdk.NewHost((*imports)(e), e.config, "test") }

// Logs returns what has been logged so far.
func (e *Env) Logs() []LogEntry {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.logs)
}

// Logged reports whether an entry of that level contains text.
func (e *Env) Logged(level sdk.Level, text string) bool {
	return slices.ContainsFunc(e.Logs(), func(l LogEntry) bool {
		return l.Level == level && strings.Contains(l.Message, text)
	})
}

// Counter returns the value of the counter of that name with exactly those labels.
func (e *Env) Counter(name string, labels ...sdk.Label) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counters[series(name, labels)]
}

// Histogram returns the values that the histogram of that name with exactly those
// labels has got, in order.
func (e *Env) Histogram(name string, labels ...sdk.Label) []float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.histograms[series(name, labels)])
}

// Advance moves the clock on by d, so that keys of the state store expire.
func (e *Env) Advance(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = e.now.Add(d)
}

// FailStore makes every request to the state store return err, until it is called
// with nil.
func (e *Env) FailStore(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.storeErr = err
}

// RunModels makes load what loads models. Without it every model is refused: there is
// no neural network here.
func (e *Env) RunModels(load func(onnx []byte) (Compute, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.models = load
}

// Models returns how many models are loaded and not closed.
func (e *Env) Models() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.loaded)
}

// Message returns a message with that topic and payload.
func Message(topic, payload string) *sdk.Message {
	return &sdk.Message{Topic: sdk.Text(topic), Payload: sdk.Text(payload)}
}

// Buffer returns Bytes that stay with the host until they are read, and a function
// that reports whether they have been.
func Buffer(content string) (b sdk.Bytes, wasRead func() bool) {
	buf := &buffer{content: []byte(content)}
	return sdk.Lazy(buf), func() bool { return buf.read }
}

type buffer struct {
	content []byte
	read    bool
}

func (b *buffer) Read() []byte {
	b.read = true
	return b.content
}

// imports implements sdk.Imports for an Env.
type imports Env

func (e *imports) Log(level sdk.Level, context, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.logs = append(e.logs, LogEntry{level, context, message})
}

func (e *imports) AddToCounter(name string, value uint64, labels []sdk.Label) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.claim(name, "counter"); err != nil {
		return err
	}
	e.counters[series(name, labels)] += value
	return nil
}

func (e *imports) RecordFloat(name string, value float64, labels []sdk.Label) error {
	return e.record(name, "histogram of floats", value, labels)
}

func (e *imports) RecordUint(name string, value uint64, labels []sdk.Label) error {
	return e.record(name, "histogram of integers", float64(value), labels)
}

func (e *imports) record(name, metricType string, value float64, labels []sdk.Label) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.claim(name, metricType); err != nil {
		return err
	}
	s := series(name, labels)
	e.histograms[s] = append(e.histograms[s], value)
	return nil
}

// claim gives a metric its type.
func (e *imports) claim(name, metricType string) error {
	if t, found := e.types[name]; found && t != metricType {
		return &sdk.MetricsError{Incompatible: true, Text: name + " is a " + t}
	}
	e.types[name] = metricType
	return nil
}

// series names one series of a metric. The order of labels has no meaning.
func series(name string, labels []sdk.Label) string {
	pairs := make([]string, len(labels))
	for i, l := range labels {
		pairs[i] = l.Key + "\x00" + l.Value
	}
	slices.Sort(pairs)
	return name + "\x00\x00" + strings.Join(pairs, "\x00\x00")
}

func (e *imports) ModelLoad(onnx []byte) (uint32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.models == nil {
		return 0, &sdk.ModelError{Code: sdk.ModelUnsupported, Text: "sdktest: RunModels was not called"}
	}
	compute, err := e.models(onnx)
	if err != nil {
		return 0, err
	}
	e.numLoaded++
	e.loaded[e.numLoaded] = compute
	return e.numLoaded, nil
}

func (e *imports) ModelCompute(model uint32, inputs []sdk.NamedTensor) ([]sdk.NamedTensor, error) {
	e.mu.Lock()
	compute := e.loaded[model]
	e.mu.Unlock()
	if compute == nil {
		panic("sdktest: Compute of a model that is closed")
	}
	return compute(inputs)
}

func (e *imports) ModelDrop(model uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.loaded, model)
}
