// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/wasm-graph/graphd/engine/component"

// hostInterfaces returns what scripts may import.
func hostInterfaces() []*component.Interface { return nil }
