// SPDX-License-Identifier: Apache-2.0

// Package abi moves values between Go and the Component Model's canonical ABI, on
// the guest's side, for the types of wasm-graph:processor@1.1.0 and of wasi:nn.
//
// The ABI's layouts are Go structs (see layout.go): Go aligns their fields as the
// ABI does. A Memory turns addresses into pointers. In a component that is the
// module's own memory and nothing is copied; on other platforms, for the tests, it
// is a piece of memory that stands in for it.
//
// A Call is one call from the host: it lifts arguments, lowers the result and gives
// back to the host every buffer that the operator did not pass on.
package abi

// list is a list or string: an address and a number of elements or bytes.
type list struct{ address, length uint32 }

// content is a buffer-or-bytes or buffer-or-string.
type content struct {
	tag uint8 // contentBuffer or contentBytes
	_   [3]byte
	// The handle of a buffer is in address; length is of bytes only.
	list
}

const (
	contentBuffer = 0
	contentBytes  = 1
)

// optional is an option of a content.
type optional struct {
	some uint8
	_    [3]byte
	content
}

// stamp is a timestamp, the one inside messages.
type stamp struct {
	secs    uint64
	nanos   uint32
	_       [4]byte
	counter uint64
	node    content
	_       [4]byte
}

// clock is a hybrid-logical-clock.
type clock struct {
	secs    uint64
	nanos   uint32
	_       [4]byte
	counter uint64
	node    list
}

// optionalClock is an option of a hybrid-logical-clock.
type optionalClock struct {
	some uint8
	_    [7]byte
	clock
}

// property is a user property: a tuple of two buffer-or-string.
type property struct{ key, value content }

// message is a message.
type message struct {
	stamp       stamp
	topic       content
	contentType optional
	payload     content
	properties  list // of property
	hasSchema   uint8
	_           [3]byte
	schemaTag   uint8 // schemaReference or schemaInline
	_           [3]byte
	// The reference of a schema is in name; content is of inline schemas only.
	schemaName    content
	schemaContent content
}

const (
	schemaReference = 0
	schemaInline    = 1
)

// snapshot is a snapshot.
type snapshot struct {
	stamp         stamp
	format        content
	width, height uint32
	frame         content
}

// data is a data-model. The case is at the beginning of payload, which is as large
// and as aligned as the largest case, message.
type data struct {
	tag     uint8
	_       [7]byte
	payload [15]uint64
}

const (
	dataBytes    = 0 // a content
	dataMessage  = 1
	dataSnapshot = 2
)

// The arguments of the process functions, which are too many to be passed flat.
type (
	branchArguments struct {
		at clock
		in data
	}
	delayArguments struct {
		in data
		at clock
	}
	accumulateArguments struct {
		staged data
		in     list // of data
	}
)

// The cases of a result.
const (
	resultOK  = 0
	resultErr = 1
)

// resultData is a result<data-model, error>.
type resultData struct {
	tag uint8
	_   [7]byte
	ok  data
}

// resultClock is a result<hybrid-logical-clock, error>.
type resultClock struct {
	tag uint8
	_   [7]byte
	ok  clock
}

// wideError overlays those two where they hold an error.
type wideError struct {
	tag     uint8
	_       [7]byte
	message list
}

// resultBool is a result<bool, error>. A bool is at the beginning of message.
type resultBool struct {
	tag     uint8
	_       [3]byte
	message list
}

// moduleSchema is a module-schema.
type moduleSchema struct{ name, contentType, content list }

// parameter is an element of a module-configuration's properties.
type parameter struct{ key, value list }

// label is a label of a metric.
type label struct{ key, value list }

// metricsResult is a result<_, metrics-error>.
type metricsResult struct {
	tag  uint8
	_    [3]byte
	kind uint8 // metricsIncompatible or metricsLock
	_    [3]byte
	text list
}

const (
	metricsIncompatible = 0
	metricsLock         = 1
)

// duration is a duration of the state store.
type duration struct {
	seconds uint64
	nanos   uint32
	_       [4]byte
}

// optionalDuration is an option of a duration.
type optionalDuration struct {
	some uint8
	_    [7]byte
	duration
}

// setArguments are the arguments of state-store.set, one too many to be passed flat.
type setArguments struct {
	key, value list
	timeout    optionalDuration
	fencing    optionalClock
	condition  uint8
	_          [7]byte
	expires    optionalDuration
}

// storeError overlays the three results below where they hold an error, a
// state-store-error.
type storeError struct {
	tag  uint8
	_    [7]byte
	kind uint8 // storeRequest, storeTimeout, storeProtocol or storeInternal
	_    [3]byte
	text list // of storeRequest only
}

const (
	storeRequest  = 0
	storeTimeout  = 1
	storeProtocol = 2
	storeInternal = 3
)

// getResult is a result<state-store-get-response, state-store-error>.
type getResult struct {
	tag     uint8
	_       [7]byte
	found   uint8
	_       [3]byte
	value   list
	version optionalClock
}

// setResult is a result<state-store-set-response, state-store-error>.
type setResult struct {
	tag     uint8
	_       [7]byte
	applied uint8
	_       [7]byte
	version optionalClock
}

// deleteResult is a result<state-store-del-response, state-store-error>.
type deleteResult struct {
	tag     uint8
	_       [7]byte
	removed int64
	version optionalClock
}

// namedTensor is a named-tensor.
type namedTensor struct {
	name   list
	tensor uint32 // a handle
}

// handleResult is a result<own, own>: of graph.load and init-execution-context.
type handleResult struct {
	tag    uint8
	_      [3]byte
	handle uint32 // of an error, if the tag says so
}

// computeResult is a result<list<named-tensor>, error>.
type computeResult struct {
	tag uint8
	_   [3]byte
	// The handle of an error is in address.
	list
}
