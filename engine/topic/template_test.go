// SPDX-License-Identifier: Apache-2.0

package topic_test

import (
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/engine/topic"
)

func TestTemplate(t *testing.T) {
	for _, tt := range []struct {
		template, own, want, filter string
	}{
		{"plant/processed", "a/b", "plant/processed", "plant/processed"},
		{"${inputTopic}", "/a/b", "/a/b", "#"},
		{"processed/${inputTopic}", "/a/b/", "processed/a/b", "processed/#"},
		{"processed/factory/${inputTopic.2}", "factory/7/data", "processed/factory/7", "processed/factory/+"},
		{"processed/device/${inputTopic.2}/temperature", "devices/d1/temperature", "processed/device/d1/temperature", "processed/device/+/temperature"},
		{"${inputTopic.2}-${inputTopic.1}/x", "a/b", "b-a/x", "+/x"},
		{"x-${inputTopic}/y", "a/b", "x-a/b/y", "#"},
		{"${inputTopic.3}", "a/b", "", "+"},
		{"${outputTopic.1}/${inputTopic.2}/${outputTopic}", "a/b", "a/b/a/b", "+/+/#"},
		{"${other}/${inputTopic.1", "a", "${other}/${inputTopic.1", "${other}/${inputTopic.1"},
		{"${inputTopics}", "a", "${inputTopics}", "${inputTopics}"},
		{"${inputTopic.x}", "a", "${inputTopic.x}", "${inputTopic.x}"},
	} {
		p, err := topic.Parse(tt.template)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		got, err := p.Expand(tt.own)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s of %s: got %q and %v, want %q", tt.template, tt.own, got, err, tt.want)
		}
		if got := p.Filter(); got != tt.filter {
			t.Errorf("filter of %s: got %s, want %s", tt.template, got, tt.filter)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "a/+": "wildcard", "#": "wildcard", "${inputTopic.0}": "counted from 1", "a\x00": "null character",
	} {
		if _, err := topic.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if got, err := topic.Own().Expand("a"); got != "a" || err != nil {
		t.Errorf("own topic: %q, %v", got, err)
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/+", "a/c", true}, {"+/b", "a/+", true}, {"a/#", "a", true},
		{"#", "x/y", true}, {"a/b", "a/b/c", false}, {"a/+/c", "a/b", false}, {"a/+", "b/#", false}, {"+", "#", true},
	} {
		if got, back := topic.Overlap(tt.a, tt.b), topic.Overlap(tt.b, tt.a); got != tt.want || back != tt.want {
			t.Errorf("%s and %s: got %v and %v, want %v", tt.a, tt.b, got, back, tt.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("a/${inputTopic.2}/b", "x/y/z")
	f.Add("${inputTopic}", "/")
	f.Fuzz(func(t *testing.T, text, own string) {
		p, err := topic.Parse(text)
		if err != nil {
			return
		}
		if out, err := p.Expand(own); err == nil && !topic.Overlap(p.Filter(), out) {
			t.Errorf("%q of %q is %q, which %q doesn't select", text, own, out, p.Filter())
		}
	})
}
