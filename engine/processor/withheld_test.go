// SPDX-License-Identifier: Apache-2.0

package processor_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/processor"
)

func TestWithheld(t *testing.T) {
	imports := []string{
		"wasm-graph:processor/logger@1.1.0", "wasi:clocks/wall-clock@0.2.6", "wasi:nn/tensor@0.2.0-rc-2024-10-28", "wasi:io/streams@0.2.0",
		"wasi:filesystem/types@0.2.0", "wasi:sockets/tcp@0.2.3", "wasi:http/outgoing-handler@0.2.0",
		"wasi:keyvalue/store@0.2.0-draft", "plant:line/press", "shout",
	}
	c := &types.Component{}
	for _, name := range imports {
		c.Imports = append(c.Imports, types.Extern{Name: name})
	}
	denied, unknown := processor.Withheld(c)
	if diff := cmp.Diff(imports[4:7], denied); diff != "" {
		t.Errorf("denied (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(imports[7:], unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
}
