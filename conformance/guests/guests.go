// SPDX-License-Identifier: Apache-2.0

// Package guests holds operators written in many languages, which tests run: proof
// that the component runtime takes what the toolchains of those languages make, and,
// of those that misbehave, that it survives them.
//
// Each folder is one language, with the sources and the way they are built; the
// Makefile builds them all, toolchains included, and "make check-guests" at the top
// runs them. The core modules built from C are small enough to be kept here too, so
// that tests that need only Go can have a guest.
package guests

import _ "embed"

//go:embed c/testdata/map.wasm
var mapModule string

//go:embed c/testdata/hostile.wasm
var hostileModule string

// Map returns a core module that fits world map-impl, built from c/map.c: it turns
// ASCII letters of a message's payload into upper case and passes on the rest.
func Map() []byte { return []byte(mapModule) }

// Hostile returns a core module that fits world map-impl, built from c/hostile.c:
// the topic of a message says how it misbehaves. See there for the topics.
func Hostile() []byte { return []byte(hostileModule) }
