// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-graph/graphd/engine/component"
	"github.com/wasm-graph/graphd/engine/graph"
	"github.com/wasm-graph/graphd/engine/processor"
	"github.com/wasm-graph/graphd/operators/build"
	"github.com/wasm-graph/graphd/oras"
)

// Annotations of manifests. The first are OCI's own; with the others a registry's
// list tells what is inside.
const (
	annotationTitle       = "org.opencontainers.image.title"
	annotationVersion     = "org.opencontainers.image.version"
	annotationDescription = "org.opencontainers.image.description"
	annotationVendor      = "org.opencontainers.image.vendor"
	annotationSource      = "org.opencontainers.image.source"
	annotationLicenses    = "org.opencontainers.image.licenses"
	annotationCreated     = "org.opencontainers.image.created"

	annotationOperations = "io.graphd.operations" // of a graph: "map NAME, sink NAME"
	annotationModules    = "io.graphd.modules"    // of a graph: references
	annotationOperators  = "io.graphd.operators"  // of a component: kinds
	annotationExports    = "io.graphd.exports"    // of a component: interfaces
)

// pushFlags are the flags of graphctl push.
type pushFlags struct {
	remote           remoteFlags
	output           outputFlag
	noVerify, pin    bool
	source, licenses string
	annotations      []string
}

func newPush() *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "push FILE|DIR REF",
		Short: "Put a graph or a component into a registry",
		Long: `Push puts a graph definition or a component into a registry, in the form that Azure IoT
Operations takes. It is checked first: a graph has to be valid, a component has to
export an operator.

Of a folder with Go files, the operator is built and pushed. Of another folder, the one
graph definition in it is pushed to REF, and the modules that it refers to, which are
looked for in the folder, to the same registry.

What is pushed is a function of the input: equal files have equal digests. A time is
noted only where SOURCE_DATE_EPOCH says which.

` + referenceHelp,
		Example: "  graphctl push build/artifacts/temperature.wasm localhost:5000/temperature:1.0.0 --plain-http\n" +
			"  graphctl push graphs/simple.yaml ghcr.io/me/graph-simple:1.0.0 --pin",
		Args: exactly("FILE|DIR", "REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1]) },
	}
	f.remote.add(cmd)
	f.output.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.noVerify, "no-verify", false, "push whatever it is, without looking inside")
	flags.BoolVar(&f.pin, "pin", false, "write the digests of a graph's modules into it, so that they can't be moved")
	flags.StringVar(&f.source, "source", "", "`URL` of the source code, noted in the artifact")
	flags.StringVar(&f.licenses, "licenses", "", "`SPDX` expression of the licences, noted in the artifact")
	flags.StringArrayVar(&f.annotations, "annotation", nil, "`KEY=VALUE` to note in the artifact")
	return cmd
}

// pushed is one result of graphctl push.
type pushed struct {
	File      string `json:"file"`
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Kind      string `json:"kind"` // graph or component
	Size      int    `json:"size"` // of the content, in bytes
}

func (f *pushFlags) run(cmd *cobra.Command, file, arg string) error {
	ctx := cmd.Context()
	if err := f.output.check(); err != nil {
		return err
	}
	to, err := locateArtifact(arg)
	if err != nil {
		return err
	}
	if f.pin && f.noVerify {
		return &usageError{"--pin has to look inside the graph, and --no-verify forbids it"}
	}
	store, stopBar, err := f.remote.open(cmd, to)
	if err != nil {
		return err
	}
	defer stopBar()
	p := pusher{flags: f, store: store, endpoint: to.Endpoint}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		var data []byte
		if data, err = os.ReadFile(file); err == nil {
			err = p.push(ctx, file, data, to.Reference)
		}
	case hasGoFiles(file):
		err = p.pushOperator(ctx, file, to.Reference)
	default:
		err = p.pushFolder(ctx, file, to.Reference)
	}
	if err != nil {
		return err
	}
	stopBar()
	var b strings.Builder
	for _, done := range p.done {
		fmt.Fprintf(&b, "%s  %s  %s\n", done.Reference, done.Digest, byteSize(done.Size))
	}
	return f.output.print(cmd.OutOrStdout(), b.String(), p.done)
}

func hasGoFiles(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	return err == nil && len(files) > 0
}

// pusher pushes to one store.
type pusher struct {
	flags    *pushFlags
	store    *oras.Store
	endpoint string
	done     []pushed
}

func (p *pusher) pushOperator(ctx context.Context, dir, ref string) error {
	c, err := build.Operator(ctx, dir)
	if err != nil {
		return err
	}
	return p.push(ctx, c.Name+".wasm", c.Bytes, ref)
}

// pushFolder pushes a graph's modules, and then the graph, so that nobody finds one
// without the other.
func (p *pusher) pushFolder(ctx context.Context, dir, ref string) error {
	file, err := onlyGraph(dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	definition, problems := graph.Parse(file, text)
	if err := problems.Err(); err != nil {
		return fmt.Errorf("%s is not valid:\n%w", file, err)
	}
	graphPath, _, _, err := oras.Split(ref)
	if err != nil {
		return err
	}
	source, err := oras.Open("file:"+dir, oras.Options{})
	if err != nil {
		return err
	}
	for _, module := range definition.Modules() {
		if _, _, digest, err := oras.Split(module); err != nil {
			return err
		} else if digest != "" {
			return fmt.Errorf("%s: module %s has a digest; it is in its registry already, so push the file %[1]s alone", file, module)
		}
		a, err := source.Fetch(ctx, module, oras.Component)
		if err != nil {
			return err
		}
		if err := p.push(ctx, "", a.Content, modulePlaces(graphPath, module)[0]); err != nil {
			return fmt.Errorf("module %s: %w", module, err)
		}
	}
	return p.push(ctx, file, text, ref)
}

// onlyGraph returns the graph definition in a folder.
func onlyGraph(dir string) (string, error) {
	var found []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		found = append(found, files...)
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%s: neither Go files nor a graph definition: %w", dir, fs.ErrNotExist)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s has several YAML files: %s; push one by its name", dir, strings.Join(found, ", "))
}

// push checks and pushes one artifact; file may be empty.
func (p *pusher) push(ctx context.Context, file string, data []byte, ref string) error {
	name, tag, _, err := oras.Split(ref)
	if err != nil {
		return err
	}
	pkg, definition, err := describe(file, data, tag, !p.flags.noVerify)
	if err != nil {
		return err
	}
	if p.flags.pin && definition != nil {
		pinned, err := pin(ctx, p.store, name, data, definition)
		if err != nil {
			return err
		}
		if pkg, _, err = describe(file, pinned, tag, true); err != nil {
			return err
		}
	}
	if err := p.flags.annotate(pkg.Annotations); err != nil {
		return err
	}
	digest, err := p.store.Push(ctx, ref, pkg)
	if err != nil {
		return err
	}
	p.done = append(p.done, pushed{
		File:      file,
		Reference: oras.Location{Endpoint: p.endpoint, Reference: ref}.String(),
		Digest:    digest,
		Kind:      kindName(pkg.Kind),
		Size:      len(pkg.Content),
	})
	return nil
}

func kindName(k oras.Kind) string {
	if k == oras.Graph {
		return "graph"
	}
	return "component"
}

// sniff tells a component from a graph definition by its first bytes.
func sniff(data []byte) oras.Kind {
	if bytes.HasPrefix(data, []byte("\x00asm")) {
		return oras.Component
	}
	return oras.Graph
}

// describe says what is in an artifact. Where verify is set it has to be one that
// graphd takes, and the definition of a graph is returned.
func describe(file string, data []byte, tag string, verify bool) (oras.Package, *graph.Definition, error) {
	pkg := oras.Package{Kind: sniff(data), Content: data, Annotations: map[string]string{}}
	if file != "" {
		pkg.FileName = filepath.Base(file)
	}
	set := func(key, value string) {
		if value != "" {
			pkg.Annotations[key] = value
		}
	}
	set(annotationVersion, tag)
	if !verify {
		if ext := strings.ToLower(filepath.Ext(file)); ext == ".wasm" {
			pkg.Kind = oras.Component // even a broken one
		}
		return pkg, nil, nil
	}
	if pkg.Kind == oras.Component {
		d, err := component.Describe(data)
		if err != nil {
			return pkg, nil, fmt.Errorf("%s: %w; --no-verify pushes it all the same", orArtifact(file), err)
		}
		kinds, err := processor.Kinds(d.Type)
		if err != nil {
			return pkg, nil, fmt.Errorf("%s: %w; --no-verify pushes it all the same", orArtifact(file), err)
		}
		set(annotationTitle, strings.TrimSuffix(pkg.FileName, filepath.Ext(pkg.FileName)))
		set(annotationOperators, join(kinds))
		set(annotationExports, strings.Join(names(d.Type.Exports), ", "))
		return pkg, nil, nil
	}
	if strings.EqualFold(filepath.Ext(file), ".wasm") {
		return pkg, nil, fmt.Errorf("%s: not a WebAssembly file; --no-verify pushes it all the same", file)
	}
	d, problems := graph.Parse(file, data)
	if err := problems.Err(); err != nil {
		return pkg, nil, fmt.Errorf("%s is not valid; --no-verify pushes it all the same:\n%w", file, err)
	}
	set(annotationTitle, d.Metadata.Name)
	set(annotationVersion, d.Metadata.Version)
	set(annotationDescription, d.Metadata.Description)
	set(annotationVendor, d.Metadata.Vendor)
	var operations []string
	for _, op := range d.Operations {
		operations = append(operations, string(op.Kind)+" "+op.Name)
	}
	set(annotationOperations, strings.Join(operations, ", "))
	set(annotationModules, strings.Join(d.Modules(), ", "))
	return pkg, d, nil
}

func orArtifact(file string) string {
	if file == "" {
		return "the artifact"
	}
	return file
}

// annotate adds what the command line and the environment say.
func (f *pushFlags) annotate(annotations map[string]string) error {
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return &usageError{fmt.Sprintf("SOURCE_DATE_EPOCH is %q; want seconds since 1970", epoch)}
		}
		annotations[annotationCreated] = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	}
	if f.source != "" {
		annotations[annotationSource] = f.source
	}
	if f.licenses != "" {
		annotations[annotationLicenses] = f.licenses
	}
	own, err := keyValues("--annotation", f.annotations)
	maps.Copy(annotations, own)
	return err
}

// keyValues reads the arguments KEY=VALUE of a flag that may be repeated.
func keyValues(flag string, args []string) (map[string]string, error) {
	pairs := map[string]string{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, &usageError{fmt.Sprintf("invalid argument %q for %s; want KEY=VALUE", arg, flag)}
		}
		pairs[key] = value
	}
	return pairs, nil
}
