module github.com/wasm-graph/graphd/operators/sdk

go 1.24
