// SPDX-License-Identifier: Apache-2.0

// Package transfer measures pushing and pulling a large component beside what bare
// oras-go does for the same; "go test -bench ." runs it.
package transfer
