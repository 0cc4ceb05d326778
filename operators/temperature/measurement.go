// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strconv"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// Measurement is what sensors send: an object with one key that says what it is. Of
// temperatures everything is of interest, of the others only that they are well-formed.
//
//	{"temperature":{"value":100.0,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0,"unit":"F","overtemp":false}}
//	{"humidity":{"value":40.0,"count":0,"max":0.0,"min":0.0,"average":0.0,"last":0.0}}
//	{"object":{"result":"cat"}}
//	{"sensor_data":{"temperature":[],"humidity":[],"object":[]}}
type Measurement struct {
	Temperature *Temperature // nil: it is something else
}

// Unit is a unit of temperature.
type Unit string

// The units.
const (
	Celsius    Unit = "C"
	Fahrenheit Unit = "F"
)

// Summary is what temperatures and humidities have in common. Every field may be
// missing, and is 0 then.
type Summary struct {
	Value                   *float64 // nil: missing
	Count                   uint64
	Max, Min, Average, Last float64
}

// Temperature is a reading, or a summary of readings.
type Temperature struct {
	Summary
	Unit     Unit // required
	Overtemp bool
}

// ParseMeasurement reads a measurement. Fields that it does not know are ignored.
func ParseMeasurement(text []byte) (Measurement, error) {
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
			readHumidity(r)
		case "object":
			readObject(r)
		case "sensor_data":
			readSensorData(r)
		default:
			r.Fail("unknown measurement " + tag)
		}
	}
	if keys == 0 {
		r.Fail("a measurement is an object with one key")
	}
	if err := r.End(); err != nil {
		return Measurement{}, err
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

func readHumidity(r *smalljson.Reader) {
	var s Summary
	var known fields
	for key := range r.Object() {
		if !s.field(r, key) {
			r.Skip()
			continue
		}
		known.add(r, key)
	}
}

func readObject(r *smalljson.Reader) {
	var known fields
	for key := range r.Object() {
		if key != "result" {
			r.Skip()
			continue
		}
		r.Text()
		known.add(r, key)
	}
	if !known.has("result") {
		r.Fail("an object needs a result")
	}
}

func readSensorData(r *smalljson.Reader) {
	var known fields
	for key := range r.Object() {
		switch key {
		case "temperature":
			for range r.Array() {
				readTemperature(r)
			}
		case "humidity":
			for range r.Array() {
				readHumidity(r)
			}
		case "object":
			for range r.Array() {
				readObject(r)
			}
		default:
			r.Skip()
			continue
		}
		known.add(r, key)
	}
}

// Append appends t to dst, with all fields but a missing value.
func (t *Temperature) Append(dst []byte) []byte {
	dst = append(dst, `{"temperature":{`...)
	if t.Value != nil {
		dst = smalljson.AppendFloat(append(dst, `"value":`...), *t.Value)
		dst = append(dst, ',')
	}
	dst = strconv.AppendUint(append(dst, `"count":`...), t.Count, 10)
	dst = smalljson.AppendFloat(append(dst, `,"max":`...), t.Max)
	dst = smalljson.AppendFloat(append(dst, `,"min":`...), t.Min)
	dst = smalljson.AppendFloat(append(dst, `,"average":`...), t.Average)
	dst = smalljson.AppendFloat(append(dst, `,"last":`...), t.Last)
	dst = append(append(append(dst, `,"unit":"`...), t.Unit...), '"')
	dst = strconv.AppendBool(append(dst, `,"overtemp":`...), t.Overtemp)
	return append(dst, "}}"...)
}

// AppendSummary appends what accumulate makes of t: fewer fields, and floats as Rust
// prints them, without a fraction where they are integral and never with an exponent.
func (t *Temperature) AppendSummary(dst []byte) []byte {
	dst = append(dst, `{"temperature":{`...)
	dst = strconv.AppendUint(append(dst, `"count":`...), t.Count, 10)
	dst = appendPlain(append(dst, `,"max":`...), t.Max)
	dst = appendPlain(append(dst, `,"min":`...), t.Min)
	dst = appendPlain(append(dst, `,"average":`...), t.Average)
	dst = appendPlain(append(dst, `,"last":`...), t.Last)
	dst = append(append(append(dst, `,"unit":"`...), t.Unit...), '"')
	return append(dst, "}}"...)
}

func appendPlain(dst []byte, v float64) []byte { return strconv.AppendFloat(dst, v, 'f', -1, 64) }
