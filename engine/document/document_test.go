// SPDX-License-Identifier: Apache-2.0

package document_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/document"
)

// thing is what the tests read: it has a value of every sort.
type thing struct {
	Name   string
	Count  int
	On     bool
	Colour string
	Tags   []string
	Any    []string // names and texts of the properties of a free object
	Inner  string
}

func readThing(n document.Node) thing {
	o := n.Object("name", "count", "on", "colour", "tags", "any", "inner")
	t := thing{
		Name:   o.Required("name", "give it one").Text(),
		On:     o.Optional("on").Bool(),
		Colour: o.Optional("colour").Enum("Red", "Green"),
		Inner:  o.Optional("inner").Object("text").Optional("text").Text(),
	}
	t.Count, _ = o.Optional("count").Int(1, 20)
	for _, tag := range o.Optional("tags").List() {
		t.Tags = append(t.Tags, tag.Text())
	}
	for _, p := range o.Optional("any").Map() {
		t.Any = append(t.Any, p.Name+"="+p.Value.Text())
	}
	return t
}

func read(text string) ([]thing, document.Problems) {
	r := document.NewReader("f.yaml")
	var things []thing
	for _, n := range r.Documents([]byte(text)) {
		things = append(things, readThing(n))
	}
	return things, r.Problems()
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []thing
	}{
		{"everything", "name: a\ncount: 3\non: true\ncolour: gReEn\ntags: [x, 'y']\nany: {b: c, d: e}\ninner: {text: t}\n",
			[]thing{{"a", 3, true, "Green", []string{"x", "y"}, []string{"b=c", "d=e"}, "t"}}},
		{"null is absent", "name: a\ncount: null\ntags: ~\ninner:\n", []thing{{Name: "a"}}},
		{"JSON", `{"name": "a", "count": 3}`, []thing{{Name: "a", Count: 3}}},
		{"several documents, some empty", "---\nname: a\n---\n---\n# nothing\n---\nname: b\n", []thing{{Name: "a"}, {Name: "b"}}},
		{"aliases", "name: &n a\ntags: [*n, *n]\n", []thing{{Name: "a", Tags: []string{"a", "a"}}}},
		{"nothing at all", "", nil},
		{"only comments", "# nothing\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, problems := read(tt.text)
			if problems != nil {
				t.Errorf("problems: %v", problems.Err())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown property", "name: a\ncolor: Red\n", "f.yaml:2:1: unknown property color; did you mean colour?"},
		{"unknown property inside", "name: a\ninner:\n  x: 1\n", "f.yaml:3:3: unknown property inner.x; write text"},
		{"missing property", "count: 1\n", "f.yaml:1:1: property name is missing; give it one"},
		{"null where needed", "name:\n", "f.yaml:1:1: property name is missing; give it one"},
		{"empty where needed", "name: ''\n", "f.yaml:1:7: name is empty; give it one"},
		{"given twice", "name: a\nname: b\n", "f.yaml:2:1: property name is given twice; remove one"},
		{"number for text", "name: 1.0\n", `f.yaml:1:7: name must be a string, not the number 1.0; write "1.0", with the quotes`},
		{"boolean for text", "name: yes\n", ""},
		{"date for text", "name: 2020-01-01\n", `f.yaml:1:7: name must be a string, not the date 2020-01-01; write "2020-01-01", with the quotes`},
		{"object for text", "name: {}\n", "f.yaml:1:7: name must be a string, not an object"},
		{"text for number", "name: a\ncount: many\n", `f.yaml:2:8: count must be a whole number, not "many"`},
		{"number with a fraction", "name: a\ncount: 1.5\n", "f.yaml:2:8: count must be a whole number, not the number 1.5"},
		{"number too large", "name: a\ncount: 21\n", "f.yaml:2:8: count must be from 1 to 20, not 21"},
		{"number beyond numbers", "name: a\ncount: 99999999999999999999\n", "f.yaml:2:8: count must be a whole number, not the number 99999999999999999999"},
		{"text for boolean", "name: a\non: maybe\n", `f.yaml:2:5: on must be a boolean, not "maybe"; write true or false`},
		{"not one of", "name: a\ncolour: Grene\n", `f.yaml:2:9: colour can't be "Grene"; did you mean Green?`},
		{"boolean for one of", "name: a\ncolour: true\n", `f.yaml:2:9: colour must be a string, not the boolean true; write one of Red, Green`},
		{"text for list", "name: a\ntags: x\n", `f.yaml:2:7: tags must be a list, not "x"`},
		{"number in list", "name: a\ntags:\n- x\n- 2\n", `f.yaml:4:3: tags[1] must be a string, not the number 2; write "2", with the quotes`},
		{"text for object", "-----BEGIN PRIVATE KEY-----\n", "f.yaml:1:1: the document must be an object, not a text"},
		{"list for object", "- a\n", "f.yaml:1:1: the document must be an object, not a list"},
		{"merge key", "name: a\ninner:\n  <<: {text: b}\n", "f.yaml:3:3: property names of inner must be plain text; write the properties out"},
		{"not YAML", "name: a\n  x: [\n", "f.yaml:2:1: not valid YAML: mapping values are not allowed in this context; check the indentation, and put a text with a colon in it into quotes"},
		{"not UTF-8", "name: a\ninner: \xff\n", "f.yaml:2:8: byte 0xff is not UTF-8; save the file as UTF-8"},
		{"control character", "name: ä\a\n", "f.yaml:1:8: there is a control character, U+0007; take it out, or write it as \\xNN in double quotes"},
		{"byte order mark inside", "\ufeffname: a\n\ufeffcount: 1\n", "f.yaml:2:1: there is a byte order mark inside the text; take it out"},
		{"tab", "name: a\ninner:\n \ttext: b\n", "f.yaml:3:2: not valid YAML: found character that cannot start any token; indent with blanks, not with tabs"},
		{"unknown anchor", "name: a\ntags: [*b]\n", "f.yaml:2:8: not valid YAML: unknown anchor; put a text that begins with * into quotes"},
		{"number in quotes", "name: a\ncount: '3'\n", `f.yaml:2:8: count must be a whole number, not "3"; write 3, without the quotes`},
		{"several, in order", "x: 1\ncount: 0\nname: 1\n",
			"f.yaml:1:1: unknown property x; write one of name, count, on, colour, tags, any, inner\n" +
				"f.yaml:2:8: count must be from 1 to 20, not 0\n" +
				`f.yaml:3:7: name must be a string, not the number 1; write "1", with the quotes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := read(tt.text)
			got := ""
			if err := problems.Err(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestWarningsAreNoErrors(t *testing.T) {
	r := document.NewReader("f.yaml")
	r.Documents([]byte("name: a\n"))[0].Warnf("drop it", "%s is old", "name")
	problems := r.Problems()
	if err := problems.Err(); err != nil {
		t.Errorf("Err() = %v, want nil", err)
	}
	if got, want := problems.Warnings()[0].Error(), "f.yaml:1:1: warning: name is old; drop it"; got != want {
		t.Errorf("warning is %q, want %q", got, want)
	}
}

func TestErrWrapsEachProblem(t *testing.T) {
	_, problems := read("name: 1\ncount: x\n")
	var p *document.Problem
	if err := problems.Err(); !errors.As(err, &p) || p.Line != 1 || len(err.(interface{ Unwrap() []error }).Unwrap()) != 2 {
		t.Errorf("Err() = %v; want an error that wraps two problems", err)
	}
}

// TestBounded reads documents that are small and unfold without end.
func TestBounded(t *testing.T) {
	text := "a0: &a0 []\n"
	for i := range 30 {
		text += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	r := document.NewReader("f.yaml")
	var walk func(n document.Node)
	walk = func(n document.Node) {
		for _, item := range n.List() {
			walk(item)
		}
	}
	for _, n := range r.Documents([]byte(text)) {
		for _, p := range n.Map() {
			walk(p.Value)
		}
	}
	if err := r.Problems().Err(); err == nil || !strings.Contains(err.Error(), "more than 100000 properties") {
		t.Errorf("problems: %v", err)
	}
	_, problems := read("name: [" + strings.Repeat("{}, ", 10) + "]\ntags: [" + strings.Repeat("1, ", 1000) + "]\n")
	if len(problems) > 100 {
		t.Errorf("%d problems, want at most 100", len(problems))
	}
}

// FuzzRead: any text gives values or problems with a place.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"name: a\n", "---\n- &x [*x]\n", "{a: b", "? [x]\n: y\n", "name: !!binary aaaa\ncount: 0x7f\non: on\n", "\xff\xfe", "a: &a {b: *a}\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, problems := read(text)
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("problem without a place: %q", p.Error())
			}
		}
	})
}
