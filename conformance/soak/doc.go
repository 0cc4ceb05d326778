// SPDX-License-Identifier: Apache-2.0

// Package soak runs a graph for ten days, in about a minute: the clock is that of
// testing/synctest. Its tests have the build tag soak; "make soak" runs them.
package soak
