// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Measures of a drawing, in pixels.
const (
	charWidth   = 7.5 // of a letter, on average
	boxPadding  = 14
	boxHeight   = 46
	lineHeight  = 18 // of a connection that passes a column
	columnGap   = 70
	rowGap      = 16
	margin      = 16
	nameSize    = 13
	captionSize = 11
)

// SVG draws the graph as an image: columns from the sources on the left to the sinks on
// the right, each operation behind all that feed it. Equal definitions make equal text.
func (d *Definition) SVG() string {
	l := newLayout(d)
	l.order()
	l.place()
	return l.draw(d)
}

// box is a place in a column: an operation, or a connection that passes.
type box struct {
	operation *Operation // nil: a connection passes
	column    int
	before    []*box // what leads here, from the column before
	x, y      float64
	width     float64
	height    float64
}

// wire is a connection, through the boxes of all columns that it passes.
type wire struct {
	boxes []*box
	arm   Arm
}

// layout is a drawing in the making.
type layout struct {
	columns       [][]*box
	wires         []wire
	width, height float64
}

func newLayout(d *Definition) *layout {
	l := &layout{}
	boxes := map[string]*box{}
	for i := range d.Operations {
		op := &d.Operations[i]
		width := max(charWidth*float64(utf8.RuneCountInString(op.Name)), 0.85*charWidth*float64(utf8.RuneCountInString(op.caption())))
		boxes[op.Name] = &box{operation: op, width: width + 2*boxPadding, height: boxHeight}
	}
	// An operation stands behind all that feed it. There are no cycles, so that as many
	// passes as there are operations suffice.
	for range d.Operations {
		for _, c := range d.Connections {
			boxes[c.To].column = max(boxes[c.To].column, boxes[c.From].column+1)
		}
	}
	last := 0
	for _, b := range boxes {
		last = max(last, b.column)
	}
	l.columns = make([][]*box, last+1)
	for i := range d.Operations {
		b := boxes[d.Operations[i].Name]
		if b.operation.Kind == Sink {
			b.column = last
		}
		l.columns[b.column] = append(l.columns[b.column], b)
	}
	for _, c := range d.Connections {
		from, to := boxes[c.From], boxes[c.To]
		w := wire{boxes: []*box{from}, arm: c.Arm}
		for column := from.column + 1; column < to.column; column++ {
			pass := &box{column: column, height: lineHeight, before: w.boxes[len(w.boxes)-1:]}
			l.columns[column] = append(l.columns[column], pass)
			w.boxes = append(w.boxes, pass)
		}
		to.before = append(to.before, w.boxes[len(w.boxes)-1])
		w.boxes = append(w.boxes, to)
		l.wires = append(l.wires, w)
	}
	return l
}

// order puts the boxes of each column where what leads to them is, so that few
// connections cross.
func (l *layout) order() {
	place := map[*box]float64{}
	for _, column := range l.columns {
		for i, b := range column {
			place[b] = float64(i)
			if len(b.before) > 0 {
				sum := 0.0
				for _, from := range b.before {
					sum += place[from]
				}
				place[b] = sum / float64(len(b.before))
			}
		}
		slices.SortStableFunc(column, func(a, b *box) int { return cmp.Compare(place[a], place[b]) })
		for i, b := range column {
			place[b] = float64(i)
		}
	}
}

// place gives each box its coordinates; columns are centred.
func (l *layout) place() {
	heights := make([]float64, len(l.columns))
	for i, column := range l.columns {
		for _, b := range column {
			heights[i] += b.height + rowGap
		}
		heights[i] -= rowGap
		l.height = max(l.height, heights[i])
	}
	x := float64(margin)
	for i, column := range l.columns {
		width, y := 0.0, margin+(l.height-heights[i])/2
		for _, b := range column {
			width = max(width, b.width)
		}
		for _, b := range column {
			if b.operation == nil {
				b.width = width
			}
			b.x, b.y = x+(width-b.width)/2, y
			y += b.height + rowGap
		}
		x += width + columnGap
	}
	l.width, l.height = x-columnGap+margin, l.height+2*margin
}

func (l *layout) draw(d *Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="sans-serif">`+"\n", l.width, l.height, l.width, l.height)
	fmt.Fprintf(&b, "<title>%s</title>\n", escapeXML(d.Metadata.Name))
	b.WriteString(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	for _, w := range l.wires {
		w.draw(&b)
	}
	for _, column := range l.columns {
		for _, box := range column {
			if box.operation != nil {
				box.draw(&b)
			}
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (w wire) draw(b *strings.Builder) {
	var path strings.Builder
	for i, to := range w.boxes[1:] {
		from := w.boxes[i]
		x1, y1, x2, y2 := from.x+from.width, from.y+from.height/2, to.x, to.y+to.height/2
		if i == 0 {
			fmt.Fprintf(&path, "M%.1f %.1f", x1, y1)
		} else {
			fmt.Fprintf(&path, "L%.1f %.1f", x1, y1)
		}
		middle := (x1 + x2) / 2
		fmt.Fprintf(&path, "C%.1f %.1f %.1f %.1f %.1f %.1f", middle, y1, middle, y2, x2, y2)
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#555" marker-end="url(#arrow)"/>`+"\n", path.String())
	if w.arm != NoArm {
		from, to := w.boxes[0], w.boxes[1]
		x, y := (from.x+from.width+to.x)/2, (from.y+from.height/2+to.y+to.height/2)/2
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%d" text-anchor="middle" fill="#333">%s</text>`+"\n", x, y-3, captionSize, w.arm)
	}
}

func (x *box) draw(b *strings.Builder) {
	radius, fill := 3, "#eef3fb"
	switch x.operation.Kind {
	case Source, Sink:
		radius, fill = 20, "#e9f5ea"
	case Delay, Accumulate:
		fill = "#fdf3e1"
	}
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%d" fill="%s" stroke="#555"/>`+"\n", x.x, x.y, x.width, x.height, radius, fill)
	middle := x.x + x.width/2
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%d" text-anchor="middle">%s</text>`+"\n", middle, x.y+19, nameSize, escapeXML(x.operation.Name))
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%d" text-anchor="middle" fill="#555">%s</text>`+"\n", middle, x.y+35, captionSize, escapeXML(x.operation.caption()))
}

func escapeXML(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // into a builder: it can't fail
	return b.String()
}
