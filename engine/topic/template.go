// SPDX-License-Identifier: Apache-2.0

// Package topic is about the names of MQTT topics: where messages are published,
// written as a template over the topic that each has, and which of them a filter selects.
package topic

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Template says where a message is published. It is text in which
//
//	${inputTopic}      is the message's topic
//	${inputTopic.N}    is the Nth of the topic's levels, counted from 1; slashes before
//	                   the first and behind the last don't count
//
// and ${outputTopic} is the same, as one calls it where a graph has given the message its
// topic. Everything else is itself. A Template is immutable.
type Template struct {
	parts []part // nil: the message's topic
}

// part is text, or a reference where level isn't noLevel.
type part struct {
	text  string
	level int // 0: the whole topic
}

const noLevel = -1

// Own is the template that leaves every message the topic it has.
func Own() Template { return Template{} }

// How references begin.
const (
	input  = "${inputTopic"
	output = "${outputTopic"
)

// Parse reads a template. An error says what can't be published to.
func Parse(text string) (Template, error) {
	var t Template
	for rest := text; rest != ""; {
		open := input
		if i, j := strings.Index(rest, input), strings.Index(rest, output); j >= 0 && (i < 0 || j < i) {
			open = output
		}
		before, after, found := strings.Cut(rest, open)
		if before != "" {
			t.parts = append(t.parts, part{before, noLevel})
		}
		if !found {
			break
		}
		level, behind, ok := reference(after)
		if !ok {
			// Not a reference of ours, and so text.
			t.parts = append(t.parts, part{open, noLevel})
			rest = after
			continue
		}
		if level == 0 && strings.HasPrefix(after, ".") {
			return t, fmt.Errorf("levels are counted from 1, in %s.0}", open)
		}
		t.parts = append(t.parts, part{"", level})
		rest = behind
	}
	if len(t.parts) == 0 {
		return t, errors.New("it is empty")
	}
	for _, p := range t.parts {
		if strings.ContainsAny(p.text, "+#\x00") {
			return t, errors.New("nobody can publish to a wildcard or a null character")
		}
	}
	if len(t.parts) == 1 && t.parts[0].level == 0 {
		return Own(), nil
	}
	return t, nil
}

// reference reads what follows "${NAME": "}" or ".N}".
func reference(s string) (level int, rest string, ok bool) {
	if rest, ok := strings.CutPrefix(s, "}"); ok {
		return 0, rest, true
	}
	number, rest, closed := strings.Cut(s, "}")
	number, dotted := strings.CutPrefix(number, ".")
	n, err := strconv.ParseUint(number, 10, 16)
	return int(n), rest, closed && dotted && err == nil
}

// Expand returns where a message with that topic is published. An error says that the
// topic has too few levels.
func (t Template) Expand(own string) (string, error) {
	switch {
	case t.parts == nil:
		return own, nil
	case len(t.parts) == 1 && t.parts[0].level == noLevel:
		return t.parts[0].text, nil
	}
	var b strings.Builder
	var levels []string
	for _, p := range t.parts {
		switch {
		case p.level == noLevel:
			b.WriteString(p.text)
		case p.level == 0:
			b.WriteString(strings.Trim(own, "/"))
		default:
			if levels == nil {
				levels = strings.Split(strings.Trim(own, "/"), "/")
			}
			if p.level > len(levels) {
				return "", fmt.Errorf("topic %q has no level %d", own, p.level)
			}
			b.WriteString(levels[p.level-1])
		}
	}
	return b.String(), nil
}

// Filter returns a topic filter that selects every topic the template may expand to.
func (t Template) Filter() string {
	if t.parts == nil {
		return "#"
	}
	var b strings.Builder
	for _, p := range t.parts {
		switch p.level {
		case noLevel:
			b.WriteString(p.text)
		case 0:
			b.WriteString("#")
		default:
			b.WriteString("+")
		}
	}
	levels := strings.Split(b.String(), "/")
	for i, level := range levels {
		if strings.Contains(level, "#") {
			return strings.Join(append(levels[:i], "#"), "/")
		}
		if strings.Contains(level, "+") {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// Overlap reports whether there may be a topic that both filters select.
func Overlap(a, b string) bool {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	for i := 0; ; i++ {
		switch {
		case i < len(x) && x[i] == "#" || i < len(y) && y[i] == "#":
			return true
		case i == len(x) || i == len(y):
			return len(x) == len(y)
		case x[i] != y[i] && x[i] != "+" && y[i] != "+":
			return false
		}
	}
}
