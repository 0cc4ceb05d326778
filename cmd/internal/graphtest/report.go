// SPDX-License-Identifier: Apache-2.0

package graphtest

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
)

// Status is how a test ended.
type Status string

// The ends of tests.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"  // something else came out
	Errored Status = "errored" // it could not be run
)

// Result is what became of a test.
type Result struct {
	File     string
	Name     string // its file where it could not be read
	Status   Status
	Problems []string // lines that say why it didn't pass
	Log      string   // what was logged meanwhile
	Updated  bool     // the expected file was written
	Elapsed  time.Duration
}

// Lines returns the lines of an error's text, as lists of errors have one for each.
func Lines(err error) []string {
	return strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
}

// Texts returns problems as lines.
func Texts(problems document.Problems) []string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	return lines
}

// Counts is how many tests there were.
type Counts struct{ Passed, Failed, Errored int }

// Total is all of them.
func (c Counts) Total() int { return c.Passed + c.Failed + c.Errored }

func (c *Counts) add(s Status) {
	switch s {
	case Passed:
		c.Passed++
	case Failed:
		c.Failed++
	default:
		c.Errored++
	}
}

func (c Counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d errored (%d total)", c.Passed, c.Failed, c.Errored, c.Total())
}

// Formats lists the formats of reports.
func Formats() []string { return []string{"text", "tap", "junit", "json"} }

// Report writes results in one of the Formats. Used by one goroutine.
type Report struct {
	Counts
	w       io.Writer
	format  string
	results []Result
	err     error
}

// NewReport begins a report of total tests on w.
func NewReport(w io.Writer, format string, total int) *Report {
	r := &Report{w: w, format: format}
	if format == "tap" {
		r.printf("TAP version 14\n1..%d\n", total)
	}
	return r
}

func (r *Report) printf(format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, format, args...)
	}
}

// Add reports a result.
func (r *Report) Add(result Result) {
	r.Counts.add(result.Status)
	switch r.format {
	case "text":
		r.text(result)
	case "tap":
		r.tap(result)
	default:
		r.results = append(r.results, result)
	}
}

// End ends the report and returns the first error of writing it.
func (r *Report) End() error {
	switch r.format {
	case "text":
		r.printf("Results: %s\n", r.Counts)
	case "junit":
		r.junit()
	case "json":
		r.json()
	}
	return r.err
}

func (r *Report) text(result Result) {
	mark := map[Status]string{Passed: "ok  ", Failed: "FAIL", Errored: "ERR "}[result.Status]
	note := ""
	if result.Updated {
		note = ", expected file written"
	}
	r.printf("%s  %s (%s%s)\n", mark, result.Name, rounded(result.Elapsed), note)
	for _, p := range result.Problems {
		r.printf("      %s\n", p)
	}
	if result.Log != "" {
		r.printf("      log:\n")
		for line := range strings.Lines(result.Log) {
			r.printf("        %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// tap writes a test line and, for a test that didn't pass, a YAML block.
func (r *Report) tap(result Result) {
	if result.Status != Passed {
		r.printf("not ")
	}
	name := strings.NewReplacer("\\", "\\\\", "#", "\\#", "\n", " ").Replace(result.Name)
	r.printf("ok %d - %s # time=%s\n", r.Total(), name, rounded(result.Elapsed))
	if result.Status == Passed {
		return
	}
	r.printf("  ---\n  status: %s\n  file: %s\n", result.Status, quoted(result.File))
	r.block("problems", result.Problems)
	if result.Log != "" {
		r.block("log", strings.Split(strings.TrimRight(result.Log, "\n"), "\n"))
	}
	r.printf("  ...\n")
}

func (r *Report) block(name string, lines []string) {
	r.printf("  %s:\n", name)
	for _, line := range lines {
		r.printf("    - %s\n", quoted(line))
	}
}

// quoted is s as JSON, which is YAML, too.
func quoted(s string) string { return string(appendText(nil, s)) }

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// The elements of JUnit's XML.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
		Log     string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (r *Report) junit() {
	suite := junitSuite{Name: "graphctl test", Tests: r.Total(), Failures: r.Failed, Errors: r.Errored}
	var elapsed time.Duration
	for _, result := range r.results {
		elapsed += result.Elapsed
		c := junitCase{Name: printable(result.Name), Class: printable(result.File), Time: seconds(result.Elapsed), Log: printable(result.Log)}
		if result.Status != Passed {
			p := &junitProblem{Text: printable(strings.Join(result.Problems, "\n"))}
			p.Message, _, _ = strings.Cut(p.Text, "\n")
			if result.Status == Failed {
				c.Failure = p
			} else {
				c.Error = p
			}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = seconds(elapsed)
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		r.err = errors.Join(r.err, err)
		return
	}
	r.printf("%s%s\n", xml.Header, text)
}

// printable is s without what XML can't hold.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0xfffe || c == 0xffff {
			return '\ufffd'
		}
		return c
	}, s)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 4, 64) }

func (r *Report) json() {
	type item struct {
		File     string   `json:"file"`
		Name     string   `json:"name"`
		Status   Status   `json:"status"`
		Problems []string `json:"problems,omitempty"`
		Log      string   `json:"log,omitempty"`
		Updated  bool     `json:"updated,omitempty"`
		Millis   float64  `json:"milliseconds"`
	}
	report := struct {
		Passed  int    `json:"passed"`
		Failed  int    `json:"failed"`
		Errored int    `json:"errored"`
		Tests   []item `json:"tests"`
	}{r.Passed, r.Failed, r.Errored, []item{}}
	for _, result := range r.results {
		report.Tests = append(report.Tests, item{
			result.File, result.Name, result.Status, result.Problems, result.Log, result.Updated, float64(result.Elapsed.Microseconds()) / 1000,
		})
	}
	e := json.NewEncoder(r.w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if r.err == nil {
		r.err = e.Encode(report)
	}
}
