// SPDX-License-Identifier: Apache-2.0

package graphtest_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/cmd/internal/graphtest"
	"github.com/wasm-graph/graphd/engine/document"
)

func report(t *testing.T, format string) string {
	t.Helper()
	var b strings.Builder
	r := graphtest.NewReport(&b, format, 3)
	r.Add(graphtest.Result{File: "a.test.yaml", Name: "all #1 \\ is well", Status: graphtest.Passed, Updated: true, Elapsed: 1234567 * time.Nanosecond})
	r.Add(graphtest.Result{File: "b.test.yaml", Name: "<b>", Status: graphtest.Failed, Problems: []string{`e.json:1:2: payload is "1", want "2"`, "e.json:2:2: more"}, Log: "level=INFO\nlevel=WARN\x1b\n", Elapsed: time.Second})
	r.Add(graphtest.Result{File: "c.test.yaml", Name: "c.test.yaml", Status: graphtest.Errored, Problems: []string{"c.test.yaml:1:1: empty"}})
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	if r.Passed != 1 || r.Failed != 1 || r.Errored != 1 || r.Total() != 3 {
		t.Errorf("counts are %+v", r.Counts)
	}
	return b.String()
}

func TestReport(t *testing.T) {
	for format, want := range map[string]string{
		"text": `ok    all #1 \ is well (1.2ms, expected file written)
FAIL  <b> (1s)
      e.json:1:2: payload is "1", want "2"
      e.json:2:2: more
      log:
        level=INFO
        level=WARN` + "\x1b" + `
ERR   c.test.yaml (0s)
      c.test.yaml:1:1: empty
Results: 1 passed, 1 failed, 1 errored (3 total)
`,
		"tap": `TAP version 14
1..3
ok 1 - all \#1 \\ is well # time=1.2ms
not ok 2 - <b> # time=1s
  ---
  status: failed
  file: "b.test.yaml"
  problems:
    - "e.json:1:2: payload is \"1\", want \"2\""
    - "e.json:2:2: more"
  log:
    - "level=INFO"
    - "level=WARN\u001b"
  ...
not ok 3 - c.test.yaml # time=0s
  ---
  status: errored
  file: "c.test.yaml"
  problems:
    - "c.test.yaml:1:1: empty"
  ...
`,
		"junit": `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="graphctl test" tests="3" failures="1" errors="1" time="1.0012">
  <testcase name="all #1 \ is well" classname="a.test.yaml" time="0.0012"></testcase>
  <testcase name="&lt;b&gt;" classname="b.test.yaml" time="1.0000">
    <failure message="e.json:1:2: payload is &#34;1&#34;, want &#34;2&#34;">e.json:1:2: payload is &#34;1&#34;, want &#34;2&#34;&#xA;e.json:2:2: more</failure>
    <system-out>level=INFO&#xA;level=WARN` + "\ufffd" + `&#xA;</system-out>
  </testcase>
  <testcase name="c.test.yaml" classname="c.test.yaml" time="0.0000">
    <error message="c.test.yaml:1:1: empty">c.test.yaml:1:1: empty</error>
  </testcase>
</testsuite>
`,
		"json": `{
  "passed": 1,
  "failed": 1,
  "errored": 1,
  "tests": [
    {
      "file": "a.test.yaml",
      "name": "all #1 \\ is well",
      "status": "passed",
      "updated": true,
      "milliseconds": 1.234
    },
    {
      "file": "b.test.yaml",
      "name": "<b>",
      "status": "failed",
      "problems": [
        "e.json:1:2: payload is \"1\", want \"2\"",
        "e.json:2:2: more"
      ],
      "log": "level=INFO\nlevel=WARN\u001b\n",
      "milliseconds": 1000
    },
    {
      "file": "c.test.yaml",
      "name": "c.test.yaml",
      "status": "errored",
      "problems": [
        "c.test.yaml:1:1: empty"
      ],
      "milliseconds": 0
    }
  ]
}
`,
	} {
		got := report(t, format)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", format, diff)
		}
	}
	if err := xml.Unmarshal([]byte(report(t, "junit")), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("junit: %v", err)
	}
	if !json.Valid([]byte(report(t, "json"))) {
		t.Error("json is not valid")
	}
}

// failingWriter takes some bytes.
type failingWriter int

func (w *failingWriter) Write(p []byte) (int, error) {
	if *w -= failingWriter(len(p)); *w < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestReportCantBeWritten(t *testing.T) {
	for _, format := range graphtest.Formats() {
		w := failingWriter(20)
		r := graphtest.NewReport(&w, format, 1)
		r.Add(graphtest.Result{Name: "a test with a name", Status: graphtest.Passed})
		if err := r.End(); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%s: error is %v", format, err)
		}
	}
}

func TestLines(t *testing.T) {
	problems := document.Problems{
		{Severity: document.Error, File: "f", Position: document.Position{Line: 1, Column: 2}, Message: "a"},
		{Severity: document.Error, File: "f", Position: document.Position{Line: 3, Column: 4}, Message: "b"},
	}
	for want, err := range map[string]error{
		"f:1:2: a|f:3:4: b":    problems.Err(),
		"one":                  errors.New("one\n"),
		"one|two":              errors.Join(errors.New("one"), errors.New("two")),
		"x:|f:1:2: a|f:3:4: b": fmt.Errorf("x:\n%w", problems.Err()),
	} {
		if got := strings.Join(graphtest.Lines(err), "|"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
