// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package bench

import "time"

// CPU returns 0: this system is not asked for the processor time of a process.
func CPU() time.Duration { return 0 }
