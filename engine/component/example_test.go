// SPDX-License-Identifier: Apache-2.0

package component_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/component/cache"
	"github.com/wasm-graph/graphd/engine/component/core/wazero"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/component/wit"
)

// Load a component and call a function that it exports.
func Example() {
	ctx := context.Background()
	engine, err := wazero.New(ctx, wazero.Config{}) // one for the whole process
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close(ctx)
	runtime, err := component.New(component.Config{Engine: engine})
	if err != nil {
		log.Fatal(err)
	}

	wasm, err := os.ReadFile("testdata/text.wasm")
	if err != nil {
		log.Fatal(err)
	}
	c, err := runtime.Compile(ctx, "text", wasm) // once; then as many instances as you like
	if err != nil {
		log.Fatal(err)
	}
	i, err := c.Instantiate(ctx, component.InstanceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer i.Close(ctx)

	// half: func(n: u32) -> result<u32, u32>
	half := i.Func("", "half")
	fmt.Println(half.Call(ctx, value.U32(42)))
	fmt.Println(half.Call(ctx, value.U32(7)))

	// Of interface test:text/api: sum: func(list: list<u16>) -> u32
	sum := i.Func("test:text/api@0.1.0", "sum")
	total, err := sum.Call(ctx, value.List([]value.Value{value.U16(40_000), value.U16(50_000)}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(total.U32())
	// Output:
	// ok(21) <nil>
	// err(3) <nil>
	// 90000
}

// Give a component a function to call. Its type is written in WIT, and compared with
// what the component imports.
func ExampleInterface() {
	ctx := context.Background()
	c, closing := load("testdata/text.wasm")
	defer closing()

	host, err := wit.ParseText("host.wit", `
		package test:host@1.2.0;
		interface env {
			log: func(text: string);
		}`)
	if err != nil {
		log.Fatal(err)
	}
	env, err := host.Interface("env")
	if err != nil {
		log.Fatal(err)
	}
	i, err := c.Instantiate(ctx, component.InstanceConfig{
		Imports: []*component.Interface{{
			Name: "test:host/env@1.2.0",
			Type: env,
			Funcs: map[string]component.HostFunc{
				"log": func(_ *component.Call, args []value.Value) (value.Value, error) {
					fmt.Println("the guest says:", args[0].Str())
					return value.Value{}, nil // log has no result
				},
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer i.Close(ctx)

	greeting, err := i.Func("test:text/api@0.1.0", "greet").Call(ctx, value.String("gopher"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greeting)

	// What the component imports and nobody gives traps when it is called.
	_, err = i.Func("test:text/api@0.1.0", "newer").Call(ctx)
	fmt.Println(err)
	// Output:
	// the guest says: hello, gopher
	// "hello, gopher"
	// component text: test:text/api@0.1.0#newer: call of test:host/env@1.2.0#newer: the host does not provide it (in main.$7)
}

// Give a component objects of the host's own, as resources: the guest has handles, the
// host its own Go values, and learns when they are dropped.
func ExampleInterface_resource() {
	ctx := context.Background()
	c, closing := load("testdata/resources.wasm")
	defer closing()

	host, err := wit.ParseText("host.wit", `
		package test:host;
		interface files {
			resource file { size: func() -> u32; }
			open: func() -> file;
		}`)
	if err != nil {
		log.Fatal(err)
	}
	files, err := host.Interface("files")
	if err != nil {
		log.Fatal(err)
	}
	type file struct{ content string }
	i, err := c.Instantiate(ctx, component.InstanceConfig{
		Imports: []*component.Interface{{
			Name: "test:host/files",
			Type: files,
			Funcs: map[string]component.HostFunc{
				"open": func(*component.Call, []value.Value) (value.Value, error) {
					return value.Own(&file{"hello"}), nil
				},
				"[method]file.size": func(_ *component.Call, args []value.Value) (value.Value, error) {
					f := args[0].Object().(*file)
					return value.U32(uint32(len(f.content))), nil
				},
			},
			Drop: map[string]func(any){
				"file": func(object any) { fmt.Printf("dropped: %s\n", object.(*file).content) },
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer i.Close(ctx)

	fmt.Println(i.Func("", "opened").Call(ctx)) // opens a file, asks for its size, drops it
	fmt.Println(i.Func("", "measure").Call(ctx, value.Borrow(&file{"lent"})))
	fmt.Println(i.Func("", "measure-own").Call(ctx, value.Own(&file{"given away"})))

	// Resources of the guest's own are objects that are only of use to it.
	counter, err := i.Func("", "make").Call(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(i.Func("", "get").Call(ctx, value.Borrow(counter.Object())))
	// Output:
	// dropped: hello
	// 5 <nil>
	// 4 <nil>
	// dropped: given away
	// 10 <nil>
	// 101 <nil>
}

// Bound what a guest may do. Whatever it tries ends in a *Trap, and the process goes on.
func ExampleInstanceConfig_limits() {
	ctx := context.Background()
	c, closing := load("testdata/hostile.wasm")
	defer closing()

	for _, function := range []string{"loop", "recurse", "load"} {
		i, err := c.Instantiate(ctx, component.InstanceConfig{
			Memory: 16 << 20,
			Fuel:   1_000_000, // or Deadline, where it may depend on the machine
		})
		if err != nil {
			log.Fatal(err)
		}
		_, err = i.Func("", function).Call(ctx)
		var trap *component.Trap
		if !errors.As(err, &trap) {
			log.Fatal(err)
		}
		fmt.Println(err)
		switch {
		case errors.Is(err, component.ErrDeadline):
			fmt.Println("- it took too long")
		case errors.Is(err, component.ErrExhausted):
			fmt.Println("- it called itself too often")
		}
		// An instance that trapped is of no use any more.
		if _, err = i.Func("", "fine").Call(ctx); !errors.Is(err, component.ErrPoisoned) {
			log.Fatal(err)
		}
		if err := i.Close(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// component hostile: loop: deadline exceeded: 1000000 units of fuel used (in m.$9)
	// - it took too long
	// component hostile: recurse: call stack exhausted (in m.recurse < m.recurse < m.recurse < m.recurse)
	// - it called itself too often
	// component hostile: load: trap: out of bounds memory access (in m.$8)
}

// Keep compiled code: the next process starts in a fraction of the time.
func ExampleConfig_cache() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-*") // use os.UserCacheDir
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	code, err := cache.Open(filepath.Join(dir, "compiled"), cache.Config{Size: 1 << 30})
	if err != nil {
		log.Fatal(err)
	}
	engine, err := wazero.New(ctx, wazero.Config{Cache: code})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close(ctx)
	runtime, err := component.New(component.Config{Engine: engine, Cache: code})
	if err != nil {
		log.Fatal(err)
	}
	wasm, err := os.ReadFile("testdata/text.wasm")
	if err != nil {
		log.Fatal(err)
	}
	c, err := runtime.Compile(ctx, "text", wasm)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Name())
	// Output: text
}

// Call a component from many goroutines: an instance serves one call at a time, and a pool
// lends as many as there are processors.
func ExamplePool() {
	ctx := context.Background()
	c, closing := load("testdata/text.wasm")
	defer closing()

	pool := component.NewPool(c, component.PoolConfig{})
	defer pool.Close(ctx)
	if err := pool.Fill(ctx); err != nil { // a component that doesn't start says so now
		log.Fatal(err)
	}
	half := func(n uint32) (value.Value, error) {
		i, err := pool.Get(ctx)
		if err != nil {
			return value.Value{}, err
		}
		defer pool.Put(ctx, i)
		return i.Func("", "half").Call(ctx, value.U32(n))
	}
	var work sync.WaitGroup
	halves := make([]value.Value, 4)
	for n := range halves {
		work.Go(func() {
			var err error
			if halves[n], err = half(uint32(n)); err != nil {
				log.Fatal(err)
			}
		})
	}
	work.Wait()
	fmt.Println(halves)
	// Output: [ok(0) err(0) ok(1) err(1)]
}

// Look into a component without compiling it.
func ExampleDescribe() {
	wasm, err := os.ReadFile("testdata/text.wasm")
	if err != nil {
		log.Fatal(err)
	}
	d, err := component.Describe(wasm)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(d.CoreModules), "core modules")
	text, err := wit.Print(d.Type)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(text)
	// Output:
	// 2 core modules
	// package root:component;
	//
	// world root {
	//   import test:host/env@1.2.0;
	//   export test:text/api@0.1.0;
	//   export half: func(n: u32) -> result<u32, u32>;
	// }
	//
	// package test:host@1.2.0 {
	//   interface env {
	//     log: func(text: string);
	//     newer: func();
	//   }
	// }
	//
	// package test:text@0.1.0 {
	//   interface api {
	//     greet: func(name: string) -> string;
	//     newer: func();
	//     sum: func(%list: list<u16>) -> u32;
	//   }
	// }
}

// load compiles a component.
func load(file string) (_ *component.Component, closing func()) {
	ctx := context.Background()
	wasm, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	engine, err := wazero.New(ctx, wazero.Config{})
	if err != nil {
		log.Fatal(err)
	}
	runtime, err := component.New(component.Config{Engine: engine})
	if err != nil {
		log.Fatal(err)
	}
	c, err := runtime.Compile(ctx, strings.TrimSuffix(filepath.Base(file), ".wasm"), wasm)
	if err != nil {
		log.Fatal(err)
	}
	return c, func() {
		if err := engine.Close(ctx); err != nil {
			log.Fatal(err)
		}
	}
}
