// SPDX-License-Identifier: Apache-2.0

package topic

import "strings"

// Unshared returns the filter of a shared subscription, $share/GROUP/FILTER or, as it may
// also be written, $shared/GROUP/FILTER; others as they are.
func Unshared(filter string) string {
	for _, prefix := range []string{"$share/", "$shared/"} {
		if rest, ok := strings.CutPrefix(filter, prefix); ok {
			_, filter, _ := strings.Cut(rest, "/")
			return filter
		}
	}
	return filter
}

// Matches reports whether a topic filter, shared or not, selects a topic: MQTT 5.0,
// section 4.7.
func Matches(filter, topic string) bool {
	filter = Unshared(filter)
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "#") || strings.HasPrefix(filter, "+")) {
		return false
	}
	for {
		want, filters, moreFilters := strings.Cut(filter, "/")
		if want == "#" {
			return true
		}
		got, topics, moreTopics := strings.Cut(topic, "/")
		switch {
		case want != "+" && want != got:
			return false
		case !moreTopics:
			return !moreFilters || filters == "#" // which is for what is above it, too
		case !moreFilters:
			return false
		}
		filter, topic = filters, topics
	}
}
