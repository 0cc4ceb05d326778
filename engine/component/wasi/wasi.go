// SPDX-License-Identifier: Apache-2.0

// Package wasi gives WASI 0.2 to component instances.
//
// A [Host] serves one instance. What the instance may see of the world outside
// comes in through its [Config]: clocks, randomness, where its output goes, which
// directories it may use ([Preopen]). There is nothing else to reach. The interfaces of
// sockets and HTTP are there, because guests import them whether they use them or not,
// but sockets, name lookups and requests are answered with the error that their WIT
// has for what is denied. Functions of what a guest can get no handle of are declared
// and not implemented, and so are those that read a request back: the runtime traps
// such a call, by its name.
//
// Of directories everything works that WASI has for them, with two differences to its
// text. A directory below one that may be changed may be changed too, whatever flags
// it was opened with, because the adapters for older programs ask for none. And only
// files and directories can be opened: a pipe or a device would hold the guest past
// its deadline.
//
// Nothing here runs by itself. Streams are as synchronous as the files, readers and
// writers behind them, and so always ready; the one thing that a guest can wait
// for is the monotonic clock, by [Config.Wait], which a caller may replace to run
// guests in virtual time.
//
// The declarations, in the folder wit, are those of WASI 0.2.12. A guest that was
// built against an older 0.2 version imports a subset of them.
package wasi

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/value"
)

// version is the WASI version that the embedded declarations are of.
const version = "0.2.12"

// Config is what one instance gets. The zero Config gives it the system's clocks
// and randomness, and nothing to read; what it writes is lost.
type Config struct {
	// Stdin is the guest's standard input; nil is an empty one. It is read while
	// the guest runs: a Reader that blocks holds the guest past its deadline.
	Stdin io.Reader

	// Stdout and Stderr take what the guest writes, each write as the guest made
	// it; nil throws it away. They are called while the guest runs and should not
	// block. An error ends the stream for the guest, [io.ErrClosedPipe] as closed.
	Stdout io.Writer
	Stderr io.Writer

	// Args are the program's arguments, its name first. Env are its environment
	// variables, names and values.
	Args []string
	Env  [][2]string

	// WallClock returns the time; nil is [time.Now]. Before 1970 is shown as 1970.
	WallClock func() time.Time

	// Monotonic returns the nanoseconds since some moment, and never less than
	// before; nil counts from New. Wait returns nil once Monotonic has come to
	// until, or an error if ctx ends before, which traps the guest; nil sleeps.
	// They belong together: set both or neither.
	Monotonic func() uint64
	Wait      func(ctx context.Context, until uint64) error

	// Random is where random data comes from, insecure data too; nil is
	// [rand.Reader]. An error traps the guest.
	Random io.Reader

	// InsecureSeed is the seed that guests harden their hash tables with; the zero
	// value is drawn from Random.
	InsecureSeed [2]uint64

	// Preopens are the directories that the guest may use; none by default.
	Preopens []Preopen

	// OpenFiles bounds how many files and directories the guest may have open at
	// once, besides Preopens; the next one fails with insufficient-memory. 0 is 64.
	OpenFiles int

	// ChunkBytes bounds what one read or write of a stream or file moves; a guest may ask
	// for more, and gets less. 0 is 64 KiB; no less than 4096 are used, which WASI
	// wants.
	ChunkBytes int

	// RandomBytes bounds one request for random bytes, Pollables one poll: a guest
	// that exceeds them traps. 0 is 1 MiB, and 1024.
	RandomBytes int
	Pollables   int
}

// Host is WASI for one instance. Like the instance it is not safe for concurrent
// use.
type Host struct {
	cfg       Config
	openFiles int // that are open
}

// New returns the host side of one instance. Args, Env and what else cfg points to
// must not change while the instance lives.
func New(cfg Config) *Host {
	if cfg.WallClock == nil {
		cfg.WallClock = time.Now
	}
	if cfg.Monotonic == nil {
		start := time.Now()
		cfg.Monotonic = func() uint64 { return uint64(time.Since(start)) }
	}
	if cfg.Wait == nil {
		cfg.Wait = sleep(cfg.Monotonic)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.ChunkBytes == 0 {
		cfg.ChunkBytes = 64 << 10
	}
	cfg.ChunkBytes = max(cfg.ChunkBytes, flushBytes)
	if cfg.RandomBytes == 0 {
		cfg.RandomBytes = 1 << 20
	}
	if cfg.Pollables == 0 {
		cfg.Pollables = 1024
	}
	if cfg.OpenFiles == 0 {
		cfg.OpenFiles = 64
	}
	return &Host{cfg: cfg}
}

// ExitError is the cause of the trap that ends an instance which called exit.
type ExitError struct {
	Code uint8 // 0 is success
}

func (e *ExitError) Error() string { return fmt.Sprintf("wasi: guest exited with code %d", e.Code) }

// caller is what functions need of a *[component.Call].
type caller interface {
	Context() context.Context // made on demand: only what waits asks for it
}

// function is a host function as this package writes it.
type function func(c caller, args []value.Value) (value.Value, error)

// functions returns what this package implements, by interface without version
// and function.
func (h *Host) functions() map[string]map[string]function {
	none := answer(value.None())
	denied := answer(value.Err(value.Enum(accessDenied)))
	return map[string]map[string]function{
		"wasi:io/error":   errorFunctions(),
		"wasi:io/poll":    h.poll(),
		"wasi:io/streams": h.streams(),

		"wasi:clocks/monotonic-clock": h.monotonicClock(),
		"wasi:clocks/wall-clock":      h.wallClock(),

		"wasi:random/random":        {"get-random-bytes": h.randomBytes, "get-random-u64": h.randomU64},
		"wasi:random/insecure":      {"get-insecure-random-bytes": h.randomBytes, "get-insecure-random-u64": h.randomU64},
		"wasi:random/insecure-seed": {"insecure-seed": h.insecureSeed},

		"wasi:cli/environment":     h.environment(),
		"wasi:cli/exit":            exitFunctions(),
		"wasi:cli/stdin":           {"get-stdin": input(h.cfg.Stdin)},
		"wasi:cli/stdout":          {"get-stdout": output(h.cfg.Stdout)},
		"wasi:cli/stderr":          {"get-stderr": output(h.cfg.Stderr)},
		"wasi:cli/terminal-input":  nil,
		"wasi:cli/terminal-output": nil,
		"wasi:cli/terminal-stdin":  {"get-terminal-stdin": none},
		"wasi:cli/terminal-stdout": {"get-terminal-stdout": none},
		"wasi:cli/terminal-stderr": {"get-terminal-stderr": none},

		"wasi:filesystem/preopens": h.preopens(),
		"wasi:filesystem/types":    h.filesystem(),

		"wasi:sockets/network":           nil,
		"wasi:sockets/instance-network":  {"instance-network": answer(value.Own(network{}))},
		"wasi:sockets/ip-name-lookup":    {"resolve-addresses": denied},
		"wasi:sockets/tcp":               nil,
		"wasi:sockets/tcp-create-socket": {"create-tcp-socket": denied},
		"wasi:sockets/udp":               nil,
		"wasi:sockets/udp-create-socket": {"create-udp-socket": denied},

		"wasi:http/types":            httpTypes(),
		"wasi:http/outgoing-handler": {"handle": answer(value.Err(value.Variant(httpRequestDenied, nil)))},
	}
}

// network is an object of resource network, which gives the right to nothing.
type network struct{}

// accessDenied is the case of enum wasi:sockets/network error-code.
const accessDenied = 1

// answer returns a function that always returns v.
func answer(v value.Value) function {
	return func(caller, []value.Value) (value.Value, error) { return v, nil }
}

// Interfaces returns the interfaces that the host gives to its instance, in no
// particular order.
func (h *Host) Interfaces() []*component.Interface {
	functions, drops := h.functions(), h.drops()
	interfaces := make([]*component.Interface, 0, len(functions))
	for base, funcs := range functions {
		name := base + "@" + version
		declared, err := declarations().Interface(name)
		if err != nil {
			panic(err) // the table names what is declared: a test compares them
		}
		i := &component.Interface{
			Name:  name,
			Type:  declared,
			Funcs: make(map[string]component.HostFunc, len(funcs)),
			Drop:  drops[base],
		}
		for name, f := range funcs {
			i.Funcs[name] = func(c *component.Call, args []value.Value) (value.Value, error) {
				return f(c, args)
			}
		}
		interfaces = append(interfaces, i)
	}
	return interfaces
}
