// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"regexp"
	"strings"
)

// The functions below make fields; their methods change what they make, and are used
// while the table is put together and never after.

func text(name, doc string) *Field { return &Field{Name: name, Type: String, Doc: doc} }

func integer(name string, low, high int, fallback, doc string) *Field {
	return &Field{Name: name, Type: Integer, Min: low, Max: high, Default: fallback, Doc: doc}
}

func boolean(name, fallback, doc string) *Field {
	return &Field{Name: name, Type: Boolean, Default: fallback, Doc: doc}
}

func object(name, doc string, fields ...*Field) *Field {
	return &Field{Name: name, Type: Object, Doc: doc, Fields: fields}
}

func list(name, doc string, item *Field) *Field {
	return &Field{Name: name, Type: List, Doc: doc, Item: item}
}

func texts(name, doc string) *Field { return &Field{Name: name, Type: Map, Doc: doc} }

func enum(name, fallback, doc string, values ...Value) *Field {
	return &Field{Name: name, Type: String, Default: fallback, Doc: doc, Enum: values}
}

// switched is an enumeration of Enabled and Disabled.
func switched(name, fallback, doc string) *Field {
	return enum(name, fallback, doc, Value{Name: "Enabled"}, Value{Name: "Disabled"})
}

func (f *Field) required(hint string) *Field { f.Required, f.Hint = true, hint; return f }
func (f *Field) hint(text string) *Field     { f.Hint = text; return f }
func (f *Field) longest(n int) *Field        { f.Max = n; return f }
func (f *Field) items(low, high int) *Field  { f.Min, f.Max = low, high; return f }
func (f *Field) notYet() *Field              { f.NotYet = true; return f }
func (f *Field) refers(kind string) *Field   { f.Refers = kind; return f }
func (f *Field) alias(names ...string) *Field {
	f.Aliases = append(f.Aliases, names...)
	return f
}

func (f *Field) matches(pattern, form string) *Field {
	f.Pattern, f.Form, f.expression = pattern, form, regexp.MustCompile(pattern)
	return f
}

// with says with which value of its selector the field has a meaning.
func (f *Field) with(value string) *Field { f.With = value; return f }

func (f *Field) selectedBy(name string) *Field { f.Selector = name; return f }

// kind makes a kind of the group. names are the shape of the names of its objects.
func kind(name, short, doc string, names *Field, spec *Field) *Kind {
	k := &Kind{Name: name, Plural: strings.ToLower(name) + "s", Short: short}
	k.Root = object("", doc,
		apiVersion(k), kindOf(k), metadata(k, names), spec,
		&Field{Name: "status", Type: Any, Doc: "What a cluster says of the object. It is not read here: graphd has its own, which /status shows."},
	)
	return k
}

func apiVersion(k *Kind) *Field {
	f := text("apiVersion", "The API that the object belongs to. v1 and v1beta1 have the same fields here.")
	return f.required("write apiVersion: " + k.Versions()[0])
}

func kindOf(k *Kind) *Field {
	return text("kind", "What the object is: "+k.Name+".").required("write kind: " + k.Name)
}

// metadata is that of an object of the kind.
func metadata(k *Kind, names *Field) *Field {
	annotations := texts("annotations", "Notes to an object. Those that begin with graphd.io/ are options of graphd, and checked; \"graphctl explain annotations\" lists them.")
	annotations.Fields = []*Field{} // of most kinds there are none
	for _, a := range Annotations() {
		for _, on := range a.Kinds {
			if on == k.Name {
				annotations.Fields = append(annotations.Fields, a.Field)
			}
		}
	}
	m := object("metadata", "What the object is called, and what is noted about it.",
		names,
		text("namespace", "Where the object is. Objects see only those of their own namespace.").
			matches(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, "a-z, 0-9 and '-' inside").longest(63),
		annotations,
		&Field{Name: "labels", Type: Any, Doc: "Labels. They are not read here."},
	).required("write metadata: with a name")
	m.Field("namespace").Default = "azure-iot-operations"
	for _, name := range []string{"generateName", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
		"deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields", "selfLink"} {
		m.Fields = append(m.Fields, &Field{Name: name, Type: Any, Doc: "Written by a cluster. It is not read here."})
	}
	return m
}

// ownName is the name of an object of the group.
func ownName(shortest, longest int) *Field {
	n := text("name", "The name that other objects know it by, among those of its kind in its namespace.").
		required("write name: under metadata").
		matches(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`, "a-z, 0-9 and '-', which neither begins nor ends it")
	n.Min, n.Max = shortest, longest
	return n
}

// coreName is the name of an object of Kubernetes itself.
func coreName() *Field {
	return text("name", "The name that other objects know it by, among those of its kind in its namespace.").
		required("write name: under metadata").
		matches(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`, "a-z, 0-9, '-' and '.', of which the last two neither begin nor end it").longest(253)
}

func dataflowProfile() *Kind {
	return kind("DataflowProfile", "profile",
		"How many instances of its graphs run, and how they report. Dataflows and DataflowGraphs name the profile that they belong to; the profile default exists undeclared.",
		ownName(1, 39),
		object("spec", "What is wanted.",
			integer("instanceCount", 1, 20, "1", "How many instances run of each Dataflow and DataflowGraph. Where there are several, they share the messages of a source, and the order among all messages is lost."),
			object("diagnostics", "How the instances report.",
				object("logs", "What is logged.",
					logLevel()),
				object("metrics", "What is measured.",
					integer("prometheusPort", 0, 65535, "9600", "Where a cluster serves the metrics. graphd serves them at its --addr.")),
				object("debuggingSettings", "Publishes samples of what passes through.").notYet(),
			),
			object("debuggingSettings", "Publishes samples of what passes through, to the topic diagnostics/<pipeline>.").notYet(),
			&Field{Name: "maxInstances", Type: Any, Doc: "Of old previews; ignored."},
			&Field{Name: "tolerations", Type: Any, Doc: "Of old previews; ignored."},
			&Field{Name: "logFormat", Type: Any, Doc: "Of old previews; ignored."},
			&Field{Name: "logLevel", Type: Any, Doc: "Of old previews; ignored."},
			&Field{Name: "traces", Type: Any, Doc: "Of old previews; ignored."},
		))
}

func logLevel() *Field {
	f := text("level", "The least severe messages that are logged: trace, debug, info, warn or error.")
	f.Default = "info"
	return f
}

func configMap() *Kind {
	k := &Kind{Name: "ConfigMap", Plural: "configmaps", Short: "cm", Core: true}
	k.Root = object("", "Public data for other objects: authorities to trust, keys that sign artifacts.",
		apiVersion(k), kindOf(k), metadata(k, coreName()),
		texts("data", "Texts by their keys."),
		texts("binaryData", "Bytes by their keys, in base64."),
		boolean("immutable", "false", "Tells a cluster to refuse changes. It is not read here."),
	)
	return k
}

func secret() *Kind {
	k := &Kind{Name: "Secret", Plural: "secrets", Core: true}
	k.Root = object("", "Data to be kept from others: passwords, private keys. What it holds is never logged or shown.",
		apiVersion(k), kindOf(k), metadata(k, coreName()),
		texts("data", "Bytes by their keys, in base64."),
		texts("stringData", "Texts by their keys, which are easier to write; they win over data of the same key."),
		text("type", "What is in it, as kubernetes.io/tls or kubernetes.io/dockerconfigjson. It is not checked here."),
		boolean("immutable", "false", "Tells a cluster to refuse changes. It is not read here."),
	)
	return k
}
