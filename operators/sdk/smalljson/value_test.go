// SPDX-License-Identifier: Apache-2.0

package smalljson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

func TestValue(t *testing.T) {
	for text, want := range map[string]string{
		`null`: `null`, ` true `: `true`, `false`: `false`,
		`"a\u0041\n<"`: `"aA\n<"`,
		`[]`:           `[]`, `[ 1 , [ 2 ] , {} ]`: `[1,[2],{}]`,
		`{"b":1,"a":{"d":null,"c":"x"},"":2}`: `{"":2,"a":{"c":"x","d":null},"b":1}`,
		`{"a":1,"b":2,"a":3}`:                 `{"a":3,"b":2}`,
		`0`:                                   `0`, `-0`: `-0.0`, `-7`: `-7`, `1.0`: `1.0`, `23.50`: `23.5`, `1e3`: `1000.0`, `1E-7`: `1e-7`,
		`18446744073709551615`: `18446744073709551615`, `-9223372036854775808`: `-9223372036854775808`, `18446744073709551616`: `1.8446744073709552e19`,
	} {
		v, err := smalljson.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := string(v.Append(nil)); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		``: "want a value", `{"a"}`: "want ':'", `[1,]`: "want a value", `1 2`: "want the end", `[1e999]`: "out of range", `nul`: "want null",
		strings.Repeat("[", 200): "nested too deeply",
	} {
		if _, err := smalljson.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if got := string(smalljson.Value{}.Append(nil)); got != "null" {
		t.Errorf("no value became %s", got)
	}
}

func TestGet(t *testing.T) {
	v, err := smalljson.Parse([]byte(`{"c":3,"a":1.5,"b":{"x":"y"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if a, found := v.Get("a"); !found || a.Float() != 1.5 {
		t.Errorf("a is %v, %t", a, found)
	}
	b, _ := v.Get("b")
	if x, found := b.Get("x"); !found || x.Text != "y" || x.Float() != 0 {
		t.Errorf("b.x is %v, %t", x, found)
	}
	for _, key := range []string{"", "aa", "z"} {
		if x, found := v.Get(key); found || x.Kind != smalljson.Invalid {
			t.Errorf("%q is %v", key, x)
		}
	}
	if _, found := (smalljson.Value{Kind: smalljson.Array}).Get("a"); found {
		t.Error("an array has members")
	}
}

// FuzzValue: what Parse takes, encoding/json takes; what it writes is the same.
func FuzzValue(f *testing.F) {
	f.Add([]byte(`{"b":[1,2.5,"x",null,true],"a":{"":-1e-9}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := smalljson.Parse(text)
		if err != nil {
			return
		}
		var want, got any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		written := v.Append(nil)
		if err := json.Unmarshal(written, &got); err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(got)
		if !bytes.Equal(a, b) {
			t.Fatalf("%s became %s", a, b)
		}
	})
}
