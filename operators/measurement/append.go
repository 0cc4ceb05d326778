// SPDX-License-Identifier: Apache-2.0

package measurement

import (
	"strconv"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// Append appends m to dst as JSON; {} where m is none.
func (m Measurement) Append(dst []byte) []byte {
	switch {
	case m.Temperature != nil:
		dst = m.Temperature.append(append(dst, `{"temperature":`...))
	case m.Humidity != nil:
		dst = m.Humidity.append(append(dst, `{"humidity":`...))
	case m.Object != nil:
		dst = m.Object.append(append(dst, `{"object":`...))
	case m.SensorData != nil:
		dst = m.SensorData.Append(append(dst, `{"sensor_data":`...))
	default:
		dst = append(dst, '{')
	}
	return append(dst, '}')
}

// Append appends d to dst as JSON, without the key that makes it a measurement.
func (d *SensorData) Append(dst []byte) []byte {
	dst = append(dst, `{"temperature":`...)
	dst = appendArray(dst, d.Temperature, func(dst []byte, t *Temperature) []byte { return t.append(dst) })
	dst = append(dst, `,"humidity":`...)
	dst = appendArray(dst, d.Humidity, func(dst []byte, s *Summary) []byte { return s.append(dst) })
	dst = append(dst, `,"object":`...)
	dst = appendArray(dst, d.Object, func(dst []byte, o *Object) []byte { return o.append(dst) })
	return append(dst, '}')
}

func appendArray[T any](dst []byte, items []T, one func(dst []byte, item *T) []byte) []byte {
	dst = append(dst, '[')
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = one(dst, &items[i])
	}
	return append(dst, ']')
}

// append appends all fields but a missing value.
func (t *Temperature) append(dst []byte) []byte {
	dst = t.appendFields(append(dst, '{'), smalljson.AppendFloat)
	dst = append(append(append(dst, `,"unit":"`...), t.Unit...), '"')
	dst = strconv.AppendBool(append(dst, `,"overtemp":`...), t.Overtemp)
	return append(dst, '}')
}

func (s *Summary) append(dst []byte) []byte {
	return append(s.appendFields(append(dst, '{'), smalljson.AppendFloat), '}')
}

// appendFields appends the fields that temperatures and humidities share.
func (s *Summary) appendFields(dst []byte, float func(dst []byte, v float64) []byte) []byte {
	if s.Value != nil {
		dst = append(float(append(dst, `"value":`...), *s.Value), ',')
	}
	dst = strconv.AppendUint(append(dst, `"count":`...), s.Count, 10)
	dst = float(append(dst, `,"max":`...), s.Max)
	dst = float(append(dst, `,"min":`...), s.Min)
	dst = float(append(dst, `,"average":`...), s.Average)
	return float(append(dst, `,"last":`...), s.Last)
}

func (o *Object) append(dst []byte) []byte {
	return append(smalljson.AppendText(append(dst, `{"result":`...), o.Result), '}')
}

// AppendWindow appends the measurement that an accumulate operator makes of its
// window: fewer fields, and floats as AppendPlain writes them.
func (t *Temperature) AppendWindow(dst []byte) []byte {
	dst = t.window().appendFields(append(dst, `{"temperature":{`...), AppendPlain)
	dst = append(append(append(dst, `,"unit":"`...), t.Unit...), '"')
	return append(dst, "}}"...)
}

// AppendWindow appends the measurement that an accumulate operator makes of its
// window of humidities. See Temperature.AppendWindow.
func (s *Summary) AppendWindow(dst []byte) []byte {
	dst = s.window().appendFields(append(dst, `{"humidity":{`...), AppendPlain)
	return append(dst, "}}"...)
}

// window is s without the value, which a window as a whole does not have.
func (s *Summary) window() *Summary {
	w := *s
	w.Value = nil
	return &w
}

// AppendPlain appends v to dst as Rust formats floats for people: without a fraction
// where it is integral, and never with an exponent.
func AppendPlain(dst []byte, v float64) []byte { return strconv.AppendFloat(dst, v, 'f', -1, 64) }
