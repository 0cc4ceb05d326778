// SPDX-License-Identifier: Apache-2.0

package wit_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/wasm-graph/graphd/engine/component/wit"
)

// Read a world, and look at what it asks for.
func ExampleParseText() {
	packages, err := wit.ParseText("clock.wit", `
		package example:clock@1.0.0;
		interface time {
			record moment { seconds: u64, nanoseconds: u32 }
			now: func() -> moment;
		}
		world program {
			import time;
			export run: func(args: list<string>) -> result;
		}`)
	if err != nil {
		log.Fatal(err)
	}
	world, err := packages.World("program")
	if err != nil {
		log.Fatal(err)
	}
	for _, x := range world.Imports {
		fmt.Println("import", x.Name)
		for _, e := range x.Instance.Exports {
			fmt.Println("  ", e.Sort, e.Name)
		}
	}
	for _, x := range world.Exports {
		fmt.Println("export", x.Name)
		for _, p := range x.Func.Params {
			fmt.Println("  ", p.Name, p.Type.Kind)
		}
	}
	// Output:
	// import example:clock/time@1.0.0
	//    type moment
	//    function now
	// export run
	//    args list
}

// Faults have a place, and often say what to write instead.
func ExampleError() {
	_, err := wit.ParseText("clock.wit", "package example:clock;\ninterface time {\n\tnow: func() -> u46;\n}\n")
	fmt.Println(err)
	var fault *wit.Error
	fmt.Println(errors.As(err, &fault), fault.Line, fault.Hint)
	// Output:
	// wit: clock.wit:3:17: unknown type u46 (did you mean "u16"?)
	// true 3 did you mean "u16"?
}
