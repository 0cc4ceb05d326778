// SPDX-License-Identifier: Apache-2.0

package state

// The texts of a RequestError, as the protocol spells them.
const (
	TextTimeAhead      = "the request timestamp is too far in the future; ensure that the client and broker system clocks are synchronized"
	TextFencingMissing = "a fencing token is required for this request"
	TextFencingAhead   = "the request fencing token timestamp is too far in the future; ensure that the client and broker system clocks are synchronized"
	TextFencingLower   = "the request fencing token is a lower version than the fencing token protecting the resource"
	TextQuota          = "the quota has been exceeded"
	TextSyntax         = "syntax error"
	TextKeyEmpty       = "the key length is zero"
)
