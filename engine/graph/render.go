// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"strings"
)

// caption is what stands under an operation's name: its kind and, where it has one, its
// module.
func (op *Operation) caption() string {
	if op.Module == "" {
		return string(op.Kind)
	}
	return string(op.Kind) + " · " + op.Module
}

// DOT draws the graph in the language of Graphviz. Equal definitions make equal text.
func (d *Definition) DOT() string {
	quote := func(text string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
	}
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n", quote(d.Metadata.Name))
	for i := range d.Operations {
		op := &d.Operations[i]
		style := ""
		switch op.Kind {
		case Source, Sink:
			style = ", style=rounded"
		case Branch:
			style = ", shape=diamond"
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", quote(op.Name), quote(op.Name+"\n"+op.caption()), style)
	}
	for _, c := range d.Connections {
		label := ""
		if c.Arm != NoArm {
			label = fmt.Sprintf(" [label=%s]", quote(c.Arm.String()))
		}
		fmt.Fprintf(&b, "  %s -> %s%s;\n", quote(c.From), quote(c.To), label)
	}
	b.WriteString("}\n")
	return b.String()
}

// Mermaid draws the graph in the language of Mermaid, which many places render that show
// Markdown. Equal definitions make equal text.
func (d *Definition) Mermaid() string {
	escape := strings.NewReplacer("&", "#amp;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "#", "#35;", "\n", " ")
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	index := map[string]int{}
	for i := range d.Operations {
		op := &d.Operations[i]
		index[op.Name] = i
		left, right := "[", "]"
		switch op.Kind {
		case Source, Sink:
			left, right = "([", "])"
		case Branch:
			left, right = "{", "}"
		}
		fmt.Fprintf(&b, "  n%d%s\"%s<br/><small>%s</small>\"%s\n", i, left, escape.Replace(op.Name), escape.Replace(op.caption()), right)
	}
	for _, c := range d.Connections {
		arrow := "-->"
		if c.Arm != NoArm {
			arrow = "-- " + c.Arm.String() + " -->"
		}
		fmt.Fprintf(&b, "  n%d %s n%d\n", index[c.From], arrow, index[c.To])
	}
	return b.String()
}
