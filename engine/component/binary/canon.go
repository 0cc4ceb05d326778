// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"errors"

	"github.com/wasm-graph/graphd/engine/component/core"
)

// CanonOp is a canonical built-in.
type CanonOp uint8

// The canonical built-ins. Those after ResourceRep are the asynchronous ones.
const (
	Lift CanonOp = iota + 1
	Lower
	ResourceNew
	ResourceDrop
	ResourceRep
	TaskReturn
	TaskCancel
	ContextGet
	ContextSet
	BackpressureInc
	BackpressureDec
	SubtaskCancel
	SubtaskDrop
	StreamNew
	StreamRead
	StreamWrite
	StreamForward
	StreamCancelRead
	StreamCancelWrite
	StreamDropReadable
	StreamDropWritable
	FutureNew
	FutureRead
	FutureWrite
	FutureForward
	FutureCancelRead
	FutureCancelWrite
	FutureDropReadable
	FutureDropWritable
	ErrorContextNew
	ErrorContextDebugMessage
	ErrorContextDrop
	WaitableSetNew
	WaitableSetWait
	WaitableSetPoll
	WaitableSetDrop
	WaitableJoin
	ThreadIndex
	ThreadNewIndirect
	ThreadResumeLater
	ThreadSuspend
	ThreadYield
	ThreadSuspendThenResume
	ThreadYieldThenResume
	ThreadSuspendThenPromote
	ThreadYieldThenPromote
)

// String returns the built-in's name, as the specification has it.
func (op CanonOp) String() string {
	switch op {
	case Lift:
		return "lift"
	case Lower:
		return "lower"
	}
	for _, b := range builtins {
		if b.op == op {
			return b.name
		}
	}
	return "invalid"
}

// immediate is what follows the code of a built-in.
type immediate uint8

const (
	nothing           immediate = iota
	typeIndex                   // a type
	typeAndOptions              // a type, options
	typeAndAsync                // a type, whether async
	async                       // whether async
	options                     // options
	resultOptions               // a result list, options
	contextSlot                 // a core type, a slot
	cancellable                 // a flag that means nothing any more
	cancellableMemory           // the same, a memory
	typeAndTable                // a core type, a table
)

// A builtin is how a canonical built-in is written, and the core type of the function
// it makes: parameters and results by letter, i for i32 and I for i64, a colon
// between them. It is empty where the type depends on what the built-in is given.
type builtin struct {
	op        CanonOp
	name      string
	immediate immediate
	signature string
}

// CoreType returns the core type of the function that a built-in makes; ok is false
// where that depends on what the built-in is given.
func (op CanonOp) CoreType() (t core.FuncType, ok bool) {
	for _, b := range builtins {
		if b.op != op || b.signature == "" {
			continue
		}
		list := &t.Params
		for _, c := range b.signature {
			switch c {
			case 'i':
				*list = append(*list, core.I32)
			case 'I':
				*list = append(*list, core.I64)
			case ':':
				list = &t.Results
			}
		}
		return t, true
	}
	return t, false
}

// builtins are the built-ins by code, but for lift and lower.
var builtins = map[byte]builtin{
	0x02: {ResourceNew, "resource.new", typeIndex, "i:i"},
	0x03: {ResourceDrop, "resource.drop", typeIndex, "i:"},
	0x04: {ResourceRep, "resource.rep", typeIndex, "i:i"},
	0x05: {TaskCancel, "task.cancel", nothing, ":"},
	0x06: {SubtaskCancel, "subtask.cancel", async, "i:i"},
	0x09: {TaskReturn, "task.return", resultOptions, ""},
	0x0a: {ContextGet, "context.get", contextSlot, ""},
	0x0b: {ContextSet, "context.set", contextSlot, ""},
	0x0c: {ThreadYield, "thread.yield", cancellable, ":i"},
	0x0d: {SubtaskDrop, "subtask.drop", nothing, "i:"},
	0x0e: {StreamNew, "stream.new", typeIndex, ":I"},
	0x0f: {StreamRead, "stream.read", typeAndOptions, "iii:i"},
	0x10: {StreamWrite, "stream.write", typeAndOptions, "iii:i"},
	0x11: {StreamCancelRead, "stream.cancel-read", typeAndAsync, "i:i"},
	0x12: {StreamCancelWrite, "stream.cancel-write", typeAndAsync, "i:i"},
	0x13: {StreamDropReadable, "stream.drop-readable", typeIndex, "i:"},
	0x14: {StreamDropWritable, "stream.drop-writable", typeIndex, "i:"},
	0x15: {FutureNew, "future.new", typeIndex, ":I"},
	0x16: {FutureRead, "future.read", typeAndOptions, "ii:i"},
	0x17: {FutureWrite, "future.write", typeAndOptions, "ii:i"},
	0x18: {FutureCancelRead, "future.cancel-read", typeAndAsync, "i:i"},
	0x19: {FutureCancelWrite, "future.cancel-write", typeAndAsync, "i:i"},
	0x1a: {FutureDropReadable, "future.drop-readable", typeIndex, "i:"},
	0x1b: {FutureDropWritable, "future.drop-writable", typeIndex, "i:"},
	0x1c: {ErrorContextNew, "error-context.new", options, "ii:i"},
	0x1d: {ErrorContextDebugMessage, "error-context.debug-message", options, "ii:"},
	0x1e: {ErrorContextDrop, "error-context.drop", nothing, "i:"},
	0x1f: {WaitableSetNew, "waitable-set.new", nothing, ":i"},
	0x20: {WaitableSetWait, "waitable-set.wait", cancellableMemory, "ii:i"},
	0x21: {WaitableSetPoll, "waitable-set.poll", cancellableMemory, "ii:i"},
	0x22: {WaitableSetDrop, "waitable-set.drop", nothing, "i:"},
	0x23: {WaitableJoin, "waitable.join", nothing, "ii:"},
	0x24: {BackpressureInc, "backpressure.inc", nothing, ":"},
	0x25: {BackpressureDec, "backpressure.dec", nothing, ":"},
	0x26: {ThreadIndex, "thread.index", nothing, ":i"},
	0x27: {ThreadNewIndirect, "thread.new-indirect", typeAndTable, "ii:i"},
	0x28: {ThreadResumeLater, "thread.resume-later", nothing, "i:"},
	0x29: {ThreadSuspend, "thread.suspend", cancellable, ":i"},
	0x2a: {ThreadSuspendThenResume, "thread.suspend-then-resume", cancellable, "i:i"},
	0x2b: {ThreadYieldThenResume, "thread.yield-then-resume", cancellable, "i:i"},
	0x2c: {ThreadSuspendThenPromote, "thread.suspend-then-promote", cancellable, "i:i"},
	0x2d: {ThreadYieldThenPromote, "thread.yield-then-promote", cancellable, "i:i"},
	0x2e: {StreamForward, "stream.forward", typeIndex, "ii:"},
	0x2f: {FutureForward, "future.forward", typeIndex, "ii:"},
}

// gatedCanon are the canonical built-ins that this package knows but does not
// decode, by code.
var gatedCanon = map[byte]string{
	0x08: "backpressure.set",
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
		c.Options = d.canonOptions()
		c.Type = d.u32("lifted function type index")
	case 0x01:
		c.Op = Lower
		d.canonFuncSort()
		c.Func = d.u32("lowered function index")
		c.Options = d.canonOptions()
	default:
		if built, ok := builtins[b]; ok {
			d.builtin(c, built)
		} else if gatedCanon[b] != "" {
			d.unsupported(c.Offset, reading, "built-in "+gatedCanon[b])
		} else {
			d.invalid(b, reading)
		}
	}
	return c
}

// builtin reads what follows the code of a built-in.
func (d *decoder) builtin(c *Canon, b builtin) {
	c.Op = b.op
	switch b.immediate {
	case typeIndex:
		c.Type = d.u32(b.name + " type index")
	case typeAndOptions:
		c.Type = d.u32(b.name + " type index")
		c.Options = d.canonOptions()
	case typeAndAsync:
		c.Type = d.u32(b.name + " type index")
		c.Async = d.flag(b.name + " async flag")
	case async:
		c.Async = d.flag(b.name + " async flag")
	case options:
		c.Options = d.canonOptions()
	case resultOptions:
		c.Result = d.result(b.name + " result")
		c.Options = d.canonOptions()
	case contextSlot:
		c.Context = d.coreValType()
		c.Index = d.u32(b.name + " slot")
	case cancellable:
		d.flag(b.name + " flag")
	case cancellableMemory:
		d.flag(b.name + " flag")
		c.Index = d.u32(b.name + " memory index")
	case typeAndTable:
		c.Type = d.u32(b.name + " core type index")
		c.Index = d.u32(b.name + " table index")
	}
}

// flag reads a byte that is 0 or 1.
func (d *decoder) flag(reading string) bool {
	b := d.byte(reading)
	if b > 1 {
		d.invalid(b, reading)
	}
	return b == 1
}

// canonFuncSort reads the byte that says that a function is lifted or lowered.
func (d *decoder) canonFuncSort() {
	if b := d.byte("sort of lift or lower"); b != 0x00 {
		d.invalid(b, "sort of lift or lower")
	}
}

// canonOptions reads options, each at most once.
func (d *decoder) canonOptions() CanonOptions {
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
		case 0x06:
			if o.Async {
				d.fail(at, reading, errors.New("async given twice"))
			}
			o.Async = true
		case 0x07:
			o.Callback = index(at, &o.HasCallback, "callback")
		case 0x08, 0x09:
			d.unsupported(at, reading, "garbage-collected canonical ABI")
		default:
			d.invalid(b, reading)
		}
	})
	return o
}
