// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/oras"
)

// modulePlaces are the references under which the module of a graph may be found in
// the graph's registry, best first. Which of them a RegistryEndpoint leads to depends
// on how much of the path stands in its host: a module's reference is appended to
// that, as the graph's is. One with a path is most often complete, and one without
// is beside the graph.
func modulePlaces(graphPath, module string) []string {
	var places []string
	for dir := path.Dir(graphPath); ; dir = path.Dir(dir) {
		places = append(places, path.Join(dir, module))
		if dir == "." {
			break
		}
	}
	if strings.Contains(module, "/") {
		slices.Reverse(places)
	}
	return places
}

// findModule finds the module of a graph in the graph's registry, and returns its
// reference there and its digest.
func findModule(ctx context.Context, store *oras.Store, graphPath, module string) (ref, digest string, err error) {
	var first error
	for _, place := range modulePlaces(graphPath, module) {
		digest, err := store.Resolve(ctx, place, oras.Component)
		if err == nil {
			return place, digest, nil
		}
		if first == nil {
			first = err
		}
		// Many registries deny what isn't there.
		if !errors.Is(err, oras.ErrNotFound) && !errors.Is(err, oras.ErrDenied) {
			return "", "", err
		}
	}
	return "", "", fmt.Errorf("module %s of the graph: %w", module, first)
}

// foundModule is a module of a graph, as the definition names it, and where it is.
type foundModule struct{ module, ref string }

// modulesOf finds the modules of the graph at l in its store. A component has none.
func modulesOf(ctx context.Context, store *oras.Store, l oras.Location) ([]foundModule, error) {
	a, err := store.Fetch(ctx, l.Reference, oras.Graph)
	if err != nil {
		return nil, err
	}
	if sniff(a.Content) == oras.Component {
		return nil, nil
	}
	d, problems := graph.Parse(l.String(), a.Content)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("%s is no valid graph, so its modules aren't known:\n%w", l, err)
	}
	path, _, _, err := oras.Split(l.Reference)
	if err != nil {
		return nil, err
	}
	var found []foundModule
	for _, module := range d.Modules() {
		ref, _, err := findModule(ctx, store, path, module)
		if err != nil {
			return nil, err
		}
		found = append(found, foundModule{module, ref})
	}
	return found, nil
}

// pin returns the text of a definition with the digests of its modules written behind
// their references. Everything else of the text stays as it is.
func pin(ctx context.Context, store *oras.Store, graphPath string, text []byte, d *graph.Definition) ([]byte, error) {
	digests := map[string]string{}
	for _, module := range d.Modules() {
		if _, _, pinned, err := oras.Split(module); err != nil {
			return nil, err
		} else if pinned != "" {
			continue
		}
		_, digest, err := findModule(ctx, store, graphPath, module)
		if err != nil {
			return nil, fmt.Errorf("%w; push the modules before a graph that pins them", err)
		}
		digests[module] = digest
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, op := range d.Operations {
		digest, ok := digests[op.Module]
		if !ok {
			continue
		}
		line := lines[op.ModulePos.Line-1]
		at := bytes.Index(line[min(op.ModulePos.Column-1, len(line)):], []byte(op.Module))
		if at < 0 {
			return nil, fmt.Errorf("%s:%v: the module's reference is written in a way that can't be pinned; write it as plain or quoted text on one line", d.File, op.ModulePos)
		}
		end := op.ModulePos.Column - 1 + at + len(op.Module)
		lines[op.ModulePos.Line-1] = slices.Concat(line[:end], []byte("@"+digest), line[end:])
	}
	pinned := bytes.Join(lines, nil)
	again, problems := graph.Parse(d.File, pinned)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("%s can't be pinned:\n%w", d.File, err)
	}
	for i, op := range d.Operations {
		want := op.Module
		if digest, ok := digests[want]; ok {
			want += "@" + digest
		}
		if got := again.Operations[i].Module; got != want {
			return nil, fmt.Errorf("%s:%v: pinning made %q of the module %q", d.File, op.ModulePos, got, op.Module)
		}
	}
	return pinned, nil
}
