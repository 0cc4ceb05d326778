// SPDX-License-Identifier: Apache-2.0

package wasi

import "github.com/wasm-graph/graphd/engine/component/value"

// accessDenied is the case of enum wasi:sockets/network error-code.
const accessDenied = 1

func (h *Host) filesystemTypes() map[string]function {
	return map[string]function{
		// No stream here is one of a file, so no error has a code of one.
		"filesystem-error-code": none,
	}
}

func (h *Host) preopens() map[string]function {
	return map[string]function{
		"get-directories": func(caller, []value.Value) (value.Value, error) {
			return value.List(nil), nil
		},
	}
}

// network is an object of resource network, which gives the right to nothing.
type network struct{}

func (h *Host) instanceNetwork() map[string]function {
	return map[string]function{
		"instance-network": func(caller, []value.Value) (value.Value, error) {
			return value.Own(network{}), nil
		},
	}
}

func (h *Host) ipNameLookup() map[string]function {
	return map[string]function{"resolve-addresses": denied}
}

func (h *Host) tcpCreateSocket() map[string]function {
	return map[string]function{"create-tcp-socket": denied}
}

func (h *Host) udpCreateSocket() map[string]function {
	return map[string]function{"create-udp-socket": denied}
}

// denied is a function of wasi:sockets that answers with access-denied.
func denied(caller, []value.Value) (value.Value, error) {
	return value.Err(value.Enum(accessDenied)), nil
}
