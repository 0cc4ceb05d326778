// SPDX-License-Identifier: Apache-2.0

package rewrite

import "math"

// freeStack is how many bytes of stack a function and its callees may take
// together without counting them themselves.
const freeStack = 2048

// plan decides which functions pay for their first segment and which count their
// stack, so that few do and no execution escapes both:
//
//   - Whatever calls by reference, or calls an import, may come back to any
//     exposed function. The exposed functions from which such a call can be
//     reached therefore pay and count, and so do the members of every cycle of
//     direct calls that remains when those are taken away.
//   - The functions left call each other without cycles. Callees first, a function
//     is free if it weighs little together with the free functions that it calls,
//     and unframed if it and its unframed callees need little stack. Who calls it
//     pays its weight, or counts its stack, on top of its own.
func (d *decoder) plan() {
	counted := d.reachOutside()
	for i := range counted {
		counted[i] = counted[i] && d.exposed[d.imported[Func]+i]
	}
	order := d.calleesFirst(counted)
	for _, i := range order {
		if counted[i] {
			continue
		}
		b := &d.bodies[i]
		d.account(b)
		b.free = b.segments[0].weight <= freeWeight
		b.unframed = b.stack <= freeStack
	}
	for i := range d.bodies { // once it is known what they call
		if counted[i] {
			d.account(&d.bodies[i])
		}
	}
}

// account adds what a function's callees leave to it to pay and count.
func (d *decoder) account(b *body) {
	var deepest uint32
	for _, c := range b.calls {
		callee := &d.bodies[c.callee]
		if callee.free {
			b.segments[c.segment].weight += callee.segments[0].weight
		}
		if callee.unframed {
			deepest = max(deepest, callee.stack)
		}
	}
	b.stack = uint32(min(uint64(b.frame)+uint64(deepest), math.MaxInt32))
}

// reachOutside tells which functions may call by reference or call an import,
// themselves or by the functions that they call.
func (d *decoder) reachOutside() []bool {
	callers := make([][]int32, len(d.bodies))
	reach := make([]bool, len(d.bodies))
	var todo []int32
	for i, b := range d.bodies {
		for _, c := range b.calls {
			callers[c.callee] = append(callers[c.callee], int32(i))
		}
		if b.outside {
			reach[i] = true
			todo = append(todo, int32(i))
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, caller := range callers[i] {
			if !reach[caller] {
				reach[caller] = true
				todo = append(todo, caller)
			}
		}
	}
	return reach
}

// calleesFirst returns the functions that are not counted, callees before
// callers, and marks as counted those that lie on a cycle of direct calls. It is
// Tarjan's algorithm for strongly connected components, without recursion: how
// deep calls nest is up to the module.
func (d *decoder) calleesFirst(counted []bool) []int32 {
	type visit struct {
		function int32
		next     int // in its calls
	}
	var (
		order  = make([]int32, 0, len(d.bodies))
		index  = make([]int32, len(d.bodies)) // order of discovery, from 1; 0 is undiscovered
		low    = make([]int32, len(d.bodies)) // the earliest on the stack that can be reached
		on     = make([]bool, len(d.bodies))  // on the stack
		itself = make([]bool, len(d.bodies))  // calls itself
		count  int32
		stack  []int32
		path   []visit
	)
	discover := func(i int32) {
		count++
		index[i], low[i], on[i] = count, count, true
		stack = append(stack, i)
		path = append(path, visit{function: i})
	}
	for root := range d.bodies {
		if counted[root] || index[root] != 0 {
			continue
		}
		discover(int32(root))
		for len(path) > 0 {
			v := &path[len(path)-1]
			i := v.function
			if v.next < len(d.bodies[i].calls) {
				callee := int32(d.bodies[i].calls[v.next].callee)
				v.next++
				switch {
				case counted[callee]: // taken away
				case callee == i:
					itself[i] = true
				case index[callee] == 0:
					discover(callee)
				case on[callee]:
					low[i] = min(low[i], index[callee])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				caller := path[len(path)-1].function
				low[caller] = min(low[caller], low[i])
			}
			if low[i] != index[i] {
				continue
			}
			first := len(stack) - 1
			for stack[first] != i {
				first--
			}
			cycle := len(stack)-first > 1 || itself[i]
			for _, member := range stack[first:] {
				on[member] = false
				counted[member] = counted[member] || cycle
			}
			order = append(order, stack[first:]...)
			stack = stack[:first]
		}
	}
	return order
}
