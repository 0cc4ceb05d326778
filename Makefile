# SPDX-License-Identifier: Apache-2.0
#
# make help lists the targets. Go and make are all that the Go-only ones need;
# what else a target needs it installs, or it fails and says what is missing.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Downloaded tools, one folder per tool and version.
GRAPHD_TOOLS ?= $(HOME)/.cache/graphd-tools
export GRAPHD_TOOLS

LDFLAGS     := -s -w
STATICCHECK := go tool -modfile=$(CURDIR)/tools/go.mod staticcheck
PACKAGES    ?= ./...
# Tags of tests that need other software to run, but none to be checked.
TAGS        := services,interop,guests,soak
FUZZTIME    ?= 30s
SOAKSECONDS ?= 3600
BENCHTIME   ?= 1s

# Modules nested in this one; the operators are compiled to wasm, and their unit
# tests run on the host.
NESTED := $(patsubst %/go.mod,%,$(shell git ls-files '*/go.mod' ':!tools' ':!*/testdata/*'))

PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build graphd and graphctl into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/graphd ./cmd/graphctl

.PHONY: test
test: ## Run the unit tests of this module and of the nested ones
	go test $(PACKAGES)
	@for dir in $(NESTED); do echo "go test ./... ($$dir)"; (cd "$$dir" && go test ./...); done

.PHONY: race
race: ## Run the unit tests under the race detector (needs a C compiler)
	go test -race $(PACKAGES)

.PHONY: lint
lint: ## Check formatting, vet and staticcheck, in all modules
	@unformatted="$$(git ls-files -co --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l -s)"; \
	if [ -n "$$unformatted" ]; then echo "not formatted; run gofmt -s -w on:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet $(PACKAGES)
	go vet -tags $(TAGS) $(PACKAGES)
	$(STATICCHECK) $(PACKAGES)
	$(STATICCHECK) -tags $(TAGS) $(PACKAGES)
	@for dir in $(NESTED); do echo "go vet, staticcheck ./... ($$dir)"; (cd "$$dir" && go vet ./... && $(STATICCHECK) ./...); done

.PHONY: check
check: ## Everything that needs only Go: lint, build, test; leaves the tree as it was
	@before="$$(git status --porcelain; git diff HEAD | git hash-object --stdin)"; \
	$(MAKE) --no-print-directory lint build test; \
	after="$$(git status --porcelain; git diff HEAD | git hash-object --stdin)"; \
	if [ "$$before" != "$$after" ]; then echo "check: the tests changed the working tree:"; git status --short; exit 1; fi; \
	echo "check: passed"

# Packages with tests that ask for a service; check runs those of the others.
SERVICES = $(shell git grep --untracked -l '^//go:build services' -- '*_test.go' | xargs -r dirname | sort -u | sed 's|^|./|')

.PHONY: check-services
check-services: ## Run the tests against real services (installs mosquitto, Java and Apache Kafka)
	.ci/install-mosquitto
	.ci/install-kafka
	go test -count=1 -tags services $(or $(SERVICES),$(error check-services: found no tests; run it in a clone))

.PHONY: check-interop
check-interop: ## Run the tests against registries and clients by others (installs skopeo, docker-registry, crane, cosign, oras)
	.ci/install-mosquitto
	PATH="$$(.ci/install-interop):$$PATH" go test -count=1 -tags interop ./conformance/oci

.PHONY: check-guests
check-guests: ## Build guests in C, Rust, JavaScript and Python with their own toolchains and run them
	$(MAKE) -C conformance/guests check
	$(MAKE) --no-print-directory check-onnxruntime

# As with check-wasmtime: without cgo nothing compiles. The sample is run with programs
# that are built with the tag, too.
.PHONY: check-onnxruntime
check-onnxruntime: export CGO_ENABLED := 1
check-onnxruntime: ## Run the tests of neural networks on onnxruntime (part of check-guests; needs npm and a C compiler)
	@library="$$(.ci/install-onnxruntime)" || exit 1; set -x; export ONNXRUNTIME="$$library" GOFLAGS=-tags=onnxruntime; \
	go vet ./engine/nn/... ./cmd/internal/wiring && $(STATICCHECK) -tags onnxruntime ./engine/nn/onnxruntime && go test -count=1 ./engine/nn/... && go test -count=1 -run TestGraphctlRun ./samples/complex

# With the tag but without cgo these packages don't compile, so nothing is skipped.
WASMTIME := ./engine/component/... ./engine/processor/... ./conformance/component/... ./conformance/guests

.PHONY: check-wasmtime
check-wasmtime: export CGO_ENABLED := 1
check-wasmtime: ## Run the component runtime's tests on Wasmtime, too (needs a C compiler)
	@cc="$$(go env CC)"; command -v $${cc%% *} >/dev/null || { echo "missing: a C compiler ($$cc); on Debian: apt-get install gcc libc6-dev"; exit 1; }
	go vet -tags wasmtime $(WASMTIME)
	$(STATICCHECK) -tags wasmtime ./engine/component/core/...
	go test -count=1 -tags wasmtime $(WASMTIME)

.PHONY: conformance
conformance: ## Run the conformance suites
	go test -count=1 ./conformance/...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s)
	@go list $(PACKAGES) | while read -r pkg; do \
	  for target in $$(go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do \
	    echo "fuzz $$pkg $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
	  done; \
	done

.PHONY: bench
bench: ## Run the benchmarks, each beside its baseline
	go run ./conformance/bench/call
	go run ./conformance/bench/graph
	go run ./conformance/bench/windows
	go run ./conformance/bench/cold
	go run ./conformance/bench/stop
	go run ./conformance/bench/mqtt
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./conformance/bench/...

.PHONY: soak
soak: ## Run ten days of windows in a minute or two, brokers that are down for 90 s, MQTT and Kafka, and the demo for SOAKSECONDS (3600)
	go test -count=1 -v -tags soak ./conformance/soak
	.ci/install-mosquitto
	.ci/install-kafka
	go test -count=1 -v -tags services -run 'TestFaults/(destination|Kafka)' ./conformance/faults -outage 90s
	go run ./cmd/graphd demo --seconds $(SOAKSECONDS)

.PHONY: demo
demo: ## Run the demo: simulated sensors, an MQTT broker and a graph, in one process
	go run ./cmd/graphd demo

.PHONY: operators
operators: ## Compile the Go operators into build/artifacts/, with the definitions: a folder for a registry
	@mkdir -p build/artifacts
	@for dir in $(patsubst %/main.go,%,$(wildcard operators/*/main.go)); do \
	  go run ./cmd/graphctl build "$$dir" -o "build/artifacts/$$(basename "$$dir").wasm"; \
	done
	@for file in graphs/*.yaml; do cp "$$file" "build/artifacts/graph-$$(basename "$$file")"; done

# Where the published graphs look for their modules.
PUBLISHED := azure-samples/explore-iot-operations

.PHONY: artifacts
artifacts: operators ## Push the operators and the definitions to build/layout, an OCI layout, under their published names
	@go build -o build/graphctl ./cmd/graphctl
	@rm -rf build/layout
	@for file in build/artifacts/*.wasm build/artifacts/*.yaml; do \
	  name="$$(basename "$${file%.*}")"; \
	  build/graphctl push "$$file" "oci-layout:build/layout:$(PUBLISHED)/$$name:1.0.0"; \
	done

.PHONY: guests
guests: ## Build the guests in C, Rust, JavaScript and Python
	$(MAKE) -C conformance/guests build

.PHONY: dist
dist: ## Cross-compile both programs into dist/
	@for platform in $(PLATFORMS); do \
	  export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
	  echo "build $$platform"; \
	  go build -trimpath -ldflags '$(LDFLAGS)' -o "dist/$$GOOS-$$GOARCH/" ./cmd/graphd ./cmd/graphctl; \
	done
