// SPDX-License-Identifier: Apache-2.0

package resource_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/wasm-graph/graphd/engine/deploy"
	"github.com/wasm-graph/graphd/engine/resource"
	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// update has TestGolden write what it got into its files.
var update = flag.Bool("update", false, "rewrite the golden errors in testdata/errors")

// enough is how many kinds of broken resources there are at least.
const enough = 200

// most is how many problems of a case are kept.
const most = 8

// TestGolden reads broken resources and compares what is said about each. The files
// testdata/errors/*.txt begin with good resources, "base", from which each case differs
// by lines:
//
//   - TEXT   is taken out of the base, or, where "+" lines follow, replaced by them
//   - TEXT   written with "+" alone is put at the end
//     | TEXT   is a line of a text of its own, in the place of the base
//     " TEXT"  is a quoted piece of such a text, for what can't be shown
//
// and then has what must come of it: lines "! " are the problems, and a line "= " is what
// the JSON Schema says, which can't see everything. Both are written by
//
//	go test ./engine/resource -run TestGolden -update
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	schema := compileSchema(t)
	count, seen := 0, map[string]string{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var base string
		for i, f := range archive.Files {
			name := strings.TrimSuffix(filepath.Base(file), ".txt") + "/" + f.Name
			if f.Name == "base" {
				base = string(f.Data)
				if problems := problemsOf(base); len(problems) > 0 {
					t.Fatalf("%s:\n%s", name, strings.Join(problems, "\n"))
				}
				if got := schema(base); got != accepts {
					t.Errorf("%s: the schema %s", name, got)
				}
				continue
			}
			count++
			text, body, err := broken(base, string(f.Data))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if other := seen[text]; other != "" {
				t.Errorf("%s is the same as %s", name, other)
			}
			seen[text] = name
			got := body
			problems := problemsOf(text)
			for i, p := range problems {
				if i == most {
					got += fmt.Sprintf("! and %d more\n", len(problems)-most)
					break
				}
				got += "! " + visible(p) + "\n"
			}
			got += "= the schema " + schema(text) + "\n\n"
			if !slices.ContainsFunc(problems, func(p string) bool { return !strings.Contains(p, ": warning: ") }) {
				t.Errorf("%s: nothing is wrong:\n%s", name, strings.Join(problems, "\n"))
			}
			for _, p := range problems {
				if strings.HasPrefix(p, "f.yaml:0:") {
					t.Errorf("%s: no place: %s", name, p)
				}
			}
			if *update {
				archive.Files[i].Data = []byte(got)
			} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if count < enough {
		t.Errorf("%d kinds of broken resources, want %d", count, enough)
	}
}

// problemsOf returns what is wrong with a text, a line each.
func problemsOf(text string) []string {
	set, problems := resource.Parse("f.yaml", []byte(text))
	problems = append(problems, deploy.CheckOptions(set)...)
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	return lines
}

// visible writes a problem so that a file can show it.
func visible(problem string) string {
	quoted := strconv.QuoteToGraphic(problem)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// broken makes the text of a case, and returns the lines that it is made of.
func broken(base, data string) (text, body string, err error) {
	lines := strings.Split(strings.TrimRight(base, "\n"), "\n")
	var own strings.Builder
	at, whole := -1, true
	for _, line := range strings.Split(data, "\n") {
		if line == "" || strings.HasPrefix(line, "! ") || strings.HasPrefix(line, "= ") {
			continue
		}
		body += line + "\n"
		mark, rest, _ := strings.Cut(line, " ")
		if mark != "-" && mark != "+" && at < 0 {
			whole = false
		}
		switch {
		case mark == "-":
			i := slices.Index(lines, rest)
			if i < 0 {
				return "", "", fmt.Errorf("the base has no line %q", rest)
			}
			lines, at = slices.Delete(lines, i, i+1), i
		case mark == "+" && at >= 0:
			lines, at = slices.Insert(lines, at, rest), at+1
		case mark == "+":
			lines = append(lines, rest)
		case mark == "|":
			own.WriteString(rest + "\n")
		case strings.HasPrefix(line, `"`):
			piece, err := strconv.Unquote(line)
			if err != nil {
				return "", "", fmt.Errorf("%s: %w", line, err)
			}
			own.WriteString(piece)
		case mark == "*": // the next piece so many times
			n, piece, _ := strings.Cut(rest, " ")
			times, err := strconv.Atoi(n)
			if err != nil {
				return "", "", err
			}
			if piece, err = strconv.Unquote(piece); err != nil {
				return "", "", err
			}
			own.WriteString(strings.Repeat(piece, times))
		default:
			return "", "", fmt.Errorf("line %q", line)
		}
	}
	if !whole {
		return own.String(), body, nil
	}
	return strings.Join(lines, "\n") + "\n", body, nil
}

// What the schema says.
const (
	accepts = "accepts it"
	refuses = "refuses it"
	cannot  = "isn't asked"
)

// compileSchema returns what tells whether the JSON Schema of all kinds takes a text.
func compileSchema(t *testing.T) func(text string) string {
	t.Helper()
	text, err := schema.JSON(schema.Kinds()...)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:schema", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("mem:schema")
	if err != nil {
		t.Fatal(err)
	}
	return func(text string) string {
		d := yaml.NewDecoder(strings.NewReader(text))
		verdict := cannot
		for {
			var instance any
			err := d.Decode(&instance)
			if errors.Is(err, io.EOF) {
				return verdict
			}
			if err != nil {
				return cannot // an editor has said that it is no YAML
			}
			if instance == nil {
				continue
			}
			verdict = accepts
			if compiled.Validate(asJSON(instance)) != nil {
				return refuses
			}
		}
	}
}

// asJSON turns what was read from YAML into what JSON has.
func asJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = asJSON(value)
		}
	case map[any]any:
		m := map[string]any{}
		for key, value := range v {
			m[fmt.Sprint(key)] = asJSON(value)
		}
		return m
	case []any:
		for i, value := range v {
			v[i] = asJSON(value)
		}
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return v
}
