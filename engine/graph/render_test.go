// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/graphs"
)

var updateDrawings = flag.Bool("update-drawings", false, "write down what is drawn")

// drawn returns the definitions to be drawn, by the name of their files.
func drawn(t *testing.T) map[string]*graph.Definition {
	t.Helper()
	text, err := os.ReadFile("testdata/drawing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, problems := graph.Parse("drawing.yaml", text)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return map[string]*graph.Definition{"drawing": d}
}

// TestDrawings compares drawings with those in testdata; -update-drawings makes them.
func TestDrawings(t *testing.T) {
	for name, d := range drawn(t) {
		for extension, text := range map[string]string{"dot": d.DOT(), "mmd": d.Mermaid(), "svg": d.SVG()} {
			file := "testdata/" + name + "." + extension
			if *updateDrawings {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		}
	}
}

// TestSVG: drawings are well-formed, every operation is in them, and nothing lies on
// anything else.
func TestSVG(t *testing.T) {
	entries, err := graphs.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	definitions := drawn(t)
	for _, e := range entries {
		text, err := graphs.Files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		definitions[e.Name()], _ = graph.Parse(e.Name(), text)
	}
	for name, d := range definitions {
		type rect struct{ x, y, width, height float64 }
		var boxes []rect
		var texts strings.Builder
		in := xml.NewDecoder(strings.NewReader(d.SVG()))
		for {
			token, err := in.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch token := token.(type) {
			case xml.CharData:
				texts.Write(append(token, '\n'))
			case xml.StartElement:
				if token.Name.Local != "rect" || len(token.Attr) < 7 {
					continue // the background
				}
				r := rect{}
				for i, field := range []*float64{&r.x, &r.y, &r.width, &r.height} {
					if *field, err = strconv.ParseFloat(token.Attr[i].Value, 64); err != nil {
						t.Fatal(err)
					}
				}
				boxes = append(boxes, r)
			}
		}
		if len(boxes) != len(d.Operations) {
			t.Errorf("%s: %d boxes for %d operations", name, len(boxes), len(d.Operations))
		}
		for _, op := range d.Operations {
			if !strings.Contains(texts.String(), op.Name+"\n") {
				t.Errorf("%s: operation %q is not there", name, op.Name)
			}
		}
		for i, a := range boxes {
			for _, b := range boxes[i+1:] {
				if a.x < b.x+b.width && b.x < a.x+a.width && a.y < b.y+b.height && b.y < a.y+a.height {
					t.Errorf("%s: boxes %+v and %+v overlap", name, a, b)
				}
			}
		}
	}
}
