// SPDX-License-Identifier: Apache-2.0

package document_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/document"
)

func TestJSON(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"b: 1\na: [x, 'y', 2.5, true, null, ~]", `{"b":1,"a":["x","y",2.5,true,null,null]}`},
		{"a: &x {k: v}\nb: *x", `{"a":{"k":"v"},"b":{"k":"v"}}`},
		{"a: 0x10\nb: 18446744073709551615\nc: .inf\nd: 2020-01-01\n1: e", `{"a":16,"b":18446744073709551615,"c":".inf","d":"2020-01-01","1":"e"}`},
		{"a: |\n  <two>\n  lines\n", `{"a":"<two>\nlines\n"}`},
		{`{"json": {"is": ["YAML", 1e3]}}`, `{"json":{"is":["YAML",1000]}}`},
	} {
		n := document.NewReader("f").Documents([]byte(tt.text))[0]
		got, err := n.JSON()
		if err != nil || string(got) != tt.want {
			t.Errorf("%q: %s (%v), want %s", tt.text, got, err, tt.want)
		}
	}
	if got, err := (document.Node{}).JSON(); string(got) != "null" || err != nil {
		t.Errorf("of nothing: %s (%v)", got, err)
	}
	if _, err := document.NewReader("f").Documents([]byte("[a]: b"))[0].JSON(); err == nil {
		t.Error("a list as a name was written")
	}
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'h'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 10), ", ") + "]\n"
	}
	if _, err := document.NewReader("f").Documents([]byte(bomb))[0].JSON(); err == nil {
		t.Error("a million items were written")
	}
}

func TestYAML(t *testing.T) {
	const text = `{"b":1,"a":["x","true","1.5",2.5,true,null,{}],"c":{"d":"two\nlines\n","e":[]}}`
	const want = `b: 1
a:
  - x
  - "true"
  - "1.5"
  - 2.5
  - true
  - null
  - {}
c:
  d: |
    two
    lines
  e: []
`
	got, err := document.YAML([]byte(text))
	if err != nil || string(got) != want {
		t.Errorf("got\n%s(%v), want\n%s", got, err, want)
	}
	if _, err := document.YAML([]byte("{")); err == nil {
		t.Error("what is no JSON was written")
	}
}

// FuzzJSON: what a document is as JSON it is again after a way through YAML.
func FuzzJSON(f *testing.F) {
	f.Add([]byte("a: 1\nb: [x, 'y', 2.5, true, null]"))
	f.Add([]byte("a: &x {k: \"\\u0085\"}\nb: *x"))
	f.Add([]byte("{\"<\": .nan, '1': 0b11}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, n := range document.NewReader("f").Documents(text) {
			first, err := n.JSON()
			if err != nil {
				continue
			}
			written, err := document.YAML(first)
			if err != nil {
				t.Fatalf("%s: %v", first, err)
			}
			again := document.NewReader("f").Documents(written)
			if len(again) != 1 {
				if string(first) == "null" {
					continue
				}
				t.Fatalf("%s is %d documents:\n%s", first, len(again), written)
			}
			second, err := again[0].JSON()
			if err != nil {
				t.Fatalf("%s: %v", written, err)
			}
			var a, b any
			if err := json.Unmarshal(first, &a); err != nil {
				t.Fatalf("%s: %v", first, err)
			}
			if err := json.Unmarshal(second, &b); err != nil {
				t.Fatalf("%s: %v", second, err)
			}
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("%s became %s by\n%s", first, second, written)
			}
		}
	})
}
