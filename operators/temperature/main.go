// SPDX-License-Identifier: Apache-2.0

// Temperature is the operator of the introductory graphs: one component that
// converts Fahrenheit to Celsius (map), tells temperatures from other measurements
// (branch), drops readings that no probe can have made (filter) and summarises a
// window of readings (accumulate).
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations): payloads, parameters, counters and
// error texts are the same, so either can stand in for the other. Where the original
// stops with a panic, this one drops the message and says why.
package main

import (
	"errors"

	"github.com/wasm-graph/graphd/operators/measurement"
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/accumulate"
	"github.com/wasm-graph/graphd/operators/sdk/branch"
	"github.com/wasm-graph/graphd/operators/sdk/filter"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

func main() {} // never runs, but a main package needs one

func init() {
	mapper.Handle(openMap)
	branch.Handle(openBranch)
	filter.Handle(openFilter)
	accumulate.Handle(openAccumulate)
}

var (
	errPayload = errors.New(measurement.Payload) //lint:ignore ST1005 the published text
	errNoValue = errors.New("the temperature has no value")
)

// module is what the four operators have in common.
type module struct {
	log      *sdk.Logger
	requests *sdk.Counter
}

// newModule begins an operator of that kind.
func newModule(host *sdk.Host, kind string) module {
	name := "module-temperature/" + kind
	m := module{
		log:      host.Log.WithContext(name),
		requests: host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: name}),
	}
	m.log.Info("Initialization function invoked")
	for _, p := range host.Config.Parameters {
		m.log.Info("Initialization received the property (key='" + p.Key + "', value='" + p.Value + "').")
	}
	return m
}

// count counts a request. To be counted is not what matters to a message.
func (m *module) count() { _ = m.requests.Add(1) }

// read reads the measurement in a message. The cause of a fault is in the log, as the
// error's text is fixed.
func (m *module) read(in sdk.Data) (*sdk.Message, measurement.Measurement, error) {
	message, ok := in.(*sdk.Message)
	if !ok {
		return nil, measurement.Measurement{}, measurement.ErrInput
	}
	reading, err := measurement.Parse(message.Payload.Bytes())
	if err != nil {
		m.log.Debug(err.Error())
		return nil, measurement.Measurement{}, errPayload
	}
	return message, reading, nil
}

func openMap(host *sdk.Host) (mapper.Func, error) {
	m := newModule(host, "map")
	fahrenheit := m.requests.With(sdk.Label{Key: "unit", Value: "Fahrenheit"})
	celsius := m.requests.With(sdk.Label{Key: "unit", Value: "Celsius"})

	return func(in sdk.Data) (sdk.Data, error) {
		m.count()
		message, reading, err := m.read(in)
		if err != nil {
			return nil, err
		}
		if t := reading.Temperature; t != nil && t.Unit == measurement.Fahrenheit {
			_ = fahrenheit.Add(1)
			if t.Value == nil {
				return nil, errNoValue
			}
			value := (*t.Value - 32) * 5 / 9
			t.Value, t.Unit = &value, measurement.Celsius
			message.Payload = sdk.Raw(reading.Append(nil))
		} else if t != nil {
			_ = celsius.Add(1)
		}
		if _, found := message.Property("test_property_key"); found {
			message.SetProperty("test_property_key", "new_value")
		}
		return message, nil
	}, nil
}

func openBranch(host *sdk.Host) (branch.Func, error) {
	m := newModule(host, "branch")
	return func(_ sdk.Timestamp, in sdk.Data) (bool, error) {
		m.count()
		_, reading, err := m.read(in)
		return reading.Temperature != nil, err
	}, nil
}

func openFilter(host *sdk.Host) (filter.Func, error) {
	m := newModule(host, "filter")
	// What a probe can measure: the upper bound is the melting point of tungsten.
	lower, err := host.Config.Float("temperature_lower_bound", -40)
	if err != nil {
		m.log.Error("Failed to parse lower bound value: " + err.Error())
	}
	upper, err := host.Config.Float("temperature_upper_bound", 3422)
	if err != nil {
		m.log.Error("Failed to parse upper bound value: " + err.Error())
	}
	m.log.Info("Filter bounds: lower=" + string(measurement.AppendPlain(nil, lower)) + ", upper=" + string(measurement.AppendPlain(nil, upper)))

	return func(in sdk.Data) (bool, error) {
		m.count()
		_, reading, err := m.read(in)
		if err != nil {
			return false, err
		}
		t := reading.Temperature
		if t == nil || t.Unit != measurement.Celsius {
			return false, nil
		}
		if t.Value == nil {
			return false, errNoValue
		}
		return lower < *t.Value && *t.Value < upper, nil
	}, nil
}

func openAccumulate(host *sdk.Host) (accumulate.Func, error) {
	m := newModule(host, "accumulate")
	return func(staged sdk.Data, batch []sdk.Data) (sdk.Data, error) {
		m.count()
		result, ok := staged.(*sdk.Message)
		if !ok {
			return nil, measurement.ErrInput
		}
		begun, err := measurement.ParseStaged(result.Payload.Bytes())
		if err != nil {
			return nil, err
		}
		fold := measurement.NewFold(nil)
		if begun.Temperature != nil {
			fold = measurement.NewFold(&begun.Temperature.Summary)
		}
		var total measurement.Temperature
		for _, in := range batch {
			message, reading, err := m.read(in)
			if err != nil {
				return nil, err
			}
			t := reading.Temperature
			switch {
			case t == nil:
				return nil, measurement.ErrType
			case t.Value == nil:
				return nil, errNoValue
			}
			fold.Add(message, *t.Value)
			total.Unit = t.Unit
		}
		if total.Summary, err = fold.Finish(result); err != nil {
			return nil, err
		}
		result.Payload = sdk.Raw(total.AppendWindow(nil))
		return result, nil
	}, nil
}
