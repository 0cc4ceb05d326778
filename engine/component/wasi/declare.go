// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"embed"
	"fmt"
	"io/fs"
	"sync"

	"github.com/wasm-graph/graphd/engine/component/wit"
)

// One folder a package, as published but for the comments.
//
//go:embed wit/*/*.wit
var files embed.FS

// declarations returns the declarations of WASI, read at the first call.
var declarations = sync.OnceValue(func() *wit.Packages {
	dir, err := fs.Sub(files, "wit")
	if err == nil {
		var p *wit.Packages
		if p, err = wit.Parse(dir); err == nil {
			return p
		}
	}
	panic(fmt.Errorf("wasi: read own declarations: %w", err)) // a test reads them all
})
