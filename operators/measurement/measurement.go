// SPDX-License-Identifier: Apache-2.0

// Package measurement is the language of the sample operators: what sensors send,
// and what becomes of it on its way through a graph. It is no operator itself.
//
// A measurement is a JSON object with one key, which says what it is:
//
//	{"temperature":{"value":100.0,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"F","overtemp":false}}
//	{"humidity":{"value":40.0,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0}}
//	{"object":{"result":"cat"}}
//	{"sensor_data":{"temperature":[],"humidity":[],"object":[]}}
//
// A reading has a value; the summary of a window (see Fold) has the other numbers;
// sensor data is all summaries of one window. What is read and written is, to the
// byte, what the sample operators that Azure publishes in Rust read and write.
package measurement

import (
	"errors"
	"slices"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// Error says what keeps a payload from being a measurement. Its text begins with that
// of the published operators, which say no more; it wraps a *smalljson.Error.
type Error struct{ cause error }

// Payload is the published text.
const Payload = "Failed to parse payload as JSON"

func (e *Error) Error() string { return Payload + ": " + e.cause.Error() }

// Unwrap returns what is wrong, and where.
func (e *Error) Unwrap() error { return e.cause }

// Measurement is one measurement: exactly one of the fields is set, or none where there
// is no measurement.
type Measurement struct {
	Temperature *Temperature
	Humidity    *Summary
	Object      *Object
	SensorData  *SensorData
}

// Summary is what temperatures and humidities have in common. Every field may be
// missing in JSON, and is 0 then.
type Summary struct {
	Value                   *float64 // nil: missing
	Count                   uint64
	Max, Min, Average, Last float64
}

// Unit is a unit of temperature.
type Unit string

// The units.
const (
	Celsius    Unit = "C"
	Fahrenheit Unit = "F"
)

// Temperature is a reading, or a summary of readings.
type Temperature struct {
	Summary
	Unit     Unit // required
	Overtemp bool
}

// Object is what was seen in an image.
type Object struct{ Result string }

// SensorData is everything that was measured in one window.
type SensorData struct {
	Temperature []Temperature
	Humidity    []Summary
	Object      []Object
}

// Parse reads a measurement. Fields that it does not know are ignored. Errors are
// *Error.
func Parse(text []byte) (Measurement, error) {
	r := smalljson.NewReader(text)
	var m Measurement
	keys := 0
	for tag := range r.Object() {
		if keys++; keys > 1 {
			r.Fail("a measurement is one thing only")
		}
		switch tag {
		case "temperature":
			m.Temperature = readTemperature(r)
		case "humidity":
			m.Humidity = readHumidity(r)
		case "object":
			m.Object = readObject(r)
		case "sensor_data":
			m.SensorData = readSensorData(r)
		default:
			r.Fail("unknown measurement " + tag)
		}
	}
	if keys == 0 {
		r.Fail("a measurement is an object with one key")
	}
	if err := r.End(); err != nil {
		return Measurement{}, &Error{err}
	}
	return m, nil
}

// ParseStaged reads what an accumulate operator has staged: a measurement or, before
// the first batch, nothing.
func ParseStaged(text []byte) (Measurement, error) {
	if len(text) == 0 {
		return Measurement{}, nil
	}
	m, err := Parse(text)
	if err != nil {
		return Measurement{}, errors.New("the staged result is not a measurement: " + errors.Unwrap(err).Error())
	}
	return m, nil
}

// fields are the known fields that an object has had so far. That one repeats is an
// error.
type fields struct {
	names [8]string // a Temperature has eight
	n     int
}

func (f *fields) has(key string) bool { return slices.Contains(f.names[:f.n], key) }

func (f *fields) add(r *smalljson.Reader, key string) {
	if f.has(key) {
		r.Fail("duplicate field " + key)
		return
	}
	f.names[f.n] = key
	f.n++
}

// field reads the field key, if it is one of a Summary.
func (s *Summary) field(r *smalljson.Reader, key string) bool {
	switch key {
	case "value":
		s.Value = nil
		if !r.Null() {
			value := r.Float()
			s.Value = &value
		}
	case "count":
		s.Count = r.Uint()
	case "max":
		s.Max = r.Float()
	case "min":
		s.Min = r.Float()
	case "average":
		s.Average = r.Float()
	case "last":
		s.Last = r.Float()
	default:
		return false
	}
	return true
}

func readTemperature(r *smalljson.Reader) *Temperature {
	t := &Temperature{}
	var known fields
	for key := range r.Object() {
		switch {
		case t.field(r, key):
		case key == "unit":
			if t.Unit = Unit(r.Text()); t.Unit != Celsius && t.Unit != Fahrenheit {
				r.Fail("unknown unit")
			}
		case key == "overtemp":
			t.Overtemp = r.Bool()
		default:
			r.Skip()
			continue
		}
		known.add(r, key)
	}
	if t.Unit == "" {
		r.Fail("a temperature needs a unit")
	}
	return t
}

func readHumidity(r *smalljson.Reader) *Summary {
	s := &Summary{}
	var known fields
	for key := range r.Object() {
		if !s.field(r, key) {
			r.Skip()
			continue
		}
		known.add(r, key)
	}
	return s
}

func readObject(r *smalljson.Reader) *Object {
	o := &Object{}
	var known fields
	for key := range r.Object() {
		if key != "result" {
			r.Skip()
			continue
		}
		o.Result = r.Text()
		known.add(r, key)
	}
	if !known.has("result") {
		r.Fail("an object needs a result")
	}
	return o
}

func readSensorData(r *smalljson.Reader) *SensorData {
	d := &SensorData{}
	var known fields
	for key := range r.Object() {
		switch key {
		case "temperature":
			for range r.Array() {
				d.Temperature = append(d.Temperature, *readTemperature(r))
			}
		case "humidity":
			for range r.Array() {
				d.Humidity = append(d.Humidity, *readHumidity(r))
			}
		case "object":
			for range r.Array() {
				d.Object = append(d.Object, *readObject(r))
			}
		default:
			r.Skip()
			continue
		}
		known.add(r, key)
	}
	return d
}
