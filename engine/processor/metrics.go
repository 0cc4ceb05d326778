// SPDX-License-Identifier: Apache-2.0

package processor

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/operator"
)

// maxInstruments bounds how many metrics one instance may make.
const maxInstruments = 256

// The cases of metrics-error and of histogram-value.
const (
	incompatibleType = 0
	histogramFloat   = 0
)

// instruments are the metrics of one guest: OpenTelemetry instruments under the
// names that the guest gives, with its labels and the graph's and operation's name.
type instruments struct {
	meter  metric.Meter
	common []attribute.KeyValue
	byName map[string]any
	sets   map[string]metric.MeasurementOption // by the labels, each with its length
}

func newInstruments(meter metric.Meter, c operator.Config) instruments {
	return instruments{
		meter:  meter,
		common: []attribute.KeyValue{attribute.String("graph", c.Graph), attribute.String("operation", c.Operation)},
		byName: map[string]any{},
		sets:   map[string]metric.MeasurementOption{},
	}
}

func (s instruments) funcs() map[string]component.HostFunc {
	return map[string]component.HostFunc{
		"add-to-counter":      s.addToCounter,
		"record-to-histogram": s.recordToHistogram,
	}
}

func (s instruments) addToCounter(c *component.Call, args []value.Value) (value.Value, error) {
	counter, err := instrument(s, args[0].Str(), func(name string) (metric.Int64Counter, error) { return s.meter.Int64Counter(name) })
	if err != nil {
		return refuse(err), nil
	}
	n := args[1].Payload().U64()
	if n > math.MaxInt64 {
		return refuse(fmt.Errorf("%d is more than a counter holds", n)), nil
	}
	counter.Add(context.Background(), int64(n), s.labels(args[2]))
	return value.Ok(value.Value{}), nil
}

func (s instruments) recordToHistogram(_ *component.Call, args []value.Value) (value.Value, error) {
	name, v := args[0].Str(), args[1].Payload()
	if args[1].Case() == histogramFloat {
		h, err := instrument(s, name, func(name string) (metric.Float64Histogram, error) { return s.meter.Float64Histogram(name) })
		if err != nil {
			return refuse(err), nil
		}
		h.Record(context.Background(), v.F64(), s.labels(args[2]))
		return value.Ok(value.Value{}), nil
	}
	h, err := instrument(s, name, func(name string) (metric.Int64Histogram, error) { return s.meter.Int64Histogram(name) })
	if err != nil {
		return refuse(err), nil
	}
	if v.U64() > math.MaxInt64 {
		return refuse(fmt.Errorf("%d is more than a histogram holds", v.U64())), nil
	}
	h.Record(context.Background(), int64(v.U64()), s.labels(args[2]))
	return value.Ok(value.Value{}), nil
}

// refuse is the incompatible-type error.
func refuse(err error) value.Value {
	text := value.String(err.Error())
	return value.Err(value.Variant(incompatibleType, &text))
}

// instrument returns the instrument of that name, made on first use. name may be
// the guest's memory.
func instrument[T any](s instruments, name string, make func(string) (T, error)) (T, error) {
	if known, ok := s.byName[name]; ok {
		i, ok := known.(T)
		if !ok {
			return i, fmt.Errorf("metric %q is of another type", name)
		}
		return i, nil
	}
	if len(s.byName) == maxInstruments {
		var none T
		return none, fmt.Errorf("metric %q: an operator may have %d metrics", name, maxInstruments)
	}
	name = string(append([]byte(nil), name...))
	i, err := make(name)
	if err == nil {
		s.byName[name] = i
	}
	return i, err
}

// maxLabelSets bounds how many sets of labels are kept ready; more than that work,
// and are made anew each time.
const maxLabelSets = 256

// labels returns the attributes of one observation, made once for each set.
func (s instruments) labels(v value.Value) metric.MeasurementOption {
	list := v.Payload().Elems()
	var key []byte
	for _, l := range list {
		for i := range 2 {
			text := l.Field(i).Str()
			key = append(binary.AppendUvarint(key, uint64(len(text))), text...)
		}
	}
	if known, ok := s.sets[string(key)]; ok {
		return known
	}
	all := make([]attribute.KeyValue, 0, len(s.common)+len(list))
	for _, l := range list {
		all = append(all, attribute.String(cut(l.Field(0).Str()), cut(l.Field(1).Str())))
	}
	set := metric.WithAttributeSet(attribute.NewSet(append(all, s.common...)...))
	if len(s.sets) < maxLabelSets {
		s.sets[string(key)] = set
	}
	return set
}
