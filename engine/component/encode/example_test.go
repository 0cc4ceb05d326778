// SPDX-License-Identifier: Apache-2.0

package encode_test

import (
	"context"
	"fmt"
	"log"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/encode"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

// Make a component of a core module, as a compiler leaves it, and run it.
func ExampleComponent() {
	// (module (func (export "add") (param i32 i32) (result i32)
	//   (i32.add (local.get 0) (local.get 1))))
	module := []byte("\x00asm\x01\x00\x00\x00\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\x00" +
		"\x07\x07\x01\x03add\x00\x00\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b")
	packages, err := wit.ParseText("sums.wit", `
		package example:sums;
		world sums {
			export add: func(a: u32, b: u32) -> u32;
		}`)
	if err != nil {
		log.Fatal(err)
	}
	world, err := packages.World("sums")
	if err != nil {
		log.Fatal(err)
	}
	wasm, err := encode.Component(module, world, encode.Options{})
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	engine, err := wazero.New(ctx, wazero.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close(ctx)
	runtime, err := component.New(component.Config{Engine: engine})
	if err != nil {
		log.Fatal(err)
	}
	c, err := runtime.Compile(ctx, "sums", wasm)
	if err != nil {
		log.Fatal(err)
	}
	i, err := c.Instantiate(ctx, component.InstanceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer i.Close(ctx)
	fmt.Println(i.Func("", "add").Call(ctx, value.U32(40), value.U32(2)))
	// Output: 42 <nil>
}
