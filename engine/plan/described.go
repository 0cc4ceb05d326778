// SPDX-License-Identifier: Apache-2.0

package plan

// Description is what people are told about an option.
type Description struct{ Name, Default, Text string }

// Described lists the options that Set takes, for people. Names have <name> where an
// operation's name stands, with "/" written ".".
func Described() []Description {
	return []Description{
		{"lateness", "5s", "how far the frontier stays behind, so how late messages may be"},
		{"late-policy", "admit", "messages that are later: admit moves them to the frontier, drop drops them"},
		{"max-delay", "24h", "the longest that a delay may hold a message"},
		{"max-stall", "off", "how long a silent source may hold up time"},
		{"drift-policy", "stamp", "messages stamped over a minute ahead: stamp them here, or drop them"},
		{"dead-letter", "none", "ENDPOINT/TOPIC where messages go that are dropped"},
		{"deadline", "1s", "of a call of an operator"},
		{"memory", "256Mi", "of an instance of an operator"},
		{"durability", "disk", "where open windows are kept: disk, or none for memory only"},
		{"on-swap", "carry", "what a changed graph does with open windows: carry them over, or fire to let them out before"},
		{"follow-interval", "60s", "how often it is looked whether a tag was moved"},
		{"operation.<name>.deadline", "", "the same for one operation"},
		{"operation.<name>.memory", "", "the same for one operation"},
		{"operation.<name>.parallelism", "1", "how many instances of a map, filter or branch work side by side"},
		{"operation.<name>.allow", "", "dir:PATH[=NAME], dir-write:PATH[=NAME], env:NAME[=VALUE]: what it may use of the machine"},
	}
}
