// SPDX-License-Identifier: Apache-2.0

// Package preview1 holds the adapter that answers wasi_snapshot_preview1 inside a
// component on top of WASI 0.2: a small core module, written by hand, and the
// types of the WASI interfaces that it imports.
//
// The adapter is built from adapter.wat with
//
//	wasm-tools parse adapter.wat -o adapter.wasm
//
// What it imports has the form in which toolchains name component functions:
// (interface, function), plus ("main", "memory"), the memory to work in, and
// ("shim", "quiet"), a mutable i32 that is not zero while no import may be called.
package preview1

import (
	_ "embed"

	"github.com/wasm-graph/graphd/engine/component/types"
)

// Module is the module name that core modules import preview1 functions from.
const Module = "wasi_snapshot_preview1"

//go:embed adapter.wasm
var adapter string

// Adapter returns a fresh copy of the adapter: a core module that exports every
// function of preview1.
func Adapter() []byte { return []byte(adapter) }

// Import names a function of a WASI interface, or "[resource-drop]" and a
// resource of it.
type Import struct{ Interface, Name string }

const version = "@0.2.0"

// The interfaces of WASI that the adapter imports.
const (
	ioError        = "wasi:io/error" + version
	ioPoll         = "wasi:io/poll" + version
	ioStreams      = "wasi:io/streams" + version
	monotonicClock = "wasi:clocks/monotonic-clock" + version
	wallClock      = "wasi:clocks/wall-clock" + version
	random         = "wasi:random/random" + version
	cliStdout      = "wasi:cli/stdout" + version
	cliStderr      = "wasi:cli/stderr" + version
	cliExit        = "wasi:cli/exit" + version
)

// Uses returns what the adapter may call to answer the named preview1 function.
// It is empty for most: they answer without asking anybody.
func Uses(function string) []Import {
	switch function {
	case "clock_time_get":
		return []Import{{monotonicClock, "now"}, {wallClock, "now"}}
	case "random_get":
		return []Import{{random, "get-random-u64"}}
	case "fd_write":
		return []Import{
			{ioError, "[resource-drop]error"},
			{ioStreams, "[method]output-stream.blocking-write-and-flush"},
			{cliStdout, "get-stdout"},
			{cliStderr, "get-stderr"},
		}
	case "poll_oneoff":
		return []Import{
			{ioPoll, "[method]pollable.block"},
			{ioPoll, "[resource-drop]pollable"},
			{monotonicClock, "now"},
			{monotonicClock, "subscribe-duration"},
			{wallClock, "now"},
		}
	case "proc_exit":
		return []Import{{cliExit, "exit"}}
	}
	return nil
}

// Interfaces returns the WASI interfaces that the adapter imports, each after
// those it uses: of every interface the part that the adapter needs, declared as
// WASI 0.2.0 publishes it.
func Interfaces() []types.Extern {
	var (
		u8  = &types.Type{Kind: types.U8}
		u32 = &types.Type{Kind: types.U32}
		u64 = &types.Type{Kind: types.U64}

		instant  = &types.Type{Kind: types.U64}
		duration = &types.Type{Kind: types.U64}

		failure      = &types.Resource{Name: "error"}
		pollable     = &types.Resource{Name: "pollable"}
		outputStream = &types.Resource{Name: "output-stream"}

		streamError = &types.Type{Kind: types.Variant, Fields: []types.Field{
			{Name: "last-operation-failed", Type: own(failure)},
			{Name: "closed"},
		}}
		datetime = &types.Type{Kind: types.Record, Fields: []types.Field{
			{Name: "seconds", Type: u64},
			{Name: "nanoseconds", Type: u32},
		}}
	)
	return []types.Extern{
		instance(ioError, resource(failure)),
		instance(ioPoll,
			resource(pollable),
			function("[method]pollable.block", nil, param("self", borrow(pollable)))),
		instance(ioStreams,
			resource(failure),
			resource(outputStream),
			value("stream-error", streamError),
			function("[method]output-stream.blocking-write-and-flush",
				&types.Type{Kind: types.Result, Err: streamError},
				param("self", borrow(outputStream)),
				param("contents", &types.Type{Kind: types.List, Elem: u8}))),
		instance(monotonicClock,
			resource(pollable),
			value("instant", instant),
			value("duration", duration),
			function("now", instant),
			function("subscribe-duration", own(pollable), param("when", duration))),
		instance(wallClock,
			value("datetime", datetime),
			function("now", datetime)),
		instance(random, function("get-random-u64", u64)),
		instance(cliStdout, resource(outputStream), function("get-stdout", own(outputStream))),
		instance(cliStderr, resource(outputStream), function("get-stderr", own(outputStream))),
		instance(cliExit, function("exit", nil, param("status", &types.Type{Kind: types.Result}))),
	}
}

func instance(name string, exports ...types.Extern) types.Extern {
	return types.Extern{Name: name, Sort: types.SortInstance, Instance: &types.Instance{Exports: exports}}
}

func resource(r *types.Resource) types.Extern {
	return types.Extern{Name: r.Name, Sort: types.SortType, Resource: r}
}

func value(name string, t *types.Type) types.Extern {
	return types.Extern{Name: name, Sort: types.SortType, Type: t}
}

func function(name string, result *types.Type, params ...types.Field) types.Extern {
	return types.Extern{Name: name, Sort: types.SortFunc, Func: &types.Func{Params: params, Result: result}}
}

func param(name string, t *types.Type) types.Field { return types.Field{Name: name, Type: t} }

func own(r *types.Resource) *types.Type { return &types.Type{Kind: types.Own, Resource: r} }

func borrow(r *types.Resource) *types.Type { return &types.Type{Kind: types.Borrow, Resource: r} }
