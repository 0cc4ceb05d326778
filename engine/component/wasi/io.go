// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"errors"
	"fmt"
	"io"

	"github.com/wasm-graph/graphd/engine/component/value"
)

// flushBytes is what blocking-write-and-flush and its like may be given at once.
const flushBytes = 4096

// emptyReads is how many reads in a row may bring nothing before a blocking read
// gives up.
const emptyReads = 100

// ioError is an object of resource error.
type ioError struct{ err error }

func errorFunctions() map[string]function {
	return map[string]function{
		"[method]error.to-debug-string": func(_ caller, args []value.Value) (value.Value, error) {
			return value.String(args[0].Object().(*ioError).err.Error()), nil
		},
	}
}

// pollable is an object of resource pollable: ready once the monotonic clock has
// come to when. Streams are always ready, so theirs have 0.
type pollable struct{ when uint64 }

func (h *Host) poll() map[string]function {
	return map[string]function{
		"[method]pollable.ready": func(_ caller, args []value.Value) (value.Value, error) {
			return value.Bool(args[0].Object().(*pollable).when <= h.cfg.Monotonic()), nil
		},
		"[method]pollable.block": func(c caller, args []value.Value) (value.Value, error) {
			_, err := h.wait(c, args[0].Object().(*pollable).when)
			return value.Value{}, err
		},
		"poll": func(c caller, args []value.Value) (value.Value, error) {
			list := args[0].Elems()
			if len(list) == 0 {
				return value.Value{}, errors.New("wasi: poll: empty list")
			}
			if len(list) > h.cfg.Pollables {
				return value.Value{}, fmt.Errorf("wasi: poll: %d pollables, at most %d are allowed", len(list), h.cfg.Pollables)
			}
			first := list[0].Object().(*pollable).when
			for _, p := range list[1:] {
				first = min(first, p.Object().(*pollable).when)
			}
			now, err := h.wait(c, first)
			if err != nil {
				return value.Value{}, err
			}
			var ready []value.Value
			for i, p := range list {
				if p.Object().(*pollable).when <= now {
					ready = append(ready, value.U32(uint32(i)))
				}
			}
			return value.List(ready), nil
		},
	}
}

// wait returns once the monotonic clock has come to until, with its time.
func (h *Host) wait(c caller, until uint64) (uint64, error) {
	now := h.cfg.Monotonic()
	if now >= until {
		return now, nil
	}
	if err := h.cfg.Wait(c.Context(), until); err != nil {
		return 0, fmt.Errorf("wasi: wait: %w", err)
	}
	return max(until, h.cfg.Monotonic()), nil
}

// inputStream is an object of resource input-stream.
type inputStream struct {
	r   io.Reader
	err error // what the stream ended with; nil while it is open
}

// outputStream is an object of resource output-stream.
type outputStream struct {
	w     io.Writer
	allow uint64 // bytes that the next write may take, as check-write has said
	err   error  // what the stream ended with; nil while it is open
}

// The cases of variant stream-error.
const (
	lastOperationFailed = iota
	closed
)

// failed returns the error result of an operation on a stream that ended with err.
func failed(err error) value.Value {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		return value.Err(value.Variant(closed, nil))
	}
	e := value.Own(&ioError{err})
	return value.Err(value.Variant(lastOperationFailed, &e))
}

// failOnce is failed, and makes the stream's next operations find it closed.
func failOnce(err *error) value.Value {
	v := failed(*err)
	*err = io.EOF
	return v
}

// read reads at most n bytes, fewer if it must; none at all only where n is 0, or
// where wait is false and none are there. It leaves an error in s.err and returns
// what came before it.
func (s *inputStream) read(n uint64, chunk int, wait bool) []byte {
	if s.err != nil || n == 0 {
		return nil
	}
	p := make([]byte, min(n, uint64(chunk)))
	for range emptyReads {
		var got int
		got, s.err = s.r.Read(p)
		if got > 0 || s.err != nil || !wait {
			return p[:got]
		}
	}
	s.err = io.ErrNoProgress
	return nil
}

// write writes p, and leaves an error in s.err.
func (s *outputStream) write(p []byte) {
	if s.err != nil || len(p) == 0 {
		return
	}
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.err = err
}

// done is the result of an operation on s that has no payload.
func (s *outputStream) done() value.Value {
	if s.err != nil {
		return failOnce(&s.err)
	}
	return value.Ok(value.Value{})
}

// use takes n bytes of what check-write has allowed.
func (s *outputStream) use(n uint64) error {
	if n > s.allow {
		return fmt.Errorf("wasi: write %d bytes: check-write allowed %d", n, s.allow)
	}
	s.allow -= n
	return nil
}

func (h *Host) streams() map[string]function {
	read := func(blocking, skip bool) function {
		return func(_ caller, args []value.Value) (value.Value, error) {
			s, n := args[0].Object().(*inputStream), args[1].U64()
			p := s.read(n, h.cfg.ChunkBytes, blocking)
			switch {
			case len(p) == 0 && s.err != nil:
				return failOnce(&s.err), nil
			case skip:
				return value.Ok(value.U64(uint64(len(p)))), nil
			}
			return value.Ok(value.Bytes(p)), nil
		}
	}
	write := func(contents func(value.Value) ([]byte, uint64), flush bool) function {
		return func(_ caller, args []value.Value) (value.Value, error) {
			s := args[0].Object().(*outputStream)
			p, n := contents(args[1])
			if !flush {
				if err := s.use(n); err != nil {
					return value.Value{}, err
				}
			} else if n > flushBytes {
				return value.Value{}, fmt.Errorf("wasi: write and flush %d bytes: at most %d are allowed", n, flushBytes)
			}
			s.write(p)
			return s.done(), nil
		}
	}
	bytes := func(v value.Value) ([]byte, uint64) { p := v.Bytes(); return p, uint64(len(p)) }
	zeroes := func(v value.Value) ([]byte, uint64) {
		n := v.U64()
		return make([]byte, min(n, uint64(h.cfg.ChunkBytes))), n
	}
	flush := func(_ caller, args []value.Value) (value.Value, error) {
		return args[0].Object().(*outputStream).done(), nil
	}
	splice := func(blocking bool) function {
		return func(_ caller, args []value.Value) (value.Value, error) {
			out, in := args[0].Object().(*outputStream), args[1].Object().(*inputStream)
			if out.err != nil {
				return failOnce(&out.err), nil
			}
			p := in.read(args[2].U64(), h.cfg.ChunkBytes, blocking)
			if len(p) == 0 && in.err != nil {
				return failOnce(&in.err), nil
			}
			if out.write(p); out.err != nil {
				return failOnce(&out.err), nil
			}
			return value.Ok(value.U64(uint64(len(p)))), nil
		}
	}
	subscribe := func(caller, []value.Value) (value.Value, error) {
		return value.Own(&pollable{}), nil
	}
	return map[string]function{
		"[method]input-stream.read":          read(false, false),
		"[method]input-stream.blocking-read": read(true, false),
		"[method]input-stream.skip":          read(false, true),
		"[method]input-stream.blocking-skip": read(true, true),
		"[method]input-stream.subscribe":     subscribe,

		"[method]output-stream.check-write": func(_ caller, args []value.Value) (value.Value, error) {
			s := args[0].Object().(*outputStream)
			if s.err != nil {
				return failOnce(&s.err), nil
			}
			s.allow = uint64(h.cfg.ChunkBytes)
			return value.Ok(value.U64(s.allow)), nil
		},
		"[method]output-stream.write":                           write(bytes, false),
		"[method]output-stream.write-zeroes":                    write(zeroes, false),
		"[method]output-stream.blocking-write-and-flush":        write(bytes, true),
		"[method]output-stream.blocking-write-zeroes-and-flush": write(zeroes, true),
		"[method]output-stream.flush":                           flush,
		"[method]output-stream.blocking-flush":                  flush,
		"[method]output-stream.subscribe":                       subscribe,
		"[method]output-stream.splice":                          splice(false),
		"[method]output-stream.blocking-splice":                 splice(true),
	}
}
