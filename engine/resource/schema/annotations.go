// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"strings"
	"sync"
)

// AnnotationPrefix begins the names of the annotations that are options of graphd.
const AnnotationPrefix = "graphd.io/"

// Annotation is an option of graphd, which an object has as an annotation, because the
// API has no field for it. The values of all are text; Field.Form says of which form.
type Annotation struct {
	*Field
	Kinds []string `json:"kinds"` // the kinds that may have it
}

// Annotations returns all annotations. Where a name has <name> in it, that stands for
// the name of an operation, with its "/" written ".".
func Annotations() []Annotation { return annotations() }

// operation begins the names of the options of single operations.
const operation = AnnotationPrefix + "operation."

// FindAnnotation returns the annotation that an object's one of that name is; false
// where there is none.
func FindAnnotation(name string) (Annotation, bool) {
	if rest, ok := strings.CutPrefix(name, operation); ok {
		dot := strings.LastIndexByte(rest, '.')
		if dot <= 0 {
			return Annotation{}, false
		}
		name = operation + "<name>" + rest[dot:]
	}
	all := Annotations()
	if i := slices.IndexFunc(all, func(a Annotation) bool { return a.Name == name }); i >= 0 {
		return all[i], true
	}
	return Annotation{}, false
}

// AnnotationNames returns the names of the annotations that objects of a kind may have.
func AnnotationNames(kind string) []string {
	var names []string
	for _, a := range Annotations() {
		if slices.Contains(a.Kinds, kind) {
			names = append(names, a.Name)
		}
	}
	return names
}

// The forms of values of annotations.
const (
	duration = "a duration such as 500ms, 5s or 24h"
	quantity = "a number of bytes such as 65536, 64Ki, 256Mi or 1Gi"
)

var annotations = sync.OnceValue(func() []Annotation {
	graphs := []string{"DataflowGraph", "Dataflow"}
	option := func(name, form, fallback, doc string, values ...Value) Annotation {
		f := enum(AnnotationPrefix+name, fallback, doc, values...)
		f.Form = form
		return Annotation{f, graphs}
	}
	return []Annotation{
		option("lateness", duration, "5s", "How late a message may come and still count for the time it was stamped with. Windows fire that much later."),
		option("late-policy", "", "admit", "What becomes of a message that comes later than that.",
			Value{Name: "admit", Doc: "it counts for the earliest time that is still open"}, Value{Name: "drop", Doc: "it goes to the dead letters"}),
		option("max-delay", duration, "24h", "The longest that a delay operation may hold a message."),
		option("max-stall", duration+", or off", "off", "How long a source that is silent may hold up time for the others."),
		option("drift-policy", "", "stamp", "What becomes of a message whose stamp is too far in the future.",
			Value{Name: "stamp", Doc: "it is stamped anew"}, Value{Name: "drop", Doc: "it goes to the dead letters"}),
		option("dead-letter", "<endpoint>/<topic>", "", "Where messages go that an operator refused or that came too late, with the reason in their user properties."),
		option("deadline", duration, "1s", "How long one call of an operator may take."),
		option("memory", quantity, "256Mi", "How much memory one instance of an operator may have."),
		option("durability", "", "disk", "Where open windows and delayed messages are kept.",
			Value{Name: "disk", Doc: "in the data folder: they outlive the process"}, Value{Name: "none", Doc: "in memory, and what they hold is not acknowledged"}),
		option("on-swap", "", "carry", "What becomes of open windows when a changed graph takes the place of the one that runs.",
			Value{Name: "carry", Doc: "the new one goes on with them"}, Value{Name: "fire", Doc: "they come out before"}),
		option("follow-interval", duration+", at least 1s", "60s", "How often to look whether the tag of an artifact was moved."),
		option("operation.<name>.deadline", duration, "", "The deadline of one operation's calls."),
		option("operation.<name>.memory", quantity, "", "The memory of one operation's instances."),
		option("operation.<name>.parallelism", "a number from 1 to 64", "1", "How many instances of a map, filter or branch work at once. The order of messages stays."),
		option("operation.<name>.allow", "dir:PATH, dir-write:PATH, env:NAME or env:NAME=VALUE, with commas between them", "",
			"What of the machine an operation may use: directories, to read or to write, which =NAME behind them gives another name, and variables of the environment."),
		{Field: &Field{Name: AnnotationPrefix + "credentials", Type: String, Refers: "Secret",
			Doc: "Names the Secret with the user name and the password (keys username and password) that an MQTT broker is shown. The method is then Anonymous."},
			Kinds: []string{"DataflowEndpoint"}},
	}
})
