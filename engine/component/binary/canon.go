// SPDX-License-Identifier: Apache-2.0

package binary

import "errors"

// gatedCanon are the canonical built-ins that this package knows but does not
// decode, by code.
var gatedCanon = [...]string{
	0x05: "task.cancel", 0x06: "subtask.cancel", 0x07: "task.yield", 0x08: "backpressure.set",
	0x09: "task.return", 0x0a: "context.get", 0x0b: "context.set",
	0x0c: "thread.yield", 0x0d: "subtask.drop",
	0x0e: "stream.new", 0x0f: "stream.read", 0x10: "stream.write", 0x11: "stream.cancel-read",
	0x12: "stream.cancel-write", 0x13: "stream.drop-readable", 0x14: "stream.drop-writable",
	0x15: "future.new", 0x16: "future.read", 0x17: "future.write", 0x18: "future.cancel-read",
	0x19: "future.cancel-write", 0x1a: "future.drop-readable", 0x1b: "future.drop-writable",
	0x1c: "error-context.new", 0x1d: "error-context.debug-message", 0x1e: "error-context.drop",
	0x1f: "waitable-set.new", 0x20: "waitable-set.wait", 0x21: "waitable-set.poll",
	0x22: "waitable-set.drop", 0x23: "waitable.join", 0x24: "backpressure.inc", 0x25: "backpressure.dec",
	0x26: "thread.index", 0x27: "thread.new-indirect", 0x28: "thread.resume-later",
	0x29: "thread.suspend", 0x2a: "thread.suspend-then-resume", 0x2b: "thread.yield-then-resume",
	0x2c: "thread.suspend-then-promote", 0x2d: "thread.yield-then-promote",
	0x2e: "stream.forward", 0x2f: "future.forward",
	0x40: "thread.spawn-ref", 0x41: "thread.spawn-indirect", 0x42: "thread.available-parallelism",
}

func (d *decoder) canon() *Canon {
	c := &Canon{Offset: d.pos}
	const reading = "canonical definition"
	switch b := d.byte(reading); b {
	case 0x00:
		c.Op = Lift
		d.canonFuncSort()
		c.Func = d.u32("lifted core function index")
		c.Options = d.canonOptions(c.Op)
		c.Type = d.u32("lifted function type index")
	case 0x01:
		c.Op = Lower
		d.canonFuncSort()
		c.Func = d.u32("lowered function index")
		c.Options = d.canonOptions(c.Op)
	case 0x02:
		c.Op, c.Type = ResourceNew, d.u32("resource type index")
	case 0x03:
		c.Op, c.Type = ResourceDrop, d.u32("resource type index")
	case 0x04:
		c.Op, c.Type = ResourceRep, d.u32("resource type index")
	default:
		if int(b) < len(gatedCanon) && gatedCanon[b] != "" {
			d.unsupported(c.Offset, reading, "asynchronous built-in "+gatedCanon[b])
		} else {
			d.invalid(b, reading)
		}
	}
	return c
}

// canonFuncSort reads the byte that says that a function is lifted or lowered.
func (d *decoder) canonFuncSort() {
	if b := d.byte("sort of lift or lower"); b != 0x00 {
		d.invalid(b, "sort of lift or lower")
	}
}

// canonOptions reads the options of op, each at most once.
func (d *decoder) canonOptions(op CanonOp) CanonOptions {
	const reading = "canonical option"
	var o CanonOptions
	var encoded bool
	index := func(at int, has *bool, name string) uint32 {
		if *has {
			d.fail(at, reading, errors.New(name+" given twice"))
		}
		*has = true
		return d.u32(name + " index")
	}
	d.vec(reading, func() {
		at := d.pos
		switch b := d.byte(reading); b {
		case 0x00, 0x01, 0x02:
			if encoded {
				d.fail(at, reading, errors.New("string encoding given twice"))
			}
			encoded = true
			o.Encoding = Encoding(b)
		case 0x03:
			o.Memory = index(at, &o.HasMemory, "memory")
		case 0x04:
			o.Realloc = index(at, &o.HasRealloc, "realloc")
		case 0x05:
			o.PostReturn = index(at, &o.HasPostReturn, "post-return")
			if op != Lift {
				d.fail(at, reading, errors.New("post-return is for lift only"))
			}
		case 0x06:
			d.unsupported(at, reading, "async lift or lower")
		case 0x07:
			d.unsupported(at, reading, "callback of an async lift")
		case 0x08, 0x09:
			d.unsupported(at, reading, "garbage-collected canonical ABI")
		default:
			d.invalid(b, reading)
		}
	})
	return o
}
