// SPDX-License-Identifier: Apache-2.0

package guests_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/coretest"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wasi"
	"github.com/wasm-graph/graphd/engine/component/wit"
	processor "github.com/wasm-graph/graphd/wit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(coretest.EveryEngine{M: m}) }

const (
	mapInterface     = "wasm-graph:processor/map@1.1.0"
	typesInterface   = "wasm-graph:processor/types@1.1.0"
	loggerInterface  = "wasm-graph:processor/logger@1.1.0"
	storeInterface   = "wasm-graph:processor/state-store@1.1.0"
	metricsInterface = "wasm-graph:processor/metrics@1.1.0"
)

// world returns the WIT packages of the processor world.
func world(t testing.TB) *wit.Packages {
	t.Helper()
	p, err := wit.Parse(processor.Processor())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// componentOf wraps a core module that fits world map-impl with our own encoder.
func componentOf(t testing.TB, module []byte) []byte {
	t.Helper()
	w, err := world(t).World("map-impl")
	if err != nil {
		t.Fatal(err)
	}
	data, err := encode.Component(module, w, encode.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// compile compiles a component for the time of the test.
func compile(t testing.TB, data []byte) *component.Component {
	t.Helper()
	rt, err := component.New(component.Config{Engine: coretest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := rt.Compile(t.Context(), t.Name(), data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// operator is an instance of a map operator, and the host around it.
type operator struct {
	t        testing.TB
	instance *component.Instance
	buffers  map[*buffer]bool // those that the guest holds
	lines    int              // that it has logged
	logged   []string         // the first of them
	stored   map[string]string
	full     bool              // the store refuses to store
	counters map[string]uint64 // by name and labels
	stderr   bytes.Buffer
	now      time.Duration // the monotonic clock, which goes on when the guest waits
}

// buffer is a payload that stays with the host until it is read.
type buffer struct {
	data  []byte
	reads int
}

// instantiate makes an instance of c that has what operators have, and within the
// limits of config.
func instantiate(t testing.TB, c *component.Component, config component.InstanceConfig) *operator {
	t.Helper()
	return grant(t, c, config, wasi.Config{})
}

// grant is instantiate, with what system gives besides clocks and standard error.
func grant(t testing.TB, c *component.Component, config component.InstanceConfig, system wasi.Config) *operator {
	t.Helper()
	o := &operator{t: t, buffers: map[*buffer]bool{}, stored: map[string]string{}, counters: map[string]uint64{}}
	declared := world(t)
	declare := func(name string) *types.Instance {
		i, err := declared.Interface(name)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	system.Stderr = &o.stderr
	system.WallClock = func() time.Time { return time.Unix(1700000000, 0) }
	system.Monotonic = func() uint64 { return uint64(o.now) }
	system.Wait = func(_ context.Context, until uint64) error {
		o.now = time.Duration(until)
		return nil
	}
	config.Imports = append(wasi.New(system).Interfaces(),
		&component.Interface{
			Name: typesInterface,
			Type: declare(typesInterface),
			Funcs: map[string]component.HostFunc{
				"[method]buffer.read": func(_ *component.Call, args []value.Value) (value.Value, error) {
					b := args[0].Object().(*buffer)
					b.reads++
					return value.Bytes(b.data), nil
				},
			},
			Drop: map[string]func(any){"buffer": func(object any) { delete(o.buffers, object.(*buffer)) }},
		},
		&component.Interface{
			Name: loggerInterface,
			Type: declare(loggerInterface),
			Funcs: map[string]component.HostFunc{
				"log": func(_ *component.Call, args []value.Value) (value.Value, error) {
					if o.lines++; o.lines <= 10 {
						o.logged = append(o.logged, fmt.Sprintf("%d %s: %s", args[0].Case(), args[1].Str(), args[2].Str()))
					}
					return value.Value{}, nil
				},
			},
		},
		&component.Interface{
			Name:  storeInterface,
			Type:  declare(storeInterface),
			Funcs: map[string]component.HostFunc{"get": o.get, "set": o.set},
		},
		&component.Interface{
			Name:  metricsInterface,
			Type:  declare(metricsInterface),
			Funcs: map[string]component.HostFunc{"add-to-counter": o.count},
		})
	var err error
	if o.instance, err = c.Instantiate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.instance.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// get is of the state store: a key that nobody has set has no value.
func (o *operator) get(_ *component.Call, args []value.Value) (value.Value, error) {
	text, found := o.stored[string(args[0].Bytes())]
	if !found {
		return value.Ok(value.Record(value.None(), value.None())), nil
	}
	version := value.Record(value.Record(value.U64(1700000000), value.U32(1)), value.U64(0), value.String("store"))
	return value.Ok(value.Record(value.Some(value.Bytes([]byte(text))), value.Some(version))), nil
}

func (o *operator) set(_ *component.Call, args []value.Value) (value.Value, error) {
	if options := args[4]; args[2].Case() != 0 || args[3].Case() != 0 || options.Field(0).Case() != 2 || options.Field(1).Case() != 0 {
		return value.Value{}, fmt.Errorf("set with options that nobody gave: %+v", args[2:])
	}
	if o.full {
		return value.Err(variant(0, value.String("store is full"))), nil
	}
	o.stored[string(args[0].Bytes())] = string(args[1].Bytes())
	return value.Ok(value.Record(value.Bool(true), value.None())), nil
}

// count is add-to-counter of the metrics.
func (o *operator) count(_ *component.Call, args []value.Value) (value.Value, error) {
	name := args[0].Str()
	for _, l := range args[2].Payload().Elems() {
		name += fmt.Sprintf(" %s=%s", l.Field(0).Str(), l.Field(1).Str())
	}
	o.counters[strings.Clone(name)] += args[1].Payload().U64()
	return value.Ok(value.Value{}), nil
}

func (o *operator) call(name string, args ...value.Value) (value.Value, error) {
	o.t.Helper()
	f := o.instance.Func(mapInterface, name)
	if f == nil {
		o.t.Fatalf("component exports no %s#%s", mapInterface, name)
	}
	return f.Call(o.t.Context(), args...)
}

// init calls init with settings, keys and values by turns.
func (o *operator) init(settings ...string) (bool, error) {
	o.t.Helper()
	var list []value.Value
	for pair := range slices.Chunk(settings, 2) {
		list = append(list, value.Tuple(value.String(pair[0]), value.String(pair[1])))
	}
	v, err := o.call("init", value.Record(value.List(list), value.List(nil)))
	return v.Bool(), err
}

// start calls init, which must succeed.
func (o *operator) start(settings ...string) {
	o.t.Helper()
	if ok, err := o.init(settings...); !ok || err != nil {
		o.t.Fatalf("init = %v, %v; want true", ok, err)
	}
}

// message is what the scenarios look at of a message. A field whose name ends in
// Buffer is given and taken as a buffer of the host, the others as the guest's.
type message struct {
	Topic         string
	Payload       string
	PayloadBuffer *buffer
	ContentType   string
	Properties    [][2]string
}

// process calls process with a message.
func (o *operator) process(m message) (message, error) {
	o.t.Helper()
	v, err := o.call("process", variant(1, o.lower(m)))
	switch {
	case err != nil:
		return message{}, err
	case v.Case() == 1:
		return message{}, &failure{v.Payload().Field(0).Str()}
	case v.Payload().Case() != 1:
		return message{}, fmt.Errorf("got a data model of case %d", v.Payload().Case())
	}
	return o.lift(v.Payload().Payload()), nil
}

// failure is the error that an operator returned.
type failure struct{ text string }

func (f *failure) Error() string { return "operator: " + f.text }

func (o *operator) lower(m message) value.Value {
	payload := own(m.Payload)
	if m.PayloadBuffer != nil {
		payload = variant(0, value.Own(m.PayloadBuffer))
		o.buffers[m.PayloadBuffer] = true
	}
	contentType := value.None()
	if m.ContentType != "" {
		contentType = value.Some(ownText(m.ContentType))
	}
	var properties []value.Value
	for _, p := range m.Properties {
		properties = append(properties, value.Tuple(ownText(p[0]), ownText(p[1])))
	}
	timespec := value.Record(value.U64(1700000000), value.U32(5))
	return value.Record(
		value.Record(timespec, value.U64(7), ownText("node")),
		own(m.Topic), contentType, payload,
		value.Record(value.List(properties)),
		value.None())
}

func (o *operator) lift(v value.Value) message {
	m := message{Topic: text(v.Field(1)), Payload: text(v.Field(3))}
	if b, ok := v.Field(3).Payload().Object().(*buffer); ok {
		m.PayloadBuffer = b
		delete(o.buffers, b)
	}
	if v.Field(2).Case() == 1 {
		m.ContentType = text(v.Field(2).Payload())
	}
	for _, p := range v.Field(4).Field(0).Elems() {
		m.Properties = append(m.Properties, [2]string{text(p.Field(0)), text(p.Field(1))})
	}
	if t := v.Field(0); t.Field(0).Field(0).U64() != 1700000000 || t.Field(0).Field(1).U32() != 5 || t.Field(1).U64() != 7 || text(t.Field(2)) != "node" {
		o.t.Errorf("timestamp has changed: %+v", t)
	}
	return m
}

func variant(c uint32, payload value.Value) value.Value { return value.Variant(c, &payload) }

// own and ownText return a buffer-or-bytes and a buffer-or-string of the guest's own.
func own(s string) value.Value     { return variant(1, value.Bytes([]byte(s))) }
func ownText(s string) value.Value { return variant(1, value.String(s)) }

// text returns the text of either.
func text(v value.Value) string {
	if p := v.Payload(); v.Case() == 0 {
		return ""
	} else if p.Kind() == types.String {
		return p.Str()
	} else {
		return string(p.Bytes())
	}
}
