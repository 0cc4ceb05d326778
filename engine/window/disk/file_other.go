// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package disk

import "os"

// unlock does nothing: Close is enough.
func unlock(*os.File) error { return nil }

// syncFolder does nothing: such systems have no way to.
func syncFolder(string) error { return nil }
