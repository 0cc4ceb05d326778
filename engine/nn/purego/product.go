// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"fmt"
	"math"
	"slices"
)

// matrix is one side of a product, as it lies in memory: a transposed one is read by
// columns.
type matrix struct {
	data       []float32
	rows, cols int
	transposed bool
}

func (m matrix) at(r, c int) float32 {
	if m.transposed {
		return m.data[c*m.rows+r]
	}
	return m.data[r*m.cols+c]
}

// panel makes a panel of n columns of m.
func (m matrix) panel(to []float32, from, n int) {
	if !m.transposed {
		rowsOf(to, m.data, m.cols, from, n)
		return
	}
	for k := range m.rows {
		for i := range n {
			to[i] = m.data[(from+i)*m.rows+k]
		}
		clear(to[n:panelColumns])
		to = to[panelColumns:]
	}
}

// times computes to = m·right. It works on rows of m only if there are enough.
func (m matrix) times(w *work, right matrix, to []float32) {
	if m.cols == 0 || m.rows == 0 || right.cols == 0 {
		clear(to)
		return
	}
	if m.rows < panelRows {
		m.timesFew(w, right, to)
		return
	}
	p := multiplication{
		rows: m.rows, depth: m.cols, columns: right.cols, column: right.panel, out: to,
		low: float32(math.Inf(-1)), high: float32(math.Inf(1)),
	}
	if m.transposed {
		straight := make([]float32, m.rows*m.cols)
		for r := range m.rows {
			for c := range m.cols {
				straight[r*m.cols+c] = m.at(r, c)
			}
		}
		m.data = straight
	}
	p.panels = appendPanels(nil, m.data, m.rows, m.cols)
	p.run(w)
}

// timesFew is times for a few rows, where copies would not pay.
func (m matrix) timesFew(w *work, right matrix, to []float32) {
	const piece = 64
	w.each((right.cols+piece-1)/piece, func(p int) {
		from, end := p*piece, min((p+1)*piece, right.cols)
		for r := range m.rows {
			row := to[r*right.cols : (r+1)*right.cols]
			if !right.transposed {
				clear(row[from:end])
				for k := range m.cols {
					x := m.at(r, k)
					for i, y := range right.data[k*right.cols+from : k*right.cols+end] {
						row[from+i] += float32(x * y)
					}
				}
				continue
			}
			for c := from; c < end; c++ {
				var s float32
				for k, y := range right.data[c*m.cols : (c+1)*m.cols] {
					s += float32(m.at(r, k) * y)
				}
				row[c] = s
			}
		}
	})
}

func buildGemm(r *reader) (kernel, error) {
	alpha, beta := r.float("alpha", 1), r.float("beta", 1)
	transA, transB := r.int("transA", 0) != 0, r.int("transB", 0) != 0
	sides := func(in []*value) (a, b matrix) {
		a = matrix{in[0].f, in[0].dims[0], in[0].dims[1], transA}
		if transA {
			a.rows, a.cols = a.cols, a.rows
		}
		b = matrix{in[1].f, in[1].dims[0], in[1].dims[1], transB}
		if transB {
			b.rows, b.cols = b.cols, b.rows
		}
		return a, b
	}
	return kernel{
		infer: func(in []*value) ([]value, error) {
			if len(in[0].dims) != 2 || len(in[1].dims) != 2 {
				return nil, fmt.Errorf("inputs of %v and %v, want matrices", in[0].dims, in[1].dims)
			}
			a, b := sides(in)
			if a.cols != b.rows {
				return nil, fmt.Errorf("matrices of %dx%d and %dx%d don't go together", a.rows, a.cols, b.rows, b.cols)
			}
			dims := []int{a.rows, b.cols}
			if len(in) > 2 && in[2] != nil {
				if all, err := broadcast(dims, in[2].dims); err != nil || !slices.Equal(all, dims) {
					return nil, fmt.Errorf("the summand of %v does not go with %v", in[2].dims, dims)
				}
			}
			return []value{{typ: in[0].typ, dims: dims}}, floats(in)
		},
		cost: func(in, out []*value) uint64 {
			a, _ := sides(in)
			return uint64(out[0].size()) * uint64(a.cols)
		},
		run: func(w *work, in, out []*value) {
			a, b := sides(in)
			y := out[0]
			a.times(w, b, y.f)
			if alpha != 1 {
				for i := range y.f {
					y.f[i] *= alpha
				}
			}
			if len(in) > 2 && in[2] != nil {
				product := operand[float32]{y.dims, y.f}
				combine(w, y.dims, y.f, product, operand[float32]{in[2].dims, in[2].f}, func(x, c float32) float32 { return x + float32(beta*c) })
			}
		},
	}, nil
}

func buildMatMul(*reader) (kernel, error) {
	// A vector is a matrix of one row on the left, and of one column on the right.
	dims := func(in []*value) (a, b []int) {
		a, b = in[0].dims, in[1].dims
		if len(a) == 1 {
			a = []int{1, a[0]}
		}
		if len(b) == 1 {
			b = []int{b[0], 1}
		}
		return a, b
	}
	return kernel{
		infer: func(in []*value) ([]value, error) {
			a, b := dims(in)
			if len(a) < 2 || len(b) < 2 || a[len(a)-1] != b[len(b)-2] {
				return nil, fmt.Errorf("matrices of %v and %v don't go together", in[0].dims, in[1].dims)
			}
			out, err := broadcast(a[:len(a)-2], b[:len(b)-2])
			if err != nil {
				return nil, err
			}
			if len(in[0].dims) > 1 {
				out = append(out, a[len(a)-2])
			}
			if len(in[1].dims) > 1 {
				out = append(out, b[len(b)-1])
			}
			return []value{{typ: in[0].typ, dims: out}}, floats(in)
		},
		cost: func(in, out []*value) uint64 {
			a, _ := dims(in)
			return uint64(out[0].size()) * uint64(a[len(a)-1])
		},
		run: func(w *work, in, out []*value) {
			a, b := dims(in)
			rows, depth, cols := a[len(a)-2], a[len(a)-1], b[len(b)-1]
			batch, err := broadcast(a[:len(a)-2], b[:len(b)-2])
			if err != nil {
				return // infer has accepted it
			}
			stepsA := operand[float32]{dims: a[:len(a)-2]}.steps(batch)
			stepsB := operand[float32]{dims: b[:len(b)-2]}.steps(batch)
			for n := range product(batch) {
				ia, ib, rest := 0, 0, n
				for d := len(batch) - 1; d >= 0; d-- {
					ia += rest % batch[d] * stepsA[d]
					ib += rest % batch[d] * stepsB[d]
					rest /= batch[d]
				}
				left := matrix{in[0].f[ia*rows*depth:][:rows*depth], rows, depth, false}
				right := matrix{in[1].f[ib*depth*cols:][:depth*cols], depth, cols, false}
				left.times(w, right, out[0].f[n*rows*cols:][:rows*cols])
			}
		},
	}, nil
}
