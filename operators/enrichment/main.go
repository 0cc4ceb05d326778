// SPDX-License-Identifier: Apache-2.0

// Enrichment adds to the sensor data of a window what earlier windows have left in
// the state store: once a temperature above 100 was measured, every report says so,
// until one below 0 clears it. It also counts such windows, under a lock, and keeps a
// flag for humidities above 80.
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations). Where the original stops with a panic,
// this one drops the message and says why; and it gives back its lock in any case.
package main

import (
	"errors"

	"github.com/wasm-graph/graphd/operators/measurement"
	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

func main() {} // never runs, but a main package needs one

func init() { mapper.Handle(open) }

const name = "module-enrichment/map"

// Keys of the state store.
const (
	overtempKey = "overtemp" // "true" or "false"
	wetKey      = "wet_flag" // the largest humidity above 80; no such key: it is dry
)

var (
	errInput = errors.New("Unexpected input type.")      //lint:ignore ST1005 the published text
	errType  = errors.New("Unexpected type for result.") //lint:ignore ST1005 the published text
)

// operator is the running operator.
type operator struct {
	log      *sdk.Logger
	store    *sdk.Store
	requests *sdk.Counter
}

func open(host *sdk.Host) (mapper.Func, error) {
	o := &operator{
		log:      host.Log.WithContext(name),
		store:    host.Store,
		requests: host.Metrics.Counter("requests", sdk.Label{Key: "module", Value: name}),
	}
	return o.process, nil
}

func (o *operator) process(in sdk.Data) (sdk.Data, error) {
	_ = o.requests.Add(1)
	message, ok := in.(*sdk.Message)
	if !ok {
		return nil, errInput
	}
	m, err := measurement.Parse(message.Payload.Bytes())
	if err != nil {
		return nil, err
	}
	data := m.SensorData
	if data == nil {
		return nil, errType
	}
	for i := range data.Temperature {
		if err := o.checkTemperature(&data.Temperature[i]); err != nil {
			return nil, err
		}
	}
	for _, h := range data.Humidity {
		o.checkHumidity(h)
	}
	message.Topic = sdk.Text("sensors")
	message.ContentType = sdk.Bytes{}
	message.Schema = nil
	message.Payload = sdk.Raw(data.Append(nil))
	return message, nil
}

// checkTemperature sets t.Overtemp. That the store fails is logged and no reason to
// lose a message.
func (o *operator) checkTemperature(t *measurement.Temperature) error {
	t.Value = nil
	switch {
	case t.Max > 100:
		t.Overtemp = true
		if _, err := o.store.Set(overtempKey, []byte("true"), sdk.SetOptions{}); err != nil {
			o.log.Error("failed to set value for over-temperature key '" + overtempKey + "': " + err.Error())
		} else {
			o.log.Warn("over-temperature recorded due to temperature of " + plain(t.Max))
		}
		return o.countOvertemp()
	case t.Min < 0:
		t.Overtemp = false
		if _, err := o.store.Set(overtempKey, []byte("false"), sdk.SetOptions{}); err != nil {
			o.log.Error("failed to set value for over-temperature key '" + overtempKey + "': " + err.Error())
		} else {
			o.log.Info("over-temperature cleared due to temperature of " + plain(t.Min))
		}
	default:
		entry, err := o.store.Get(overtempKey, sdk.GetOptions{})
		switch value := string(entry.Value); {
		case err != nil:
			o.log.Error("failed to get value for over-temperature key '" + overtempKey + "': " + err.Error())
		case !entry.Found || value == "false":
			// What the report says itself stands.
		case value == "true":
			o.log.Warn("over-temperature was recorded earlier")
			t.Overtemp = true
		default:
			o.log.Warn("over-temperature key '" + overtempKey + "' has unexpected value '" + value + "'")
		}
	}
	return nil
}

// checkHumidity raises the wet flag, or takes it away. Between that it stays.
func (o *operator) checkHumidity(h measurement.Summary) {
	switch {
	case h.Max > 80:
		if _, err := o.store.Set(wetKey, measurement.AppendPlain(nil, h.Max), sdk.SetOptions{}); err != nil {
			o.log.Error("failed to set wet flag '" + wetKey + "': " + err.Error())
		} else {
			o.log.Warn("wet flag recorded due to humidity of " + plain(h.Max))
		}
	case h.Min < 80:
		if result, err := o.store.Delete(wetKey, sdk.DeleteOptions{}); err != nil {
			o.log.Error("failed to delete wet flag '" + wetKey + "': " + err.Error())
		} else if result.Removed > 0 {
			o.log.Info("wet flag deleted.")
		}
	}
}

func plain(v float64) string { return string(measurement.AppendPlain(nil, v)) }
