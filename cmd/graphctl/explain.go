// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/resource/schema"
	"github.com/wasm-graph/graphd/internal/nearest"
)

func newExplain() *cobra.Command {
	var format string
	var recursive bool
	cmd := &cobra.Command{
		Use:   "explain KIND[.FIELD...]",
		Short: "Show what a kind of resources, or a field of it, is for",
		Long: `Explain shows the documentation of a kind of resources or of one of its fields, with
type, default and bounds, and the fields below it. Kinds and fields are written in any
case, kinds also in the plural or short, as in endpoint for DataflowEndpoint; lists are
passed through. "annotations" are the options of graphd that resources have as annotations.

Kinds, and their short names:

` + kindList(),
		Example: "  graphctl explain dataflowendpoint.spec.mqttSettings.qos\n" +
			"  graphctl explain graph.spec.nodes --recursive\n" +
			"  graphctl explain annotations\n" +
			"  graphctl explain annotations.deadline",
		Args: exactly("KIND[.FIELD...]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return &usageError{fmt.Sprintf("invalid argument %q for --output; want text or json", format)}
			}
			e, err := explain(args[0])
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return e.print(cmd.OutOrStdout(), recursive)
		},
	}
	cmd.Flags().BoolVar(&recursive, "recursive", false, "name all fields below, and those below them")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT` of the result: text or json")
	return cmd
}

func kindList() string {
	var b strings.Builder
	for _, k := range schema.Kinds() {
		fmt.Fprintf(&b, "  %-18s %-9s %s\n", k.Name, k.Short, firstSentence(k.Root.Doc))
	}
	return strings.TrimRight(b.String(), "\n")
}

// firstSentence returns the beginning of a text.
func firstSentence(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(first, ".") + "."
}

// explanation is what graphctl explain shows.
type explanation struct {
	Kind     string        `json:"kind,omitempty"`
	Versions []string      `json:"versions,omitempty"`
	Path     string        `json:"path,omitempty"` // of the field; empty: the whole object
	Field    *schema.Field `json:"field"`
	// On are the kinds that have an annotation.
	On []string `json:"on,omitempty"`
}

// explain finds what a path names.
func explain(path string) (*explanation, error) {
	name, rest, _ := strings.Cut(path, ".")
	if strings.EqualFold(name, "annotations") || strings.EqualFold(name, "annotation") {
		return explainAnnotation(rest)
	}
	k := schema.Find(name)
	if k == nil {
		text := fmt.Sprintf("unknown kind %s", name)
		if near, ok := schema.Nearest(name); ok {
			return nil, fmt.Errorf("%s; did you mean %s?", text, near)
		}
		return nil, fmt.Errorf("%s; known are %s, and annotations", text, strings.Join(schema.KindNames(), ", "))
	}
	rest = strings.TrimPrefix(rest, schema.Group)
	e := &explanation{Kind: k.Name, Versions: k.Versions(), Field: k.Root}
	for rest = strings.Trim(rest, "."); rest != ""; {
		if e.Field.Name == "annotations" {
			return explainAnnotation(rest)
		}
		name, rest, _ = strings.Cut(rest, ".")
		parent := e.Field.Inner()
		i := slices.IndexFunc(parent.Names(), func(known string) bool { return strings.EqualFold(known, name) })
		if i < 0 {
			return nil, unknownField(name, strings.TrimSuffix(k.Name+"."+e.Path, "."), parent)
		}
		e.Field = parent.Field(parent.Names()[i])
		e.Path = strings.TrimPrefix(e.Path+"."+e.Field.Name, ".")
	}
	return e, nil
}

func unknownField(name, of string, parent *schema.Field) error {
	text := fmt.Sprintf("%s has no field %s", of, name)
	if near, ok := nearest.Word(name, parent.Names()); ok {
		return fmt.Errorf("%s; did you mean %s?", text, near)
	}
	if len(parent.Fields) == 0 {
		return fmt.Errorf("%s, nor any other: its type is %s", text, parent.TypeName())
	}
	return fmt.Errorf("%s; it has %s", text, strings.Join(parent.Names(), ", "))
}

// explainAnnotation finds an annotation, by its name with or without "graphd.io/"; all of
// them where there is none.
func explainAnnotation(name string) (*explanation, error) {
	all := &schema.Field{Name: "annotations", Type: schema.Map, Doc: "Options of graphd, for which the API has no field. Their values are text."}
	for _, a := range schema.Annotations() {
		all.Fields = append(all.Fields, a.Field)
	}
	if name == "" {
		return &explanation{Path: "metadata.annotations", Field: all}, nil
	}
	name = schema.AnnotationPrefix + strings.TrimPrefix(name, schema.AnnotationPrefix)
	for _, a := range schema.Annotations() {
		if found, ok := schema.FindAnnotation(name); a.Name == name || ok && found.Name == a.Name {
			return &explanation{Path: "metadata.annotations." + a.Name, Field: a.Field, On: a.Kinds}, nil
		}
	}
	return nil, unknownField(name, "metadata.annotations", all)
}

// width is how long a line of text is at most.
const width = 88

func (e *explanation) print(w io.Writer, recursive bool) error {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name+":", text)
		}
	}
	f := e.Field
	line("KIND", e.Kind)
	line("VERSION", strings.Join(e.Versions, ", "))
	line("KINDS", strings.Join(e.On, ", "))
	if e.Path != "" {
		line("FIELD", e.Path+" <"+f.TypeName()+">"+marks(f))
	}
	line("DEFAULT", f.Default)
	line("RANGE", bounds(f))
	line("FORM", f.Form)
	line("ALSO SPELT", strings.Join(f.Aliases, ", "))
	line("REFERS TO", f.Refers)
	b.WriteString("DESCRIPTION:\n")
	wrap(&b, f.Doc, "    ")
	if len(f.Enum) > 0 {
		b.WriteString("ENUM, in any case:\n")
		for _, v := range f.Enum {
			text := v.Name
			if v.Doc != "" {
				text += ": " + v.Doc
			}
			if v.NotYet {
				text += " (not supported yet)"
			}
			b.WriteString("    " + text + "\n")
		}
	}
	if below := f.Inner().Fields; len(below) > 0 {
		b.WriteString("FIELDS:\n")
		list(&b, below, "  ", recursive)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// list lists fields: each with its first words or, where all below are to be named, on a
// line with its type.
func list(b *strings.Builder, fields []*schema.Field, indent string, recursive bool) {
	for _, f := range fields {
		fmt.Fprintf(b, "%s%s <%s>%s\n", indent, f.Name, f.TypeName(), marks(f))
		if recursive {
			list(b, f.Inner().Fields, indent+"  ", true)
			continue
		}
		doc := firstSentence(f.Doc)
		if f.Default != "" {
			doc += " Default: " + f.Default + "."
		}
		wrap(b, doc, indent+"  ")
	}
}

func marks(f *schema.Field) string {
	text := ""
	switch {
	case f.Required && f.With != "":
		text += " -required with " + f.With + "-"
	case f.With != "":
		text += " -only with " + f.With + "-"
	case f.Required:
		text += " -required-"
	}
	if f.NotYet {
		text += " -not supported yet-"
	}
	return text
}

// bounds says what bounds a value.
func bounds(f *schema.Field) string {
	switch {
	case f.Type == schema.Integer:
		return fmt.Sprintf("%d to %d", f.Min, f.Max)
	case f.Type == schema.String && f.Min > 0:
		return fmt.Sprintf("%d to %d characters", f.Min, f.Max)
	case f.Type == schema.String && f.Max > 0:
		return fmt.Sprintf("at most %d characters", f.Max)
	case f.Type == schema.List && f.Max > 0:
		return fmt.Sprintf("%d to %d items", f.Min, f.Max)
	case f.Type == schema.List && f.Min > 0:
		return fmt.Sprintf("at least %d", f.Min)
	}
	return ""
}

// wrap writes a text in lines.
func wrap(b *strings.Builder, text, indent string) {
	length := 0
	for _, word := range strings.Fields(text) {
		switch {
		case length == 0:
			b.WriteString(indent)
			length = len(indent)
		case length+1+len(word) > width:
			b.WriteString("\n" + indent)
			length = len(indent)
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	b.WriteByte('\n')
}
