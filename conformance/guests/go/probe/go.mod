module github.com/wasm-graph/graphd/conformance/guests/go/probe

go 1.24

require github.com/wasm-graph/graphd/operators/sdk v0.0.0

replace github.com/wasm-graph/graphd/operators/sdk => ../../../../operators/sdk
