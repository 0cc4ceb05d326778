// SPDX-License-Identifier: Apache-2.0

package processor

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wasi"
	witparser "github.com/wasm-graph/graphd/engine/component/wit"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/nn/wasinn"
	"github.com/wasm-graph/graphd/engine/operator"
	"github.com/wasm-graph/graphd/wit"
)

func (e Environment) withDefaults() Environment {
	if e.Logger == nil {
		e.Logger = slog.New(slog.DiscardHandler)
	}
	if e.Meter == nil {
		e.Meter = noop.Meter{}
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.LogRate == 0 {
		e.LogRate = 100
	}
	if e.BufferBorder == 0 {
		e.BufferBorder = 4096
	}
	return e
}

// host is what one instance gets of the world.
type host struct {
	env         Environment
	log         *guestLog
	instruments instruments
	stdout      lineWriter
	stderr      lineWriter
	directories []wasi.Preopen
	variables   [][2]string
}

// newHost opens the directories that the operator may use; close closes them.
func newHost(config operator.Config, env Environment) (*host, error) {
	log := newGuestLog(env.Logger.With("graph", config.Graph, "operation", config.Operation), env.Now, env.LogRate)
	h := &host{
		env: env, log: log, instruments: newInstruments(env.Meter, config),
		stdout: lineWriter{log: log, stream: "stdout", level: slog.LevelInfo},
		stderr: lineWriter{log: log, stream: "stderr", level: slog.LevelWarn},
	}
	if err := h.grant(env.Allow); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// grant opens what is allowed.
func (h *host) grant(g operator.Grant) error {
	for _, v := range g.Variables {
		if v.Inherit {
			var set bool
			if v.Value, set = os.LookupEnv(v.Name); !set {
				return fmt.Errorf("allow variable %s: it is not set (give it a value: env:%[1]s=VALUE)", v.Name)
			}
		}
		h.variables = append(h.variables, [2]string{v.Name, v.Value})
	}
	for _, d := range g.Directories {
		root, err := os.OpenRoot(d.Path)
		if err != nil {
			return fmt.Errorf("allow directory: %w", err)
		}
		h.directories = append(h.directories, wasi.Preopen{Name: d.Name, Root: root, Write: d.Write})
	}
	return nil
}

// close writes what the guest left in the middle of a line, and closes the
// directories. The instance must be closed.
func (h *host) close() error {
	h.stdout.flush()
	h.stderr.flush()
	h.log.close()
	var errs []error
	for _, d := range h.directories {
		errs = append(errs, d.Root.Close())
	}
	return errors.Join(errs...)
}

// interfaces returns everything that an operator may import.
func (h *host) interfaces() []*component.Interface {
	system := wasi.New(wasi.Config{
		Stdout: &h.stdout, Stderr: &h.stderr,
		WallClock: h.env.Now, Monotonic: h.env.Monotonic, Wait: h.env.Wait,
		Random: h.env.Random, Env: h.variables, Preopens: h.directories,
	})
	given := system.Interfaces()
	if h.env.NN != nil {
		models := wasinn.New(wasinn.Config{Backend: h.env.NN, Failed: func(err error) {
			h.log.write(slog.LevelError, "wasi:nn", err.Error())
		}})
		given = append(given, models.Interfaces()...)
	}
	for name, funcs := range map[string]map[string]component.HostFunc{
		"hybrid-logical-clock": nil,
		"types":                {"[method]buffer.read": readBuffer},
		"logger":               {"log": h.log.call},
		"metrics":              h.instruments.funcs(),
		"state-store-types":    nil,
		"state-store":          h.stateStore(),
		"schema-types":         nil,
		"schema-registry":      {"get": noSchemaRegistry},
		"rpc-types":            nil,
		"command-invoker":      commandInvoker(),
	} {
		name = worldPackage + name + worldVersion
		given = append(given, &component.Interface{Name: name, Type: interfaceType(name), Funcs: funcs})
	}
	return given
}

// declarations are the interfaces of the processor package, by full name.
var declarations = sync.OnceValue(func() map[string]*types.Instance {
	set, err := witparser.Parse(wit.Processor())
	if err != nil {
		panic(err) // the embedded WIT is wrong: no test of this package would pass
	}
	all := map[string]*types.Instance{}
	for _, name := range set.Interfaces() {
		if all[name], err = set.Interface(name); err != nil {
			panic(err)
		}
	}
	return all
})

// interfaceType returns the published type of an interface of the processor
// package, nil where it has none of that name.
func interfaceType(name string) *types.Instance { return declarations()[name] }

// readBuffer is types.buffer.read.
func readBuffer(_ *component.Call, args []value.Value) (value.Value, error) {
	return value.Bytes(args[0].Object().(*buffer).data), nil
}

// noSchemaRegistry is schema-registry.get where there is no registry.
func noSchemaRegistry(*component.Call, []value.Value) (value.Value, error) {
	return value.Err(value.Variant(schemaErrorNotAvailable, nil)), nil
}

// schemaErrorNotAvailable is the case of schema-error.
const schemaErrorNotAvailable = 4

// rpcErrorClient is client-error, the case of rpc-error that comes nearest to
// "there is no command invoker here".
const rpcErrorClient = 3

// commandInvoker is command-invoker where there is none: requests and options can
// be built, and new-invoker answers with an error.
func commandInvoker() map[string]component.HostFunc {
	funcs := map[string]component.HostFunc{
		"new-invoker": func(*component.Call, []value.Value) (value.Value, error) {
			return value.Err(value.Variant(rpcErrorClient, nil)), nil
		},
		"[method]command-invoker.invoke": func(*component.Call, []value.Value) (value.Value, error) {
			return value.Err(value.Variant(rpcErrorClient, nil)), nil
		},
	}
	for builder, methods := range map[string][]string{
		"command-request-builder": {"payload", "custom-user-data", "topic-tokens", "timeout", "build"},
		"command-invoker-options-builder": {"request-topic-pattern", "response-topic-pattern", "command-name",
			"topic-namespace", "topic-token-map", "response-topic-prefix", "response-topic-suffix", "build"},
	} {
		funcs["[constructor]"+builder] = func(*component.Call, []value.Value) (value.Value, error) {
			return value.Own(unused{}), nil
		}
		for _, m := range methods {
			funcs["[method]"+builder+"."+m] = func(*component.Call, []value.Value) (value.Value, error) {
				return value.Ok(value.Own(unused{})), nil
			}
		}
	}
	return funcs
}

// unused is the object of a handle that leads to nothing.
type unused struct{}

// clockValue is t as a hybrid-logical-clock.
func clockValue(t hlc.Timestamp) value.Value {
	var b [24]byte
	putTime(b[:], t)
	return value.Record(
		value.Record(value.U64(le.Uint64(b[:])), value.U32(le.Uint32(b[8:]))),
		value.U64(t.Counter), value.String(t.Node))
}

// clockOf is the time of a hybrid-logical-clock.
func clockOf(v value.Value) (hlc.Timestamp, error) {
	var b [24]byte
	le.PutUint64(b[:], v.Field(0).Field(0).U64())
	le.PutUint32(b[8:], v.Field(0).Field(1).U32())
	le.PutUint64(b[16:], v.Field(1).U64())
	t, err := getTime(b[:])
	t.Node = string([]byte(v.Field(2).Str())) // the argument's bytes are the guest's
	return t, err
}
