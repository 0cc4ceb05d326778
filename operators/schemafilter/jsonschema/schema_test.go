// SPDX-License-Identifier: Apache-2.0

package jsonschema_test

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/schemafilter/jsonschema"
	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// TestValidate: each schema with values that are valid, and values that are not, with
// the reason.
func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		schema  string
		valid   []string
		invalid map[string]string
	}{
		{`true`, []string{`1`, `null`}, nil},
		{`{}`, []string{`1`, `{"a":[]}`}, nil},
		{`false`, nil, map[string]string{`1`: "must not be there"}},
		{`{"type":"integer"}`, []string{`1`, `-1.0`, `1e3`}, map[string]string{`1.5`: "must be integer, is number", `"1"`: "must be integer, is string", `null`: "must be integer, is null"}},
		{`{"type":["number","boolean"]}`, []string{`1`, `1.5`, `true`}, map[string]string{`[]`: "must be number or boolean, is array", `{}`: "is object"}},
		{`{"enum":[1,"a",{"x":[1.0]}]}`, []string{`1.0`, `"a"`, `{"x":[1]}`}, map[string]string{`2`: "must be one of the values in enum", `"1"`: "enum", `{"x":[2]}`: "enum"}},
		{`{"const":null}`, []string{`null`}, map[string]string{`0`: "must be the constant value"}},
		{`{"const":9007199254740993}`, []string{`9007199254740993`}, map[string]string{`9007199254740992`: "must be the constant"}},
		{`{"maximum":10,"minimum":-1.5}`, []string{`10`, `-1.5`, `"100"`}, map[string]string{`10.1`: "must be at most 10", `-1.6`: "must be at least -1.5"}},
		{`{"exclusiveMaximum":10,"exclusiveMinimum":0}`, []string{`9.99`}, map[string]string{`10`: "must be less than 10", `0`: "must be more than 0"}},
		{`{"maximum":9007199254740992}`, []string{`9007199254740992`}, map[string]string{`9007199254740993`: "must be at most"}},
		{`{"multipleOf":0.0001}`, []string{`0.0075`, `3`, `"x"`}, map[string]string{`0.00751`: "must be a multiple of 0.0001"}},
		{`{"multipleOf":3}`, []string{`9007199254740990`, `0`}, map[string]string{`9007199254740991`: "multiple of 3"}},
		{`{"multipleOf":0.5}`, []string{`1e300`}, map[string]string{`0.25`: "multiple of 0.5"}},
		{`{"multipleOf":1e-300}`, nil, map[string]string{`1e300`: "multiple of"}},
		{`{"maxLength":2,"minLength":1}`, []string{`"éé"`, `1`}, map[string]string{`"abc"`: "must have at most 2 characters", `""`: "must have at least 1 characters"}},
		{`{"pattern":"^\\d+\\u0041\\/$"}`, []string{`"1A/"`, `5`}, map[string]string{`"A/"`: "must match"}},
		{`{"pattern":"\\cA"}`, []string{`"\u0001"`}, map[string]string{`"cA"`: "must match"}},
		{`{"format":"date-time"}`, []string{`"2026-01-01T00:00:00.5+01:00"`, `"1998-12-31t23:59:60z"`, `5`}, map[string]string{
			`"2026-02-30T00:00:00Z"`: "must be of the format date-time", `"2026-01-01T22:59:60Z"`: "date-time", `"2026-01-01 00:00:00Z"`: "date-time", `"2026-01-01T00:00:00"`: "date-time"}},
		{`{"format":"date"}`, []string{`"2024-02-29"`}, map[string]string{`"2023-02-29"`: "date", `"2024-2-29"`: "date"}},
		{`{"format":"time"}`, []string{`"00:59:60+01:00"`}, map[string]string{`"24:00:00Z"`: "time", `"00:60:00Z"`: "time", `"00:00:00+24:00"`: "time"}},
		{`{"format":"email"}`, []string{`"a.b+c@example.com"`, `"a@[127.0.0.1]"`, `"\"a b\"@x"`}, map[string]string{`"a@b@c"`: "email", `"@x"`: "email", `"a..b@x"`: "email"}},
		{`{"format":"hostname"}`, []string{`"a-b.example"`}, map[string]string{`"-a"`: "hostname", `"a_b"`: "hostname", `""`: "hostname"}},
		{`{"format":"ipv4"}`, []string{`"127.0.0.1"`}, map[string]string{`"127.0.0.01"`: "ipv4", `"::1"`: "ipv4"}},
		{`{"format":"ipv6"}`, []string{`"::1"`, `"::ffff:1.2.3.4"`}, map[string]string{`"fe80::1%eth0"`: "ipv6", `"1.2.3.4"`: "ipv6"}},
		{`{"format":"uri"}`, []string{`"http://a/b?c=%20#d"`, `"urn:x"`}, map[string]string{`"/a"`: "uri", `"http://a b"`: "uri"}},
		{`{"format":"json-pointer"}`, []string{`""`, `"/a~0~1/b"`}, map[string]string{`"a"`: "json-pointer", `"/~2"`: "json-pointer"}},
		{`{"format":"regex"}`, []string{`"^a+$"`}, map[string]string{`"("`: "regex"}},
		{`{"format":"nobody knows"}`, []string{`"x"`}, nil},
		{`{"maxItems":2,"minItems":1,"uniqueItems":true}`, []string{`[1,"1"]`, `{}`}, map[string]string{
			`[1,2,3]`: "must have at most 2 items", `[]`: "must have at least 1 items", `[{"a":1,"b":2},{"b":2.0,"a":1}]`: "/1: must not repeat an earlier item"}},
		{`{"uniqueItems":false}`, []string{`[1,1]`}, nil},
		{`{"items":{"type":"string"}}`, []string{`[]`, `["a"]`, `5`}, map[string]string{`["a",1]`: "/1: must be string"}},
		{`{"items":[{"type":"string"}],"additionalItems":{"type":"null"}}`, []string{`["a",null]`, `[]`}, map[string]string{`[1]`: "/0: must be string", `["a",null,1]`: "/2: must be null"}},
		{`{"items":[true],"additionalItems":false}`, []string{`[1]`}, map[string]string{`[1,2]`: "/1: must not be there"}},
		{`{"additionalItems":false}`, []string{`[1]`}, nil},
		{`{"items":{},"additionalItems":false}`, []string{`[1]`}, nil},
		{`{"contains":{"minimum":5}}`, []string{`[1,5]`, `1`}, map[string]string{`[1]`: "must have an item that is valid by contains", `[]`: "contains"}},
		{`{"maxProperties":1,"minProperties":1}`, []string{`{"a":1}`}, map[string]string{`{}`: "must have at least 1 members", `{"a":1,"b":2}`: "must have at most 1 members"}},
		{`{"required":["a","b"]}`, []string{`{"a":1,"b":null}`, `[]`}, map[string]string{`{"a":1}`: `must have the member "b"`}},
		{`{"properties":{"a/b":{"properties":{"~":{"type":"null"}}}}}`, []string{`{"x":1}`}, map[string]string{`{"a/b":{"~":1}}`: "/a~1b/~0: must be null"}},
		{`{"properties":{"a":true},"patternProperties":{"^x":{"type":"null"}},"additionalProperties":{"type":"string"}}`, []string{`{"a":1,"x1":null,"b":"s"}`},
			map[string]string{`{"x1":"s"}`: "/x1: must be null", `{"b":1}`: "/b: must be string"}},
		{`{"properties":{"a":false},"additionalProperties":false}`, []string{`{}`}, map[string]string{`{"a":1}`: "/a: must not be there", `{"b":1}`: "/b: must not be there"}},
		{`{"propertyNames":{"maxLength":1}}`, []string{`{"a":1}`}, map[string]string{`{"ab":1}`: "/ab: the name of the member must have at most 1 characters"}},
		{`{"dependencies":{"a":["b"],"c":{"required":["d"]}}}`, []string{`{}`, `{"a":1,"b":1}`, `{"c":1,"d":1}`, `"a"`},
			map[string]string{`{"a":1}`: `must have the member "b", since there is "a"`, `{"c":1}`: `must have the member "d"`}},
		{`{"allOf":[{"minimum":1},{"maximum":2}]}`, []string{`1`, `2`}, map[string]string{`0`: "must be at least 1", `3`: "must be at most 2"}},
		{`{"anyOf":[{"type":"null"},{"minimum":2}]}`, []string{`null`, `2`}, map[string]string{`1`: "must be null, is integer (and is not valid by any other of anyOf)"}},
		{`{"oneOf":[{"minimum":2},{"maximum":3}]}`, []string{`1`, `4`}, map[string]string{`2`: "must be valid by one of oneOf, is by 2"}},
		{`{"not":{"type":"null"}}`, []string{`1`}, map[string]string{`null`: "must not be valid by not"}},
		{`{"if":{"minimum":10},"then":{"multipleOf":10},"else":{"maximum":5}}`, []string{`20`, `5`}, map[string]string{`11`: "multiple of 10", `6`: "at most 5"}},
		{`{"if":{"minimum":10},"else":false}`, []string{`10`}, map[string]string{`9`: "must not be there"}},
		{`{"then":false,"else":false}`, []string{`1`}, nil},
		{`{"definitions":{"a b":{"$id":"#n","type":"null"}},"items":[{"$ref":"#/definitions/a%20b"},{"$ref":"#n","type":"string"}]}`, []string{`[null,null]`},
			map[string]string{`[1]`: "/0: must be null", `[null,"s"]`: "/1: must be null"}},
		{`{"$id":"http://x/s","properties":{"next":{"$ref":"http://x/s#"}},"required":["v"]}`, []string{`{"v":1,"next":{"v":2}}`},
			map[string]string{`{"v":1,"next":{"v":2,"next":{}}}`: `/next/next: must have the member "v"`}},
		{`{"$schema":"http://json-schema.org/draft-07/schema","title":"t","readOnly":5,"whatever":{"type":"none"}}`, []string{`1`}, nil},
	} {
		schema, err := jsonschema.Compile([]byte(tt.schema))
		if err != nil {
			t.Errorf("%s: %v", tt.schema, err)
			continue
		}
		validate := func(text string) error {
			v, err := smalljson.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			return schema.Validate(v)
		}
		for _, text := range tt.valid {
			if err := validate(text); err != nil {
				t.Errorf("%s refuses %s: %v", tt.schema, text, err)
			}
		}
		for text, want := range tt.invalid {
			if err := validate(text); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s says of %s: %v, want %s", tt.schema, text, err, want)
			}
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:                               "json: offset 0",
		`1`:                              "schema: #: a schema is an object or a boolean",
		`{"type":5}`:                     "schema: #/type: want a type or a list of types",
		`{"type":["string","x"]}`:        `schema: #/type: unknown type "x"`,
		`{"enum":1}`:                     "schema: #/enum: want a list of values",
		`{"maximum":"1"}`:                "schema: #/maximum: want a number",
		`{"exclusiveMaximum":true}`:      "schema: #/exclusiveMaximum: want a number",
		`{"multipleOf":0}`:               "schema: #/multipleOf: want a number above 0",
		`{"maxLength":-1}`:               "schema: #/maxLength: want a size",
		`{"maxLength":1.5}`:              "schema: #/maxLength: want a size",
		`{"pattern":"(?=a)"}`:            "schema: #/pattern: can't use the pattern: invalid or unsupported Perl syntax",
		`{"format":5}`:                   "schema: #/format: want a format",
		`{"uniqueItems":1}`:              "schema: #/uniqueItems: want true or false",
		`{"items":5}`:                    "schema: #/items: a schema is an object or a boolean",
		`{"items":[{},null]}`:            "schema: #/items/1: a schema is",
		`{"required":"a"}`:               "schema: #/required: want a list of names",
		`{"required":[1]}`:               "schema: #/required: want a list of names",
		`{"properties":[]}`:              "schema: #/properties: want an object of schemas",
		`{"properties":{"a/b":1}}`:       "schema: #/properties/a~1b: a schema is",
		`{"patternProperties":{"[":{}}}`: "schema: #/patternProperties/[: can't use the pattern",
		`{"dependencies":{"a":[1]}}`:     "schema: #/dependencies/a: want a list of names",
		`{"allOf":[]}`:                   "schema: #/allOf: want at least one schema",
		`{"anyOf":{}}`:                   "schema: #/anyOf: want a list of schemas",
		`{"$ref":5}`:                     "schema: #/$ref: want a reference into this schema",
		`{"$ref":"other.json"}`:          "schema: #/$ref: want a reference into this schema",
		`{"$ref":"#/definitions/none"}`:  `schema: #/$ref: there is no "#/definitions/none" in this schema`,
		`{"$ref":"#none"}`:               `there is no "#none"`,
		`{"$ref":"#"}`:                   "schema: #: this schema leads back to itself without end",
		`{"anyOf":[{"type":"null"},{"not":{"$ref":"#"}}]}`:                                                                   "leads back to itself",
		`{"definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}},"items":{"$ref":"#/definitions/a"}}`: "schema: #/definitions/a: this schema leads back",
		`{"$schema":"http://json-schema.org/draft-04/schema#"}`:                                                              "schema: #/$schema: want http://json-schema.org/draft-07/schema#",
	} {
		if _, err := jsonschema.Compile([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzCompile: whatever schema there is, judging comes to an end.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"properties":{"a":{"$ref":"#"}},"patternProperties":{"^x":{"oneOf":[{},{"minimum":1}]}}}`), []byte(`{"a":{"x":1}}`))
	f.Fuzz(func(t *testing.T, schema, value []byte) {
		s, err := jsonschema.Compile(schema)
		if err != nil {
			return
		}
		if v, err := smalljson.Parse(value); err == nil {
			_ = s.Validate(v)
		}
	})
}
