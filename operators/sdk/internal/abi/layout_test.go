// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"testing"
	"unsafe"
)

// A shape is a type's size and alignment by the rules of the canonical ABI, worked
// out here from the WIT declarations, without a look at the structs.
type shape struct {
	size, align uintptr
	fields      []uintptr // a record's offsets; of a variant, the payload's
}

func alignTo(n, align uintptr) uintptr { return (n + align - 1) / align * align }

func scalar(size uintptr) shape { return shape{size: size, align: size} }

func record(fields ...shape) shape {
	s := shape{align: 1}
	for _, f := range fields {
		s.size = alignTo(s.size, f.align)
		s.fields = append(s.fields, s.size)
		s.size += f.size
		s.align = max(s.align, f.align)
	}
	s.size = alignTo(s.size, s.align)
	return s
}

// variant has a one-byte discriminant, as all variants of the world have.
func variant(cases ...shape) shape {
	s := shape{size: 1, align: 1}
	var largest uintptr
	for _, c := range cases {
		s.align = max(s.align, c.align)
		largest = max(largest, c.size)
	}
	offset := alignTo(1, s.align)
	s.fields = []uintptr{offset}
	s.size = alignTo(offset+largest, s.align)
	return s
}

var (
	u8, u32, u64 = scalar(1), scalar(4), scalar(8)
	none         = shape{align: 1}
	listShape    = record(u32, u32) // list and string
	handle       = u32
	bufferOr     = variant(handle, listShape)
	timespec     = record(u64, u32)
	hlc          = record(timespec, u64, listShape)
	timestamp    = record(timespec, u64, bufferOr)
	inlineSchema = record(bufferOr, bufferOr)
	schema       = variant(bufferOr, inlineSchema)
	properties   = record(listShape)
	messageShape = record(timestamp, bufferOr, option(bufferOr), bufferOr, properties, option(schema))
	snap         = record(timestamp, bufferOr, u32, u32, bufferOr)
	dataModel    = variant(bufferOr, messageShape, snap)
	errorShape   = record(listShape)
	durationWIT  = record(u64, u32)
	metricsError = variant(listShape, listShape)
	stateError   = variant(listShape, none, none, none)
	getResponse  = record(option(listShape), option(hlc))
	setResponse  = record(u8, option(hlc))
	delResponse  = record(u64, option(hlc))
	setOptions   = record(u8, option(durationWIT))
	setParams    = record(listShape, listShape, option(durationWIT), option(hlc), setOptions)
)

func option(s shape) shape { return variant(none, s) }

func TestLayouts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		want     shape
		gotSize  uintptr
		bytes    uintptr // the size again, as a figure to read
		gotAlign uintptr
	}{
		{"list", listShape, unsafe.Sizeof(list{}), 8, unsafe.Alignof(list{})},
		{"buffer-or-bytes", bufferOr, unsafe.Sizeof(content{}), 12, unsafe.Alignof(content{})},
		{"option<buffer-or-string>", option(bufferOr), unsafe.Sizeof(optional{}), 16, unsafe.Alignof(optional{})},
		{"timestamp", timestamp, unsafe.Sizeof(stamp{}), 40, unsafe.Alignof(stamp{})},
		{"hybrid-logical-clock", hlc, unsafe.Sizeof(clock{}), 32, unsafe.Alignof(clock{})},
		{"option<hybrid-logical-clock>", option(hlc), unsafe.Sizeof(optionalClock{}), 40, unsafe.Alignof(optionalClock{})},
		{"user property", record(bufferOr, bufferOr), unsafe.Sizeof(property{}), 24, unsafe.Alignof(property{})},
		{"message", messageShape, unsafe.Sizeof(message{}), 120, unsafe.Alignof(message{})},
		{"snapshot", snap, unsafe.Sizeof(snapshot{}), 72, unsafe.Alignof(snapshot{})},
		{"data-model", dataModel, unsafe.Sizeof(data{}), 128, unsafe.Alignof(data{})},
		{"branch arguments", record(hlc, dataModel), unsafe.Sizeof(branchArguments{}), 160, unsafe.Alignof(branchArguments{})},
		{"delay arguments", record(dataModel, hlc), unsafe.Sizeof(delayArguments{}), 160, unsafe.Alignof(delayArguments{})},
		{"accumulate arguments", record(dataModel, listShape), unsafe.Sizeof(accumulateArguments{}), 136, unsafe.Alignof(accumulateArguments{})},
		{"result<data-model, error>", variant(dataModel, errorShape), unsafe.Sizeof(resultData{}), 136, unsafe.Alignof(resultData{})},
		{"result<bool, error>", variant(u8, errorShape), unsafe.Sizeof(resultBool{}), 12, unsafe.Alignof(resultBool{})},
		{"result<hybrid-logical-clock, error>", variant(hlc, errorShape), unsafe.Sizeof(resultClock{}), 40, unsafe.Alignof(resultClock{})},
		{"module-schema", record(listShape, listShape, listShape), unsafe.Sizeof(moduleSchema{}), 24, unsafe.Alignof(moduleSchema{})},
		{"parameter", record(listShape, listShape), unsafe.Sizeof(parameter{}), 16, unsafe.Alignof(parameter{})},
		{"label", record(listShape, listShape), unsafe.Sizeof(label{}), 16, unsafe.Alignof(label{})},
		{"result<_, metrics-error>", variant(none, metricsError), unsafe.Sizeof(metricsResult{}), 16, unsafe.Alignof(metricsResult{})},
		{"option<duration>", option(durationWIT), unsafe.Sizeof(optionalDuration{}), 24, unsafe.Alignof(optionalDuration{})},
		{"set arguments", setParams, unsafe.Sizeof(setArguments{}), 112, unsafe.Alignof(setArguments{})},
		{"get result", variant(getResponse, stateError), unsafe.Sizeof(getResult{}), 64, unsafe.Alignof(getResult{})},
		{"set result", variant(setResponse, stateError), unsafe.Sizeof(setResult{}), 56, unsafe.Alignof(setResult{})},
		{"del result", variant(delResponse, stateError), unsafe.Sizeof(deleteResult{}), 56, unsafe.Alignof(deleteResult{})},
		{"named-tensor", record(listShape, handle), unsafe.Sizeof(namedTensor{}), 12, unsafe.Alignof(namedTensor{})},
		{"result<graph, error>", variant(handle, handle), unsafe.Sizeof(handleResult{}), 8, unsafe.Alignof(handleResult{})},
		{"result<list<named-tensor>, error>", variant(listShape, handle), unsafe.Sizeof(computeResult{}), 12, unsafe.Alignof(computeResult{})},
	} {
		if tt.gotSize != tt.want.size || tt.gotSize != tt.bytes || tt.gotAlign != tt.want.align {
			t.Errorf("%s: struct has size %d, align %d; the ABI says %d, %d; expected size %d",
				tt.name, tt.gotSize, tt.gotAlign, tt.want.size, tt.want.align, tt.bytes)
		}
	}
}

func TestOffsets(t *testing.T) {
	payloadOf := func(v shape) uintptr { return v.fields[0] }
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"buffer-or-bytes payload", unsafe.Offsetof(content{}.list), payloadOf(bufferOr)},
		{"option payload", unsafe.Offsetof(optional{}.content), payloadOf(option(bufferOr))},
		{"timestamp.counter", unsafe.Offsetof(stamp{}.counter), timestamp.fields[1]},
		{"timestamp.node-id", unsafe.Offsetof(stamp{}.node), timestamp.fields[2]},
		{"timespec.nanos", unsafe.Offsetof(stamp{}.nanos), timespec.fields[1]},
		{"hlc.counter", unsafe.Offsetof(clock{}.counter), hlc.fields[1]},
		{"hlc.node-id", unsafe.Offsetof(clock{}.node), hlc.fields[2]},
		{"option<hlc> payload", unsafe.Offsetof(optionalClock{}.clock), payloadOf(option(hlc))},
		{"message.topic", unsafe.Offsetof(message{}.topic), messageShape.fields[1]},
		{"message.content-type", unsafe.Offsetof(message{}.contentType), messageShape.fields[2]},
		{"message.payload", unsafe.Offsetof(message{}.payload), messageShape.fields[3]},
		{"message.properties", unsafe.Offsetof(message{}.properties), messageShape.fields[4]},
		{"message.schema", unsafe.Offsetof(message{}.hasSchema), messageShape.fields[5]},
		{"message.schema case", unsafe.Offsetof(message{}.schemaTag), messageShape.fields[5] + payloadOf(option(schema))},
		{"message.schema name", unsafe.Offsetof(message{}.schemaName), messageShape.fields[5] + payloadOf(option(schema)) + payloadOf(schema)},
		{"message.schema content", unsafe.Offsetof(message{}.schemaContent), messageShape.fields[5] + payloadOf(option(schema)) + payloadOf(schema) + inlineSchema.fields[1]},
		{"snapshot.format", unsafe.Offsetof(snapshot{}.format), snap.fields[1]},
		{"snapshot.width", unsafe.Offsetof(snapshot{}.width), snap.fields[2]},
		{"snapshot.height", unsafe.Offsetof(snapshot{}.height), snap.fields[3]},
		{"snapshot.frame", unsafe.Offsetof(snapshot{}.frame), snap.fields[4]},
		{"data-model payload", unsafe.Offsetof(data{}.payload), payloadOf(dataModel)},
		{"branch message", unsafe.Offsetof(branchArguments{}.in), 32},
		{"delay timestamp", unsafe.Offsetof(delayArguments{}.at), 128},
		{"accumulate list", unsafe.Offsetof(accumulateArguments{}.in), 128},
		{"result<data-model> ok", unsafe.Offsetof(resultData{}.ok), payloadOf(variant(dataModel, errorShape))},
		{"result<hlc> ok", unsafe.Offsetof(resultClock{}.ok), payloadOf(variant(hlc, errorShape))},
		{"wide error", unsafe.Offsetof(wideError{}.message), payloadOf(variant(dataModel, errorShape))},
		{"result<bool> payload", unsafe.Offsetof(resultBool{}.message), payloadOf(variant(u8, errorShape))},
		{"metrics-error", unsafe.Offsetof(metricsResult{}.kind), payloadOf(variant(none, metricsError))},
		{"metrics-error text", unsafe.Offsetof(metricsResult{}.text), payloadOf(variant(none, metricsError)) + payloadOf(metricsError)},
		{"duration payload", unsafe.Offsetof(optionalDuration{}.duration), payloadOf(option(durationWIT))},
		{"set value", unsafe.Offsetof(setArguments{}.value), setParams.fields[1]},
		{"set timeout", unsafe.Offsetof(setArguments{}.timeout), setParams.fields[2]},
		{"set fencing", unsafe.Offsetof(setArguments{}.fencing), setParams.fields[3]},
		{"set condition", unsafe.Offsetof(setArguments{}.condition), setParams.fields[4]},
		{"set expires", unsafe.Offsetof(setArguments{}.expires), setParams.fields[4] + setOptions.fields[1]},
		{"get found", unsafe.Offsetof(getResult{}.found), payloadOf(variant(getResponse, stateError))},
		{"get value", unsafe.Offsetof(getResult{}.value), payloadOf(variant(getResponse, stateError)) + payloadOf(option(listShape))},
		{"get version", unsafe.Offsetof(getResult{}.version), payloadOf(variant(getResponse, stateError)) + getResponse.fields[1]},
		{"set version", unsafe.Offsetof(setResult{}.version), payloadOf(variant(setResponse, stateError)) + setResponse.fields[1]},
		{"del version", unsafe.Offsetof(deleteResult{}.version), payloadOf(variant(delResponse, stateError)) + delResponse.fields[1]},
		{"named-tensor handle", unsafe.Offsetof(namedTensor{}.tensor), record(listShape, handle).fields[1]},
		{"result<graph, error> payload", unsafe.Offsetof(handleResult{}.handle), payloadOf(variant(handle, handle))},
		{"result<list<named-tensor>, error> payload", unsafe.Offsetof(computeResult{}.list), payloadOf(variant(listShape, handle))},
		{"store error", unsafe.Offsetof(storeError{}.kind), payloadOf(variant(getResponse, stateError))},
		{"store error text", unsafe.Offsetof(storeError{}.text), payloadOf(variant(getResponse, stateError)) + payloadOf(stateError)},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is at %d, want %d", tt.name, tt.got, tt.want)
		}
	}
}
