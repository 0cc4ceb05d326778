// SPDX-License-Identifier: Apache-2.0

package component

import (
	"fmt"

	"github.com/wasm-graph/graphd/engine/component/binary"
	"github.com/wasm-graph/graphd/engine/component/link"
	"github.com/wasm-graph/graphd/engine/component/rewrite"
	"github.com/wasm-graph/graphd/engine/component/types"
)

// Description is what a component is made of.
type Description struct {
	Type        *types.Component // imports and exports
	CoreModules []CoreModule     // in the order of instantiation, without those that the host gives
	Instances   int              // component instances, nested ones included
	Size        int              // of the component, in bytes
}

// CoreModule describes a core module of a component.
type CoreModule struct {
	Name     string          // from its name section, often empty
	Offset   int             // in the component
	Size     int             // in bytes
	Memories []rewrite.Range // those it defines, in pages of 64 KiB
	Features []string        // beyond WebAssembly 1.0, as rewrite.Module.Features has them
}

// Describe decodes, checks and links a component without compiling it.
func Describe(data []byte) (*Description, error) {
	d, err := describe(data)
	if err != nil {
		return nil, fmt.Errorf("component: describe: %w", err)
	}
	return d, nil
}

func describe(data []byte) (*Description, error) {
	decoded, err := binary.Decode(data)
	if err != nil {
		return nil, err
	}
	plan, err := link.Link(decoded, rewrite.Limits{})
	if err != nil {
		return nil, err
	}
	d := &Description{Type: plan.Type, Instances: plan.Instances, Size: len(data)}
	for _, step := range plan.Steps {
		s, ok := step.(*link.Instantiate)
		if !ok || s.Added || s.From != nil {
			continue
		}
		m := s.Module
		d.CoreModules = append(d.CoreModules, CoreModule{
			Name: m.Name, Offset: s.Offset, Size: s.Size, Memories: m.Memories, Features: m.Features(),
		})
	}
	return d, nil
}
