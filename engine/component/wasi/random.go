// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/wasm-graph/graphd/engine/component/value"
)

// insecureSeed returns the same at every call.
func (h *Host) insecureSeed(caller, []value.Value) (value.Value, error) {
	if h.cfg.InsecureSeed == [2]uint64{} {
		p, err := h.draw(16)
		if err != nil {
			return value.Value{}, err
		}
		h.cfg.InsecureSeed = [2]uint64{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])}
	}
	return value.Tuple(value.U64(h.cfg.InsecureSeed[0]), value.U64(h.cfg.InsecureSeed[1])), nil
}

func (h *Host) randomBytes(_ caller, args []value.Value) (value.Value, error) {
	n := args[0].U64()
	if n > uint64(h.cfg.RandomBytes) {
		return value.Value{}, fmt.Errorf("wasi: get %d random bytes: at most %d are allowed", n, h.cfg.RandomBytes)
	}
	p, err := h.draw(int(n))
	return value.Bytes(p), err
}

func (h *Host) randomU64(caller, []value.Value) (value.Value, error) {
	p, err := h.draw(8)
	if err != nil {
		return value.Value{}, err
	}
	return value.U64(binary.LittleEndian.Uint64(p)), nil
}

// draw returns the next n bytes of the random source.
func (h *Host) draw(n int) ([]byte, error) {
	p := make([]byte, n)
	if _, err := io.ReadFull(h.cfg.Random, p); err != nil {
		return nil, fmt.Errorf("wasi: get random bytes: %w", err)
	}
	return p, nil
}
