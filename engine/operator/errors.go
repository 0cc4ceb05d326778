// SPDX-License-Identifier: Apache-2.0

package operator

import "errors"

// Refusal is an operator's own answer that it can't process a message.
type Refusal struct {
	Operation string
	Message   string // the guest's text
}

func (r *Refusal) Error() string { return "operation " + r.Operation + ": " + r.Message }

// ErrInit says that an operator refused its configuration.
var ErrInit = errors.New("init returned false")

// ErrDeadline says that a call ran longer than its deadline. The message that was
// in it is not tried again.
var ErrDeadline = errors.New("deadline exceeded")

// ErrMemory says that an operator asked for more memory than it is granted.
var ErrMemory = errors.New("memory limit exceeded")

// ErrStack says that an operator exhausted its call stack.
var ErrStack = errors.New("call stack exhausted")
