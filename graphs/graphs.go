// SPDX-License-Identifier: Apache-2.0

// Package graphs is the definitions that come with graphd, as files and embedded.
package graphs

import "embed"

// Files holds the definitions, by file name.
//
//go:embed *.yaml
var Files embed.FS
