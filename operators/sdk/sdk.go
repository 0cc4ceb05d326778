// SPDX-License-Identifier: Apache-2.0

// Package sdk is for writing graph operators in Go: WebAssembly components of the
// world wasm-graph:processor@1.1.0, built with nothing but the Go toolchain.
//
// An operator is a main package. Which interfaces its component exports is decided
// by the packages it imports, one per kind of operator: mapper, filter, branch,
// delay and accumulate. Each is given one function that opens the operator:
//
//	package main
//
//	func main() {} // never runs, but a main package needs one
//
//	func init() { mapper.Handle(open) }
//
//	func open(host *sdk.Host) (mapper.Func, error) {
//		suffix := host.Config.Text("suffix", "/processed")
//		return func(in sdk.Data) (sdk.Data, error) {
//			m, err := sdk.AsMessage(in)
//			if err != nil {
//				return nil, err
//			}
//			m.Topic = sdk.Text(m.Topic.String() + suffix)
//			return m, nil
//		}, nil
//	}
//
// The runtime calls open once, before anything else. An error is logged and
// refuses the configuration: the graph does not start. From then on it calls the
// function that open returned, once per item, never two at a time. An error from
// it, or a panic, drops that item and names the cause; the operator goes on.
//
// All that an operator may ask of the runtime comes through its Host: the
// configuration, the log, metrics, the state store and neural networks. Nothing is global, so a unit
// test is plain Go: package sdktest makes a Host that lives in memory, and go test
// runs operators on the machine at hand.
//
// Goroutines, time.Sleep and the standard library work. The clock and randomness
// are the runtime's; there are no files, sockets or environment. What is printed to
// stdout and stderr ends up in the log. A goroutine only runs while a call is in
// progress, so whoever starts one waits for it before returning.
package sdk

// Host is the runtime as one operator sees it. It is made by the runtime, or by
// package sdktest, and stays valid for the operator's whole life.
type Host struct {
	Config  Config
	Log     *Logger
	Metrics *Metrics
	Store   *Store
	Models  *Models
}

// NewHost returns a Host over imports. Its logger's context is context. Operators
// are handed theirs; this is for package sdktest and for what glues the SDK to a
// runtime.
func NewHost(imports Imports, config Config, context string) *Host {
	return &Host{
		Config:  config,
		Log:     &Logger{imports: imports, context: context},
		Metrics: &Metrics{imports: imports},
		Store:   &Store{imports: imports},
		Models:  &Models{imports: imports},
	}
}

// Imports are the functions that the processor world offers to a component, one
// method each, and what wasi:nn does, in Go's types. Slices that go in are not retained; those that come
// out belong to the caller.
type Imports interface {
	Log(level Level, context, message string)

	AddToCounter(name string, value uint64, labels []Label) error
	RecordFloat(name string, value float64, labels []Label) error
	RecordUint(name string, value uint64, labels []Label) error

	StoreGet(key []byte, o GetOptions) (Entry, error)
	StoreSet(key, value []byte, o SetOptions) (SetResult, error)
	StoreDelete(key []byte, o DeleteOptions) (DeleteResult, error)
	// StoreDeleteValue deletes key if it holds exactly value.
	StoreDeleteValue(key, value []byte, o DeleteOptions) (DeleteResult, error)

	// ModelLoad returns a number for ModelCompute and ModelDrop.
	ModelLoad(onnx []byte) (uint32, error)
	ModelCompute(model uint32, inputs []NamedTensor) ([]NamedTensor, error)
	ModelDrop(model uint32)
}
