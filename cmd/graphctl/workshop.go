// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/wasm-graph/graphd/operators/build"
	"github.com/wasm-graph/graphd/oras"
)

// workshop builds operators written in Go when their modules are asked for, each
// once.
type workshop struct {
	built map[string][]byte // components, by folder
}

func newWorkshop() *workshop { return &workshop{built: map[string][]byte{}} }

// beside returns a source of the operators near a folder: the module of any
// repository called NAME is what is in operators/NAME, in that folder or the nearest
// one above that has it. Tags have no meaning.
func (w *workshop) beside(dir string) oras.Source { return &bench{w, dir} }

// bench is a place in the workshop. It is used by one goroutine.
type bench struct {
	*workshop
	dir string
}

func (b *bench) String() string { return "the operators above " + b.dir }

// Resolve implements oras.Source.
func (b *bench) Resolve(ctx context.Context, ref string, kind oras.Kind) (digest string, err error) {
	a, err := b.Fetch(ctx, ref, kind)
	if err != nil {
		return "", err
	}
	return a.Digest, nil
}

// Fetch implements oras.Source.
func (b *bench) Fetch(ctx context.Context, ref string, kind oras.Kind) (*oras.Artifact, error) {
	repository, _, _, err := oras.Split(ref)
	if err != nil {
		return nil, err
	}
	dir, err := b.find(path.Base(repository))
	if err != nil {
		return nil, err
	}
	content, done := b.built[dir]
	if !done {
		c, err := build.Operator(ctx, dir)
		if err != nil {
			return nil, err
		}
		content = c.Bytes
		b.built[dir] = content
	}
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	return &oras.Artifact{Digest: digest, ContentDigest: digest, MediaType: "application/wasm", Content: content}, nil
}

// find returns the folder of an operator.
func (b *bench) find(name string) (string, error) {
	begin, err := filepath.Abs(b.dir)
	if err != nil {
		return "", err
	}
	for dir := begin; ; dir = filepath.Dir(dir) {
		folder := filepath.Join(dir, "operators", name)
		if sources, _ := filepath.Glob(filepath.Join(folder, "*.go")); len(sources) > 0 {
			return folder, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no %s with Go sources in %s, nor in a folder above: name the folder or registry with the modules by --modules",
				filepath.Join("operators", name)+string(os.PathSeparator), begin)
		}
	}
}
