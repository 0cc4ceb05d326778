// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"context"
	"errors"
	"fmt"
)

// Resource is a resource type at run time: its identity is its pointer. One that a
// guest defines belongs to one component instance; one that the host defines
// belongs to the host.
type Resource struct {
	Name string
	// Owner is the handle table of the component instance that defines the
	// resource, nil where the host does.
	Owner *Table
	// Destroy is called with the representation when an own handle is dropped. Nil
	// where there is nothing to do.
	Destroy func(ctx context.Context, rep Rep) error
}

// Rep is what a handle stands for: a number of the guest that defines the
// resource, or an object of the host.
type Rep struct {
	Num    uint32
	Object any
}

// Guest is how a resource that a guest defines looks to the host: the Object of an
// own or borrow value. It is comparable.
type Guest struct {
	Type *Resource
	Num  uint32
}

// Quota bounds the handles of the tables that share it.
type Quota struct {
	Limit int // most handles alive at once
	used  int
}

// Table is a component instance's table of handles. The zero Table is ready to use
// and unbounded. Handle 0 is never given out.
type Table struct {
	Quota   *Quota // nil: no bound
	handles []handle
	free    []uint32
	live    int
}

type handle struct {
	resource *Resource // nil: the index is free
	rep      Rep
	own      bool
	lends    int
	scope    *Frame // borrow: the call that lent it
}

// Len returns how many handles are alive.
func (t *Table) Len() int { return t.live }

func (t *Table) add(h handle) (uint32, error) {
	if q := t.Quota; q != nil {
		if q.used >= q.Limit {
			return 0, fmt.Errorf("more than %d handles", q.Limit)
		}
		q.used++
	}
	t.live++
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		t.handles[i] = h
		return i, nil
	}
	if len(t.handles) == 0 {
		t.handles = append(t.handles, handle{})
	}
	t.handles = append(t.handles, h)
	return uint32(len(t.handles) - 1), nil
}

func (t *Table) get(i uint32, r *Resource) (*handle, error) {
	if uint64(i) >= uint64(len(t.handles)) || t.handles[i].resource == nil {
		return nil, fmt.Errorf("unknown handle index %d", i)
	}
	h := &t.handles[i]
	if h.resource != r {
		return nil, fmt.Errorf("handle index %d is of type %s, want %s", i, h.resource.Name, r.Name)
	}
	return h, nil
}

func (t *Table) remove(i uint32) {
	t.handles[i] = handle{}
	t.free = append(t.free, i)
	t.live--
	if t.Quota != nil {
		t.Quota.used--
	}
}

var errLent = errors.New("cannot remove owned resource while borrowed")

// New is canon resource.new: an own handle for a guest's own representation.
func (t *Table) New(r *Resource, num uint32) (uint32, error) {
	return t.add(handle{resource: r, rep: Rep{Num: num}, own: true})
}

// Rep is canon resource.rep.
func (t *Table) Rep(r *Resource, i uint32) (uint32, error) {
	h, err := t.get(i, r)
	if err != nil {
		return 0, err
	}
	return h.rep.Num, nil
}

// Drop is canon resource.drop. An own handle's representation is destroyed.
func (t *Table) Drop(ctx context.Context, r *Resource, i uint32) error {
	h, err := t.get(i, r)
	if err != nil {
		return err
	}
	if h.lends != 0 {
		return errLent
	}
	dropped := *h
	t.remove(i)
	if !dropped.own {
		dropped.scope.borrows--
		return nil
	}
	if r.Destroy == nil {
		return nil
	}
	return r.Destroy(ctx, dropped.rep)
}

// takeOwn removes an own handle, for lifting an own.
func (t *Table) takeOwn(i uint32, r *Resource) (Rep, error) {
	h, err := t.get(i, r)
	switch {
	case err != nil:
		return Rep{}, err
	case h.lends != 0:
		return Rep{}, errLent
	case !h.own:
		return Rep{}, fmt.Errorf("handle index %d is borrowed, want owned", i)
	}
	rep := h.rep
	t.remove(i)
	return rep, nil
}

// Each calls f with the resource and representation of every own handle still
// alive, lowest first: for cleaning up when an instance ends.
func (t *Table) Each(f func(*Resource, Rep)) {
	for i := range t.handles {
		if h := &t.handles[i]; h.resource != nil && h.own {
			f(h.resource, h.rep)
		}
	}
}

// LowerOwn moves object into the guest and returns its handle. r is the number of
// the resource in f.Resources.
func (f *Frame) LowerOwn(r int, object any) (uint32, error) {
	res := f.Resources[r]
	rep, err := res.rep(object)
	if err != nil {
		return 0, err
	}
	return f.Table.add(handle{resource: res, rep: rep, own: true})
}

// LowerBorrow lends object to the guest for this call. A guest that defines the
// resource itself gets the representation, as the ABI wants it.
func (f *Frame) LowerBorrow(r int, object any) (uint32, error) {
	res := f.Resources[r]
	rep, err := res.rep(object)
	if err != nil {
		return 0, err
	}
	if res.Owner != nil && res.Owner == f.Table {
		return rep.Num, nil
	}
	f.borrows++
	return f.Table.add(handle{resource: res, rep: rep, scope: f})
}

// LiftOwn takes the object of an own handle out of the guest.
func (f *Frame) LiftOwn(r int, i uint32) (any, error) {
	res := f.Resources[r]
	rep, err := f.Table.takeOwn(i, res)
	if err != nil {
		return nil, err
	}
	return res.object(rep), nil
}

// LiftBorrow returns the object of a handle, which stays lent until Done.
func (f *Frame) LiftBorrow(r int, i uint32) (any, error) {
	res := f.Resources[r]
	h, err := f.Table.get(i, res)
	if err != nil {
		return nil, err
	}
	h.lends++
	f.lenders = append(f.lenders, i)
	return res.object(h.rep), nil
}

func (r *Resource) object(rep Rep) any {
	if r.Owner == nil {
		return rep.Object
	}
	return Guest{r, rep.Num}
}

func (r *Resource) rep(object any) (Rep, error) {
	if r.Owner == nil {
		return Rep{Object: object}, nil
	}
	g, ok := object.(Guest)
	if !ok || g.Type != r {
		return Rep{}, fmt.Errorf("resource %s: value of type %T is none", r.Name, object)
	}
	return Rep{Num: g.Num}, nil
}
