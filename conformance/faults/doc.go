// SPDX-License-Identifier: Apache-2.0

// Package faults has networks, brokers, certificates and graphd itself fail while numbers
// pass from one broker to another, and looks for those that are missing or out of order. Its
// tests run with the tag services, since they need a broker that is not ours; but for that of
// tokens, which needs one that understands them.
package faults
