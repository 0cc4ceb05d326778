// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"encoding/binary"

	"github.com/wasm-graph/graphd/engine/component/core"
)

func appendUint(b []byte, n uint32) []byte { return binary.AppendUvarint(b, uint64(n)) }

// appendInt appends n as a signed number, as indexes in value types and constants are.
func appendInt(b []byte, n int64) []byte {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if (n == 0 && c&0x40 == 0) || (n == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, s string) []byte { return append(appendUint(b, uint32(len(s))), s...) }

// appendExternName appends the name of a component's import or export.
func appendExternName(b []byte, s string) []byte { return appendName(append(b, 0), s) }

func appendFuncType(b []byte, t core.FuncType) []byte {
	b = append(b, 0x60)
	for _, list := range [][]core.ValueType{t.Params, t.Results} {
		b = appendUint(b, uint32(len(list)))
		for _, v := range list {
			b = append(b, byte(v))
		}
	}
	return b
}

// vector collects the elements of a vector.
type vector struct {
	count uint32
	items []byte
}

func (v *vector) add(item []byte) {
	v.count++
	v.items = append(v.items, item...)
}

func (v *vector) append(b []byte) []byte { return append(appendUint(b, v.count), v.items...) }

// sections writes the sections of a module or component. Definitions of one kind
// that follow each other share a section.
type sections struct {
	out  []byte
	id   byte
	open vector
}

// add adds a definition to a section that is a vector of them.
func (s *sections) add(id byte, definition []byte) {
	if id != s.id {
		s.flush()
		s.id = id
	}
	s.open.add(definition)
}

// whole adds a section that is no vector.
func (s *sections) whole(id byte, body []byte) {
	s.flush()
	s.out = append(s.out, id)
	s.out = append(appendUint(s.out, uint32(len(body))), body...)
}

func (s *sections) flush() {
	if s.open.count > 0 {
		body, id := s.open.append(nil), s.id
		s.open, s.id = vector{}, 0
		s.whole(id, body)
	}
}

// bytes ends the last section and returns all of them.
func (s *sections) bytes() []byte {
	s.flush()
	return s.out
}
