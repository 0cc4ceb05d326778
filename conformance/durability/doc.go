// SPDX-License-Identifier: Apache-2.0

// Package durability kills graphd, and looks for what is missing. Its tests run with
// the tag services: they need a broker that is not ours.
package durability
