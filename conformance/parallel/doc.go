// SPDX-License-Identifier: Apache-2.0

// Package parallel has the tests of what runs side by side, with real components:
// instances of one operation, and graphs of one process. What they measure is in
// conformance/bench/graph.
package parallel
