// SPDX-License-Identifier: Apache-2.0

package purego

// Matrices are multiplied in blocks of panelRows by panelColumns of the result. For a
// block, that many rows of the left matrix and columns of the right one are made into
// panels, in which what is multiplied at the same time stands together.
const (
	panelRows    = 4
	panelColumns = 16
)

// appendPanels appends the panels of a left matrix: for every four rows, their first
// elements, then their second ones, and so on. Missing rows are zero.
func appendPanels(to, matrix []float32, rows, depth int) []float32 {
	for first := 0; first < rows; first += panelRows {
		for k := range depth {
			for r := first; r < first+panelRows; r++ {
				if r < rows {
					to = append(to, matrix[r*depth+k])
				} else {
					to = append(to, 0)
				}
			}
		}
	}
	return to
}

// multiplication is that of two matrices.
type multiplication struct {
	rows, depth, columns int
	panels               []float32                       // the left matrix
	column               func(to []float32, from, n int) // makes a panel of n columns of the right one, the first being from
	out                  []float32                       // row by row
	bias                 []float32                       // added to each row; nil: none
	low, high            float32                         // limits of the result
}

// run multiplies. The pieces of work are ranges of columns.
func (p *multiplication) run(w *work) {
	w.each((p.columns+panelColumns-1)/panelColumns, func(i int) {
		from := i * panelColumns
		n := min(panelColumns, p.columns-from)
		buffer := w.scratch(p.depth * panelColumns)
		defer w.release(buffer)
		right := *buffer
		p.column(right, from, n)
		for first := 0; first < p.rows; first += panelRows {
			if w.stopped() {
				return
			}
			var block block
			left := p.panels[first*p.depth:][:p.depth*panelRows]
			if n > panelColumns/8 { // else most would be for nothing
				multiply(&block, left, right)
			} else {
				multiplyFew(&block, left, right, n)
			}
			p.store(&block, first, from, n)
		}
	})
}

// store puts a block into the result.
func (p *multiplication) store(block *block, first, from, n int) {
	for r := first; r < min(first+panelRows, p.rows); r++ {
		row := block[(r-first)*panelColumns:][:n]
		bias := float32(0)
		if p.bias != nil {
			bias = p.bias[r]
		}
		to := p.out[r*p.columns+from:][:n]
		for i, x := range row {
			to[i] = min(max(x+bias, p.low), p.high)
		}
	}
}

// block is panelRows by panelColumns of a result.
type block [panelRows * panelColumns]float32

// multiplyGo adds the product of two panels to a block. Each element is a sum in the
// order of the panels, every product rounded first: that is the same for one at a
// time, here, and for several, as multiply does where the machine can.
func multiplyGo(b *block, left, right []float32) {
	if len(right) == 0 {
		return
	}
	for r := 0; r < panelRows; r += 2 {
		for c := 0; c < panelColumns; c += 4 {
			multiplyTile(b[r*panelColumns+c:], left[r:], right[c:])
		}
	}
}

// multiplyTile does two rows by four columns of a block.
func multiplyTile(b []float32, left, right []float32) {
	first, second := b[:4], b[panelColumns:panelColumns+4]
	a0, a1, a2, a3 := first[0], first[1], first[2], first[3]
	b0, b1, b2, b3 := second[0], second[1], second[2], second[3]
	for len(left) >= 2 && len(right) >= 4 {
		l0, l1 := left[0], left[1]
		x := right[0]
		a0 += float32(l0 * x)
		b0 += float32(l1 * x)
		x = right[1]
		a1 += float32(l0 * x)
		b1 += float32(l1 * x)
		x = right[2]
		a2 += float32(l0 * x)
		b2 += float32(l1 * x)
		x = right[3]
		a3 += float32(l0 * x)
		b3 += float32(l1 * x)
		if len(left) < panelRows || len(right) < panelColumns {
			break
		}
		left, right = left[panelRows:], right[panelColumns:]
	}
	first[0], first[1], first[2], first[3] = a0, a1, a2, a3
	second[0], second[1], second[2], second[3] = b0, b1, b2, b3
}

// multiplyFew is multiplyGo for the first n columns.
func multiplyFew(block *block, left, right []float32, n int) {
	for c := range n {
		left := left
		a, b, d, e := block[c], block[panelColumns+c], block[2*panelColumns+c], block[3*panelColumns+c]
		for k := c; k < len(right) && len(left) >= panelRows; k += panelColumns {
			x := right[k]
			a += float32(left[0] * x)
			b += float32(left[1] * x)
			d += float32(left[2] * x)
			e += float32(left[3] * x)
			left = left[panelRows:]
		}
		block[c], block[panelColumns+c], block[2*panelColumns+c], block[3*panelColumns+c] = a, b, d, e
	}
}
