// SPDX-License-Identifier: Apache-2.0

package wasi_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wasi"
)

// Give an instance standard input and output, and nothing else but clocks and
// randomness. Each instance has a Host of its own.
func Example() {
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
	wasm, err := wasi.GuestComponent() // or os.ReadFile
	if err != nil {
		log.Fatal(err)
	}
	c, err := runtime.Compile(ctx, "guest", wasm)
	if err != nil {
		log.Fatal(err)
	}

	host := wasi.New(wasi.Config{
		Stdin:  strings.NewReader("to be copied\n"),
		Stdout: os.Stdout,
	})
	i, err := c.Instantiate(ctx, component.InstanceConfig{Imports: host.Interfaces()})
	if err != nil {
		log.Fatal(err)
	}
	defer i.Close(ctx)
	n, err := i.Func("", "copy").Call(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "bytes")

	_, err = i.Func("", "exit").Call(ctx, value.U8(3))
	var exit *wasi.ExitError
	fmt.Println(errors.As(err, &exit), exit.Code)
	// Output:
	// to be copied
	// 13 bytes
	// true 3
}
