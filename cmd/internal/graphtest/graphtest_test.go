// SPDX-License-Identifier: Apache-2.0

package graphtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/cmd/internal/graphtest"
	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
)

// write writes files into a folder of their own, and makes that the working
// directory.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad(t *testing.T) {
	const all = `name: "a test"
graph: "../graph.yaml"
input: "./input"
expected: "expected/expected.json"
timeout: 1500
select: ["payload", "properties.user-properties.otel/hall"]
ignores: [tst]
`
	write(t, map[string]string{"a/all.test.yaml": all, "a/few.test.yaml": "{name: n, graph: g, input: i, expected: e}"})
	place := func(line, column int) document.Position { return document.Position{Line: line, Column: column} }
	for file, want := range map[string]*graphtest.Case{
		"a/all.test.yaml": {
			File: "a/all.test.yaml", Name: "a test",
			Graph: graphtest.Path{Name: "graph.yaml", Pos: place(2, 8)}, Input: graphtest.Path{Name: "a/input", Pos: place(3, 8)},
			Expected: graphtest.Path{Name: "a/expected/expected.json", Pos: place(4, 11)}, Timeout: 1500 * time.Millisecond, TimePos: place(5, 10),
			Select: []string{"payload", "properties.user-properties.otel/hall"}, Ignores: []string{"tst"},
		},
		"a/few.test.yaml": {
			File: "a/few.test.yaml", Name: "n",
			Graph: graphtest.Path{Name: "a/g", Pos: place(1, 18)}, Input: graphtest.Path{Name: "a/i", Pos: place(1, 28)},
			Expected: graphtest.Path{Name: "a/e", Pos: place(1, 41)}, Timeout: time.Minute, TimePos: place(1, 1),
		},
	} {
		got, err := graphtest.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", file, diff)
		}
	}
}

func TestLoadFaults(t *testing.T) {
	const rest = "graph: g\ninput: i\nexpected: e\n"
	for text, want := range map[string]string{
		"":                                   "t.test.yaml:1:1: the document is empty",
		"name: [":                            "t.test.yaml:1:1: not valid YAML: did not find expected node content",
		"- a":                                "t.test.yaml:1:1: the document must be an object, not a list",
		rest:                                 "t.test.yaml:1:1: property name is missing; add name: with words that say what is tested",
		"name: n\ninput: i\nexpected: e":     "t.test.yaml:1:1: property graph is missing; add graph: with the path of a definition",
		"name: n\ngraph: g\nexpected: e":     "property input is missing",
		"name: n\ngraph: g\ninput: i":        "property expected is missing; add expected: with the path of a JSON file; graphctl test --update writes it",
		"name: n\n" + rest + "expect: x":     "t.test.yaml:5:1: unknown property expect; did you mean expected?",
		"name: n\n" + rest + "timeout: 5s":   `t.test.yaml:5:10: timeout must be a whole number, not "5s"`,
		"name: n\n" + rest + "timeout: 0":    "t.test.yaml:5:10: timeout must be from 1 to 86400000, not 0",
		"name: n\n" + rest + "select: topic": `t.test.yaml:5:9: select must be a list, not "topic"`,
		"name: n\n" + rest + "ignores: ['']": "t.test.yaml:5:11: ignores[0] is empty",
		"name: n\n" + rest + "---\nname: m":  "t.test.yaml:6:1: a second YAML document begins here; keep one test per file",
	} {
		write(t, map[string]string{"t.test.yaml": text})
		if _, err := graphtest.Load("t.test.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	write(t, map[string]string{"a/z.test.yaml": "", "a/b/y.test.yaml": "", "a/test.yaml": "", "a/x.test.yml": "", "b/readme.md": ""})
	for path, want := range map[string][]string{"a": {"a/b/y.test.yaml", "a/z.test.yaml"}, "a/test.yaml": {"a/test.yaml"}} {
		got, err := graphtest.Find(path)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", path, err, diff)
		}
	}
	for path, want := range map[string]string{"b": "b has no file *.test.yaml", "c": "no such file"} {
		if _, err := graphtest.Find(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func outputs(messages ...*message.Message) graphtest.Outputs {
	var all graphtest.Outputs
	for _, m := range messages {
		all.Add(m)
	}
	return all
}

func says(topic, payload string, properties ...message.Property) *message.Message {
	return &message.Message{Topic: topic, Payload: []byte(payload), Properties: properties, Time: hlc.Timestamp{Millis: 1_577_836_800_001, Counter: 7, Node: "n"}}
}

// TestOutput writes messages as files of expected ones, which says what they are.
func TestOutput(t *testing.T) {
	full := says("out", "{\"a\" : [1.0, \"\u00e9<\"]}\n", message.Property{Key: "k", Value: "1"}, message.Property{Key: "k", Value: "2"}, message.Property{Key: "a.b", Value: ""})
	full.ContentType = "application/json"
	for _, tt := range []struct {
		message *message.Message
		want    string
	}{
		{full, `{
  "tst": "2020-01-01T00:00:00.001000Z+0000",
  "topic": "out",
  "qos": 1,
  "retain": 0,
  "payloadlen": 21,
  "properties": {
    "content-type": "application/json",
    "user-properties": {
      "k": "2",
      "a.b": "",
      "__ts": "001577836800001:00007:n"
    }
  },
  "payload": "{\"a\":[1.0,\"é<\"]}"
}
`},
		{says("probe/1", "no JSON"), `{
  "tst": "2020-01-01T00:00:00.001000Z+0000",
  "topic": "sensors",
  "qos": 1,
  "retain": 0,
  "payloadlen": 7,
  "properties": {
    "user-properties": {
      "__ts": "001577836800001:00007:n"
    }
  },
  "payload": "no JSON"
}
`},
		{says("", "\xff"), `{
  "tst": "2020-01-01T00:00:00.001000Z+0000",
  "topic": "sensors",
  "qos": 1,
  "retain": 0,
  "payloadlen": 1,
  "properties": {
    "user-properties": {
      "__ts": "001577836800001:00007:n"
    }
  },
  "payloadBase64": "/w=="
}
`},
	} {
		write(t, nil)
		c := &graphtest.Case{Expected: graphtest.Path{Name: "deep/expected.json"}}
		if err := c.Update(outputs(tt.message)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("deep/expected.json")
		if diff := cmp.Diff(tt.want, string(got)); err != nil || diff != "" {
			t.Errorf("%v -want +got\n%s", err, diff)
		}
		if problems, err := c.Check(outputs(tt.message)); err != nil || len(problems) > 0 {
			t.Errorf("what was written differs: %v, %v", problems, err)
		}
	}
	if problems := check(t, &graphtest.Case{Select: []string{"topic"}}, `{"topic":"sensors"}`, outputs(says("snapshot_simulation", ""))); problems != nil {
		t.Errorf("an image's topic: %v", problems)
	}
}

// check compares outputs with the content of an expected file.
func check(t *testing.T, c *graphtest.Case, expected string, outputs graphtest.Outputs) []string {
	t.Helper()
	write(t, map[string]string{"expected.json": expected})
	c.File, c.Expected = "t.test.yaml", graphtest.Path{Name: "expected.json", Pos: document.Position{Line: 4, Column: 11}}
	problems, err := c.Check(outputs)
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	return graphtest.Texts(problems)
}

func TestCheck(t *testing.T) {
	hall := message.Property{Key: "otel/hall", Value: "north"}
	dotted := message.Property{Key: "a.b", Value: "c"}
	payload := []string{"payload"}
	one := outputs(says("out", `{"b":1,"a":[1.0,{"c":"x"}]}`, hall, dotted))
	for _, tt := range []struct {
		name            string
		choose, ignores []string
		expected        string
		outputs         graphtest.Outputs
		want            []string
	}{
		{"minified", payload, nil, `{"payload":" { \"b\" : 1 , \"a\" : [ 1.0, {\"c\":\"\\u0078\"} ] } \n"}`, one, nil},
		{"payload written as JSON", payload, nil, `{"payload":{"b":1,"a":[1.0,{"c":"x"}]}}`, one, nil},
		{"numbers as written", payload, nil, `{"payload":"{\"b\":1,\"a\":[1,{\"c\":\"x\"}]}"}`, one, []string{"expected.json:1:12: payload.a.0 is 1.0, want 1"}},
		{"order of members", payload, nil, `{"payload":"{\"a\":[1.0,{\"c\":\"x\"}],\"b\":1}"}`, one,
			[]string{`expected.json:1:12: payload has its members in another order: it is {"b":1,"a":[1.0,{"c":"x"}]}, want {"a":[1.0,{"c":"x"}],"b":1}`}},
		{"order of members outside", []string{"topic", "qos"}, nil, `{"qos":1,"topic":"out"}`, one, nil},
		{"place of a difference", payload, nil, "{\n  \"payload\": {\"b\":1,\n    \"a\":[1.0,\n      {\"c\":\"y\"}]}}", one, []string{`expected.json:4:12: payload.a.1.c is "x", want "y"`}},
		{"a longer list", payload, nil, `{"payload":{"b":1,"a":[1.0]}}`, one, []string{`expected.json:1:23: payload.a is [1.0,{"c":"x"}], want [1.0]`}},
		{"missing and unexpected", []string{"topic", "payload"}, nil, `{"payload":{"b":1,"a":[1.0,{"d":"x"}]},"topics":"out"}`, one,
			[]string{`expected.json:1:33: payload.a.1.d is missing, want "x"`, `expected.json:1:28: payload.a.1.c is not expected: "x"`, `expected.json:1:1: topic is not expected: "out"`}},
		{"text that is no JSON", payload, nil, `{"payload":"a"}`, outputs(says("t", "b")), []string{`expected.json:1:12: payload is "b", want "a"`}},
		{"JSON and text", payload, nil, `{"payload":"a"}`, one, []string{`expected.json:1:12: payload is "{\"b\":1,\"a\":[1.0,{\"c\":\"x\"}]}", want "a"`}},
		{"binary", []string{"payloadBase64"}, nil, `{"payloadBase64":"/w=="}`, outputs(says("t", "\xff")), nil},
		{"select within", []string{"payload.a.1.c", "properties.user-properties.otel/hall", "properties.user-properties.a.b"}, nil,
			`{"payload":"{\"z\":5,\"a\":[{\"c\":\"x\"}]}","properties":{"user-properties":{"otel/hall":"north","a.b":"c"}}}`, one,
			[]string{`expected.json:1:1: payload is not expected: "{\"a\":[null,{\"c\":\"x\"}]}"`}},
		{"select within both", []string{"payload.a.1.c", "properties.user-properties.otel/hall", "properties.user-properties.a.b"}, nil,
			`{"payload":"{\"z\":5,\"a\":[7,{\"c\":\"x\"}]}","properties":{"user-properties":{"otel/hall":"north","a.b":"c"}}}`, one, nil},
		{"select what isn't there", []string{"nothing"}, nil, `{}`, one, nil},
		{"ignore", nil, []string{"tst", "qos", "retain", "payloadlen", "properties", "payload.a.0", "payload.a.1", "payload.b"}, `{"topic":"out","payload":{"a":[5,7]}}`, one, nil},
		{"ignore an item", payload, []string{"payload.a.0", "payload.b"}, `{"payload":{"a":[5,{"c":"x"},null]}}`, one, []string{`expected.json:1:17: payload.a is [null,{"c":"x"}], want [null,{"c":"x"},null]`}},
		{"ignore a whole payload", nil, []string{"tst", "qos", "retain", "payloadlen", "properties", "payload"}, `{"topic":"out"}`, one, nil},
		{"ignore what is selected", []string{"topic", "payload"}, []string{"payload.a"}, `{"topic":"out","payload":{"b":1,"a":"whatever"}}`, one, nil},
		{"the last message", payload, nil, `{"payload":"2"}`, outputs(says("t", "1"), says("t", "2")), nil},
		{"not the last message", payload, nil, `{"payload":"1"}`, outputs(says("t", "1"), says("t", "2")), []string{`expected.json:1:12: payload is 2, want 1`}},
		{"no message for one", payload, nil, ` {"payload":"1"}`, nil, []string{"expected.json:1:2: no message came out"}},
		{"all messages", payload, nil, `[{"payload":"1"},{"payload":"2"}]`, outputs(says("t", "1"), says("t", "2")), nil},
		{"in another order", payload, nil, `[{"payload":"2"},{"payload":"1"}]`, outputs(says("t", "1"), says("t", "2")),
			[]string{`expected.json:1:13: message 1.payload is 1, want 2`, `expected.json:1:29: message 2.payload is 2, want 1`}},
		{"too few", payload, nil, "[{\"payload\":\"1\"},\n{\"payload\":\"2\"}]", outputs(says("t", "1")), []string{"expected.json:2:1: message 2 did not come out"}},
		{"too many", payload, nil, `[{"payload":"1"}]`, outputs(says("t", "1"), says("t", "2")), []string{`expected.json:1:1: message 2 came out, and is not expected: {"payload":"2"}`}},
		{"none", payload, nil, `[]`, nil, nil},
		{"one for none", payload, nil, `[]`, outputs(says("t", "1")), []string{`expected.json:1:1: message 1 came out, and is not expected: {"payload":"1"}`}},
		{"no JSON", nil, nil, "{\n  \"payload\": ,\n}", nil, []string{"error: expected.json:2:14: not valid JSON: invalid character ',' looking for beginning of value"}},
		{"cut off", nil, nil, `[{"payload":"1"`, nil, []string{"error: expected.json:1:16: not valid JSON: it ends too early"}},
		{"more than one value", nil, nil, "[]\n[]", nil, []string{"error: expected.json:2:1: not valid JSON: more follows after the value"}},
		{"nested", nil, nil, strings.Repeat("[", 2000), nil, []string{"error: expected.json:1:1002: not valid JSON: nested too deeply"}},
		{"a string", nil, nil, `"x"`, nil, []string{"error: expected.json:1:1: want an object, or an array of objects"}},
		{"an array of strings", nil, nil, `[{},"x"]`, nil, []string{"error: expected.json:1:5: want an object, or an array of objects"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := check(t, &graphtest.Case{Select: tt.choose, Ignores: tt.ignores}, tt.expected, tt.outputs)
			if len(got) != len(tt.want) {
				t.Fatalf("got\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestNothingExpectedYet(t *testing.T) {
	write(t, nil)
	c := &graphtest.Case{File: "t.test.yaml", Expected: graphtest.Path{Name: "e.json", Pos: document.Position{Line: 4, Column: 11}}}
	if _, err := c.Check(nil); err == nil || err.Error() != "t.test.yaml:4:11: e.json: no such file; graphctl test --update writes it" {
		t.Errorf("error is %v", err)
	}
}

func TestUpdateKeepsTheForm(t *testing.T) {
	a, b := says("t", "1"), says("t", "2")
	for _, tt := range []struct {
		old     string
		outputs graphtest.Outputs
		want    string
	}{
		{`{"payload":"0"}`, outputs(a, b), "{\n  \"payload\": \"2\"\n}\n"},
		{`{"payload":"0"}`, nil, "[]\n"},
		{`[]`, outputs(a), "[\n  {\n    \"payload\": \"1\"\n  }\n]\n"},
		{`[{}]`, outputs(a, b), "[\n  {\n    \"payload\": \"1\"\n  },\n  {\n    \"payload\": \"2\"\n  }\n]\n"},
		{`broken`, outputs(a), "{\n  \"payload\": \"1\"\n}\n"},
	} {
		write(t, map[string]string{"e.json": tt.old})
		c := &graphtest.Case{Select: []string{"payload"}, Expected: graphtest.Path{Name: "e.json"}}
		if err := c.Update(tt.outputs); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile("e.json"); err != nil || string(got) != tt.want {
			t.Errorf("%s became %s, %v; want %s", tt.old, got, err, tt.want)
		}
	}
}

func TestReadStore(t *testing.T) {
	for text, want := range map[string]any{
		`[{"a":"1"},{"b":"2","c":""}]`: [][2]string{{"a", "1"}, {"b", "2"}, {"c", ""}},
		`[]`:                           [][2]string(nil),
		`{"a":"1"}`:                    `store.json:1:1: want an array of objects whose members are strings; as in [{"key": "value"}]`,
		`[{"a":"1"}, 5]`:               `store.json:1:13: want an array`,
		"[{\"a\":\n 1}]":               `store.json:2:2: want an array`,
		`[`:                            `store.json:1:2: not valid JSON: it ends too early`,
	} {
		write(t, map[string]string{"store.json": text})
		got, err := graphtest.ReadStore("store.json")
		if message, bad := want.(string); bad {
			if err == nil || !strings.HasPrefix(err.Error(), message) {
				t.Errorf("%s: %v, want %s", text, err, message)
			}
		} else if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestReadJSON(t *testing.T) {
	write(t, map[string]string{"good.json": "{ }\n", "bad.json": "{\n}}"})
	if text, err := graphtest.ReadJSON("good.json"); err != nil || string(text) != "{ }\n" {
		t.Errorf("good.json: %q, %v", text, err)
	}
	if _, err := graphtest.ReadJSON("bad.json"); err == nil || err.Error() != "bad.json:2:2: not valid JSON: more follows after the value" {
		t.Errorf("bad.json: %v", err)
	}
}

func FuzzPayload(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}],"c":"\ud800"}`), "payload.a.0")
	f.Add([]byte("\xff"), "payload")
	f.Fuzz(func(t *testing.T, payload []byte, path string) {
		for _, c := range []*graphtest.Case{{}, {Select: []string{path}}, {Ignores: []string{path}}} {
			c.Expected.Name = filepath.Join(t.TempDir(), "e.json")
			out := outputs(&message.Message{Payload: payload})
			if err := c.Update(out); err != nil {
				t.Fatal(err)
			}
			if problems, err := c.Check(out); err != nil || len(problems) > 0 {
				t.Fatalf("what was written differs: %v, %v", graphtest.Texts(problems), err)
			}
		}
	})
}
