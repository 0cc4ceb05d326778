// SPDX-License-Identifier: Apache-2.0

package purego

import (
	"context"
	"fmt"
	"slices"

	"github.com/wasm-graph/graphd/engine/nn"
	"github.com/wasm-graph/graphd/engine/nn/onnx"
)

// program is a loaded model: steps over numbered values. It is immutable.
type program struct {
	constants []*value // by number; nil for what a run computes or is given
	inputs    []int
	outputs   []int
	types     []onnx.DataType // of inputs
	in, out   []nn.Port
	steps     []*step
}

// step is one operation.
type step struct {
	label  string // for errors
	op     string
	in     []int // numbers of values; absent for an input that is left out
	out    []int
	kernel kernel
}

// absent is the number of an input that is left out.
const absent = -1

// kernel is what a step does. Of several fields with functions, infer comes first:
// what it accepts, the others can rely on.
type kernel struct {
	// infer returns the types and dimensions of the outputs. Inputs that are constant
	// have their data; an input that is left out is nil.
	infer func(in []*value) ([]value, error)
	// run computes the outputs, which have room.
	run func(w *work, in, out []*value)
	// cost is the number of multiplications; nil: one for each element of the outputs.
	cost func(in, out []*value) uint64

	conv  *conv  // set for a convolution, which can take along the steps behind it
	norm  *norm  // set for a batch normalisation
	clamp *clamp // set for an activation that limits values
}

// work returns the multiplications that it takes to compute out.
func (k *kernel) work(in, out []*value) (n uint64) {
	if k.cost != nil {
		return k.cost(in, out)
	}
	for _, v := range out {
		n += uint64(v.size())
	}
	return n
}

func tooMuchWork(config Config) error {
	return fmt.Errorf("%w: the model takes more than %d multiplications", errTooLarge, config.Work)
}

// load makes a program of a decoded model.
func load(ctx context.Context, m *onnx.Model, config Config) (*program, error) {
	opset, err := opsetOf(m)
	if err != nil {
		return nil, err
	}
	l := &loader{work: newWork(ctx, config.Threads), config: config, opset: opset, numbers: map[string]int{}, operators: operators()}
	g := &m.Graph
	if l.in, l.out, err = onnx.Ports(g); err != nil {
		return nil, err
	}
	for i := range g.Initializers {
		if err := l.initializer(&g.Initializers[i]); err != nil {
			return nil, fmt.Errorf("initializer %q: %w", g.Initializers[i].Name, err)
		}
	}
	for i := range g.Inputs {
		if err := l.input(&g.Inputs[i]); err != nil {
			return nil, fmt.Errorf("input %q: %w", g.Inputs[i].Name, err)
		}
	}
	for i := range g.Nodes {
		if err := nn.Done(ctx); err != nil {
			return nil, err
		}
		n := &g.Nodes[i]
		if err := l.node(ctx, n); err != nil {
			return nil, fmt.Errorf("%s: %w", label(n), err)
		}
	}
	for i := range g.Outputs {
		if err := l.output(&g.Outputs[i]); err != nil {
			return nil, fmt.Errorf("output %q: %w", g.Outputs[i].Name, err)
		}
	}
	l.fuse()
	return &l.program, nil
}

// label names a node for errors.
func label(n *onnx.Node) string {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	return fmt.Sprintf("node %q (operator %s)", n.Name, op)
}

// opsetOf returns the version of ONNX's own operators.
func opsetOf(m *onnx.Model) (int, error) {
	for _, o := range m.Opsets {
		if isONNX(o.Domain) {
			if o.Version < MinOpset || o.Version > MaxOpset {
				return 0, fmt.Errorf("%w: the model is of opset %d; opsets %d to %d are understood", errUnsupported, o.Version, MinOpset, MaxOpset)
			}
			return int(o.Version), nil
		}
	}
	return 0, fmt.Errorf("%w: the model imports no opset of ONNX", errUnsupported)
}

func isONNX(domain string) bool { return domain == "" || domain == "ai.onnx" }

// loader makes a program.
type loader struct {
	program
	work      *work
	config    Config
	opset     int
	operators map[string]operator
	numbers   map[string]int // of values, by name
	used      uint64         // bytes of constants
}

// define gives a value a number.
func (l *loader) define(name string, constant *value) (int, error) {
	if _, taken := l.numbers[name]; taken {
		return 0, fmt.Errorf("value %q is defined twice", name)
	}
	n := len(l.constants)
	l.numbers[name] = n
	l.constants = append(l.constants, constant)
	return n, nil
}

// spend counts n elements of v among the constants.
func (l *loader) spend(v *value, n int) error {
	if l.used += v.bytes(n); l.used > l.config.Memory {
		return fmt.Errorf("%w: the model's constants take more than %d bytes", errTooLarge, l.config.Memory)
	}
	return nil
}

func (l *loader) initializer(t *onnx.Tensor) error {
	n, _ := onnx.Elements(t.Dims) // is as many as there is data for
	if err := l.spend(&value{typ: t.Type}, int(n)); err != nil {
		return err
	}
	v, err := constantOf(t)
	if err != nil {
		return err
	}
	_, err = l.define(t.Name, v)
	return err
}

func (l *loader) input(v *onnx.Value) error {
	if _, initialized := l.numbers[v.Name]; initialized {
		return nil // a default value, and taken for a constant
	}
	if _, err := portType(v.Type); err != nil {
		return err
	}
	n, err := l.define(v.Name, nil)
	l.inputs, l.types = append(l.inputs, n), append(l.types, v.Type)
	return err
}

func (l *loader) output(v *onnx.Value) error {
	n, known := l.numbers[v.Name]
	if !known {
		return fmt.Errorf("no node computes it")
	}
	l.outputs = append(l.outputs, n)
	return nil
}

// node finds the operator of n, and runs it at once if its inputs are constant.
func (l *loader) node(ctx context.Context, n *onnx.Node) error {
	if !isONNX(n.Domain) {
		return fmt.Errorf("%w: operators of %s", errUnsupported, n.Domain)
	}
	op, known := l.operators[n.Op]
	if !known {
		return fmt.Errorf("%w: this operator", errUnsupported)
	}
	s := &step{label: label(n), op: n.Op}
	constant := true
	var in []*value
	for _, name := range n.Inputs {
		if name == "" {
			s.in, in = append(s.in, absent), append(in, nil)
			continue
		}
		number, known := l.numbers[name]
		if !known {
			return fmt.Errorf("nothing before it computes its input %q", name)
		}
		v := l.constants[number]
		constant = constant && v != nil
		s.in, in = append(s.in, number), append(in, v)
	}
	for len(in) > 0 && s.in[len(in)-1] == absent {
		s.in, in = s.in[:len(in)-1], in[:len(in)-1]
	}
	if len(in) < op.min || len(in) > op.max || slices.Contains(s.in[:op.min], absent) {
		return fmt.Errorf("%d inputs, want %d to %d", len(in), op.min, op.max)
	}
	r := &reader{node: n, opset: l.opset, in: in, spend: l.spend}
	var err error
	if s.kernel, err = op.build(r); err != nil {
		return err
	}
	if err := r.unread(); err != nil {
		return err
	}
	if constant {
		if s.kernel.conv != nil {
			s.kernel.conv.pack()
		}
		return l.fold(ctx, n, s, in)
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		if i > 0 && i >= r.outputs {
			return fmt.Errorf("%w: its output %q", errUnsupported, name)
		}
		number, err := l.define(name, nil)
		if err != nil {
			return err
		}
		s.out = append(s.out, number)
	}
	if len(s.out) != max(1, r.outputs) {
		return fmt.Errorf("%w: %d outputs, want %d", errUnsupported, len(s.out), max(1, r.outputs))
	}
	l.steps = append(l.steps, s)
	return nil
}

// fold computes the outputs of a step whose inputs are constant.
func (l *loader) fold(ctx context.Context, n *onnx.Node, s *step, in []*value) error {
	out, err := evaluate(ctx, l.work, s, in, l.config, func(v *value) error { return l.spend(v, v.size()) })
	if err != nil {
		return err
	}
	for i, v := range out {
		if i >= len(n.Outputs) || n.Outputs[i] == "" {
			continue
		}
		if _, err := l.define(n.Outputs[i], v); err != nil {
			return err
		}
	}
	if len(n.Outputs) > len(out) {
		return fmt.Errorf("%w: %d outputs, want %d", errUnsupported, len(n.Outputs), len(out))
	}
	return nil
}

// evaluate runs a step whose inputs are constant. spend is asked before memory is
// taken.
func evaluate(ctx context.Context, w *work, s *step, in []*value, config Config, spend func(*value) error) ([]*value, error) {
	inferred, err := infer(s, in)
	if err != nil {
		return nil, err
	}
	out := make([]*value, len(inferred))
	for i := range inferred {
		out[i] = &inferred[i]
		if err := spend(out[i]); err != nil {
			return nil, err
		}
	}
	if s.kernel.work(in, out) > config.Work {
		return nil, tooMuchWork(config)
	}
	for _, v := range out {
		v.allocate()
		v.constant = true
	}
	s.kernel.run(w, in, out)
	return out, nn.Done(ctx)
}

// infer is the kernel's, with its result checked.
func infer(s *step, in []*value) ([]value, error) {
	out, err := s.kernel.infer(in)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := checkDims(out[i].dims); err != nil {
			return nil, err
		}
		if !supported(out[i].typ) {
			return nil, fmt.Errorf("%w: a result of %s", errUnsupported, out[i].typ)
		}
	}
	return out, nil
}

// fuse makes convolutions do the work of a batch normalisation and of an activation
// that follow them and nothing else.
func (l *loader) fuse() {
	uses := make([]int, len(l.constants))
	reader := make([]*step, len(l.constants))
	for _, s := range l.steps {
		for _, n := range s.in {
			if n != absent {
				uses[n]++
				reader[n] = s
			}
		}
	}
	for _, n := range l.outputs {
		uses[n]++
		reader[n] = nil
	}
	gone := map[*step]bool{}
	for _, s := range l.steps {
		if s.kernel.conv == nil {
			continue
		}
		for {
			next := reader[s.out[0]]
			if next == nil || uses[s.out[0]] != 1 || next.in[0] != s.out[0] || !s.kernel.conv.absorb(&next.kernel) {
				break
			}
			s.out = next.out
			gone[next] = true
		}
		s.kernel.conv.pack()
	}
	l.steps = slices.DeleteFunc(l.steps, func(s *step) bool { return gone[s] })
}

// static reports whether all inputs have fixed sizes.
func (p *program) static() bool {
	return !slices.ContainsFunc(p.in, func(port nn.Port) bool { return slices.Contains(port.Dims, -1) })
}

// staticDims returns the sizes of the inputs of a static program.
func (p *program) staticDims() [][]int {
	dims := make([][]int, len(p.in))
	for i, port := range p.in {
		dims[i] = make([]int, len(port.Dims))
		for k, d := range port.Dims {
			dims[i][k] = int(d)
		}
	}
	return dims
}
