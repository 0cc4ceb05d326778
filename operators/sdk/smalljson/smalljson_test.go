// SPDX-License-Identifier: Apache-2.0

package smalljson_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// decode reads any value into what encoding/json would make of it.
func decode(r *smalljson.Reader) any {
	switch r.Kind() {
	case smalljson.Null:
		r.Null()
		return nil
	case smalljson.Bool:
		return r.Bool()
	case smalljson.Number:
		return r.Float()
	case smalljson.String:
		return r.Text()
	case smalljson.Array:
		a := []any{}
		for range r.Array() {
			a = append(a, decode(r))
		}
		return a
	case smalljson.Object:
		o := map[string]any{}
		for key := range r.Object() {
			o[key] = decode(r)
		}
		return o
	}
	r.Skip() // fails
	return nil
}

// same compares what smalljson and encoding/json make of text. They differ on
// purpose: encoding/json lets lone surrogates and invalid UTF-8 pass, and nests deeper.
func same(t *testing.T, text string) {
	t.Helper()
	r := smalljson.NewReader([]byte(text))
	got := decode(r)
	err := r.End()

	skip := smalljson.NewReader([]byte(text))
	skip.Skip()
	skipErr := skip.End()

	var want any
	wantErr := json.Unmarshal([]byte(text), &want)
	if err == nil && wantErr != nil {
		t.Fatalf("read %q; encoding/json says: %v", text, wantErr)
	}
	if err == nil && skipErr != nil {
		t.Fatalf("read %q, but Skip says: %v", text, skipErr)
	}
	if err != nil && wantErr == nil && !strings.Contains(err.Error(), "surrogate") &&
		!strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "deeply") {
		t.Fatalf("read %q: %v; encoding/json reads it", text, err)
	}
	if err == nil {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		if string(g) != string(w) {
			t.Fatalf("read %q = %s, want %s", text, g, w)
		}
	}
}

var corpus = []string{
	`{"temperature":{"value":100.0,"unit":"F","overtemp":false}}`,
	` { "a" : [ 1 , -2.5e3 , 0 , -0 , 1E+2, 1e-2 ] , "b" : null , "" : {} , "c" : [] } `,
	`"\u00e9\ud83d\ude00\n\"\\\/\b\f\r\t"`, `"é😀"`, `true`, `false`, `null`, `1e308`,
	``, ` `, `{`, `}`, `[`, `]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a":1 "b":2}`,
	`01`, `-`, `+1`, `.5`, `1.`, `1e`, `1e+`, `0x1`, `NaN`, `Infinity`, `1e999`, `nul`, `truefalse`, `tru`,
	`"`, `"\`, `"\u`, `"\u12`, `"\u12g4"`, `"\x"`, "\"\x01\"", "\"\xff\"", "\"\\n\x01\"", `"\ud800"`, `"\ud800\u0041"`, `"\udc00\ud800"`,
	`{"a":1}x`, `{a:1}`, `{'a':1}`, `[1] [2]`, "\ufeff1", strings.Repeat("[", 200) + strings.Repeat("]", 200),
	strings.Repeat("[", 128) + strings.Repeat("]", 128),
}

func TestReaderAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range corpus {
		same(t, text)
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range corpus {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { same(t, text) })
}

func TestReaderErrors(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		read       func(r *smalljson.Reader)
	}{
		{`{"a":"x"}`, "json: offset 5: want a number", func(r *smalljson.Reader) {
			for range r.Object() {
				r.Float()
			}
		}},
		{`[1.5]`, "json: offset 1: want an integer", func(r *smalljson.Reader) {
			for range r.Array() {
				r.Int()
			}
		}},
		{`-1`, "json: offset 0: want an integer that is not negative", func(r *smalljson.Reader) { r.Uint() }},
		{`-0`, "json: offset 0: want an integer that is not negative", func(r *smalljson.Reader) { r.Uint() }},
		{`18446744073709551616`, "json: offset 0: want an integer that is not negative", func(r *smalljson.Reader) { r.Uint() }},
		{`1e999`, "json: offset 0: number out of range", func(r *smalljson.Reader) { r.Float() }},
		{`0`, "json: offset 0: want a bool", func(r *smalljson.Reader) { r.Bool() }},
		{`[]`, "json: offset 0: want an object", func(r *smalljson.Reader) {
			for range r.Object() {
				r.Skip()
			}
		}},
		{`{"a":1,"b":2}`, "json: offset 6: twice is too much", func(r *smalljson.Reader) {
			for range r.Object() {
				r.Skip()
				r.Fail("twice is too much")
				r.Fail("of two errors the first one counts")
			}
		}},
		{`{"a":1}`, "json: offset 5: want ',' or '}'", func(r *smalljson.Reader) {
			for range r.Object() { // and does not read the value
			}
		}},
	} {
		r := smalljson.NewReader([]byte(tt.text))
		tt.read(r)
		err := r.End()
		var e *smalljson.Error
		if !errors.As(err, &e) || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.text, err, tt.want)
		}
	}
}

func TestIntegers(t *testing.T) {
	r := smalljson.NewReader([]byte(`[-9223372036854775808, 18446744073709551615]`))
	var i int64
	var u uint64
	for n := range r.Array() {
		if n == 0 {
			i = r.Int()
		} else {
			u = r.Uint()
		}
	}
	if err := r.End(); err != nil || i != math.MinInt64 || u != math.MaxUint64 {
		t.Errorf("got %d, %d, %v", i, u, err)
	}
}

func TestAppendFloat(t *testing.T) {
	for _, tt := range []struct {
		v    float64
		want string
	}{
		{0, "0.0"}, {math.Copysign(0, -1), "-0.0"}, {100, "100.0"}, {-40, "-40.0"},
		{653.8888888888889, "653.8888888888889"}, {37.77777777777778, "37.77777777777778"},
		{0.1, "0.1"}, {0.00001, "0.00001"}, {0.000001, "1e-6"}, {1e-7, "1e-7"}, {1.5e-7, "1.5e-7"}, {-1.25e-10, "-1.25e-10"},
		{1e15, "1000000000000000.0"}, {9007199254740993, "9007199254740992.0"}, {1e16, "1e16"}, {1.5e16, "1.5e16"},
		{123456789012345680, "1.2345678901234568e17"}, {1e100, "1e100"}, {math.MaxFloat64, "1.7976931348623157e308"}, {5e-324, "5e-324"},
		{math.NaN(), "null"}, {math.Inf(1), "null"}, {math.Inf(-1), "null"},
	} {
		if got := string(smalljson.AppendFloat([]byte("x"), tt.v)); got != "x"+tt.want {
			t.Errorf("AppendFloat(%g) = %s, want %s", tt.v, got[1:], tt.want)
		}
	}
}

func TestAppendText(t *testing.T) {
	for _, s := range []string{"", "plain", "\"\\\n\r\t\b\f\x00\x1f/é😀\u2028"} {
		var got string
		if err := json.Unmarshal(smalljson.AppendText(nil, s), &got); err != nil || got != s {
			t.Errorf("AppendText(%q) reads back as %q, %v", s, got, err)
		}
	}
	if got := string(smalljson.AppendText(nil, "a\xffb")); got != "\"a\ufffdb\"" {
		t.Errorf("AppendText of invalid UTF-8 = %q", got)
	}
}

func BenchmarkReader(b *testing.B) {
	text := []byte(corpus[0])
	b.ReportAllocs()
	for b.Loop() {
		r := smalljson.NewReader(text)
		r.Skip()
		if r.End() != nil {
			b.Fatal("no JSON")
		}
	}
}
