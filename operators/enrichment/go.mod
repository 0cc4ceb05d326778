module github.com/wasm-graph/graphd/operators/enrichment

go 1.24

require (
	github.com/wasm-graph/graphd/operators/measurement v0.0.0
	github.com/wasm-graph/graphd/operators/sdk v0.0.0
)

replace (
	github.com/wasm-graph/graphd/operators/measurement => ../measurement
	github.com/wasm-graph/graphd/operators/sdk => ../sdk
)
