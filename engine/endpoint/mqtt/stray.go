// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/topic"
)

// A session is the broker's, and outlives what made it: under another configuration its client
// may have had other filters, which nobody here knows any more. What comes of them is a stray
// message. It is acknowledged and goes no further, and every filter that may have brought it is
// unsubscribed.

// selects returns what tells which topics a source has asked for; nil where that can't be
// told, since brokers have prefixes of their own, such as $queue/, that topics don't have.
func selects(filters []string) func(name string) bool {
	for _, f := range filters {
		if f = topic.Unshared(f); strings.HasPrefix(f, "$") && !strings.HasPrefix(f, "$SYS/") {
			return nil
		}
	}
	return func(name string) bool {
		for _, f := range filters {
			if topic.Matches(f, name) {
				return true
			}
		}
		return false
	}
}

// stray reports whether a message comes of a filter that is none of ours, and if so has that
// unsubscribed.
func (r *receiver) stray(name string) bool {
	s := r.source
	if s.selects == nil || s.selects(name) {
		return false
	}
	s.stats.stray.Add(1)
	if !r.disowning.Swap(true) { // others will come of it, where it stays
		r.disown(name)
	}
	return true
}

// Bounds of what is unsubscribed because of strays.
const (
	strayTopics = 100 // of one source
	strayLevels = 6   // of a topic; twice as many filters fit with each; twice that in a group
	strayPacket = 8   // filters in a packet, which is what the strictest brokers take
)

// disown unsubscribes whatever may have brought a message of a topic, once for each topic.
// Without success, which shows when another message comes, nothing is lost but the broker's
// pains.
func (s *Source) disown(ctx context.Context, l *link, r *receiver, name string) {
	defer r.disowning.Store(false)
	if s.disowned[name] || len(s.disowned) == strayTopics {
		return
	}
	s.disowned[name] = true
	s.config.Logger.Warn("mqtt: the session is subscribed to what is not asked for any more; unsubscribing",
		"broker", s.config.Address, "client", s.config.ClientID, "topic", name)
	filters := covering(name)
	if group := s.config.Group; group != "" {
		for _, f := range slices.Clone(filters) {
			filters = append(filters, "$share/"+group+"/"+f)
		}
	}
	filters = slices.DeleteFunc(filters, func(f string) bool { return slices.Contains(s.filters, f) })
	for some := range slices.Chunk(filters, strayPacket) {
		if err := s.unsubscribe(ctx, l, r, some); err != nil {
			return // the connection is lost
		}
	}
}

// covering returns the filters that select a topic; of one with many levels only those whose
// single wildcard is at the end.
func covering(name string) []string {
	levels := strings.Split(name, "/")
	all := []string{}
	before := []string{""}
	for i, level := range levels {
		var next []string
		for _, b := range before {
			all = append(all, b+"#")
			next = append(next, b+level)
			if len(levels) <= strayLevels {
				next = append(next, b+"+")
			}
		}
		if i == len(levels)-1 {
			all = append(all, next...)
		}
		for n := range next {
			next[n] += "/"
		}
		before = next
	}
	for _, b := range before {
		all = append(all, b+"#")
	}
	return all
}
