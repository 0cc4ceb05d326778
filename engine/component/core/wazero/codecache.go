// SPDX-License-Identifier: Apache-2.0

package wazero

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/cpu"

	"github.com/wasm-graph/graphd/engine/component/cache"
)

// codeCache keeps native code in a cache.Cache.
//
// wazero has a cache of its own, a folder of files under names that only it knows. It
// trusts what it finds there (of a file with a wrong number in its head it allocates as
// much as that says, or calls into the middle of a function), never removes anything,
// and does not give out what it compiled if it can't write it. So it gets a folder that
// is empty, of this process alone. Before a module is loaded, the file that holds its
// code is checked and linked into that folder; a file that wazero makes is moved out of
// it, or removed where the cache can only be read.
//
// Most of the time of a load would go into the validation of code whose translation is
// there already, and the hashing of it. So what wazero is given to load is an outline of
// the module, with empty functions, and the code is put where wazero looks for that of
// the outline.
type codeCache struct {
	entries *cache.Cache
	runtime wazero.Runtime
	own     wazero.CompilationCache
	scratch string
	files   string // the folder below scratch in which wazero looks
	seed    string // what code depends on beside its module: wazero, the processor

	making sync.Mutex // held while wazero makes a file, so that it is known whose it is
	mu     sync.Mutex // guards linked
	linked map[string]*linkedFile
}

// linkedFile is an entry that is where wazero looks for it.
type linkedFile struct {
	uses    int        // calls of load
	loading sync.Mutex // wazero gives a module out before it is complete
}

// openCodeCache returns a codeCache with a runtime that uses it.
func openCodeCache(ctx context.Context, entries *cache.Cache, config wazero.RuntimeConfig) (*codeCache, error) {
	c := &codeCache{
		entries: entries,
		seed:    fmt.Sprintln(cache.Build(wazeroPath), goruntime.GOOS, goruntime.GOARCH, cpu.X86, cpu.ARM64),
		linked:  map[string]*linkedFile{},
	}
	var err error
	if c.scratch, err = entries.Scratch(); err != nil {
		return nil, err
	}
	if c.own, err = wazero.NewCompilationCacheWithDir(c.scratch); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.scratch))
	}
	folders, err := filepath.Glob(filepath.Join(c.scratch, "*"))
	if err != nil || len(folders) != 1 {
		return nil, errors.Join(err, fmt.Errorf("wazero's cache has folders %q, want one", folders), c.own.Close(ctx), os.RemoveAll(c.scratch))
	}
	c.files = folders[0]
	c.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithCompilationCache(c.own))
	return c, nil
}

// wazeroPath is the path of wazero's module.
const wazeroPath = "github.com/tetratelabs/wazero"

// close closes the runtime, too.
func (c *codeCache) close(ctx context.Context) error {
	return errors.Join(c.runtime.Close(ctx), c.own.Close(ctx), os.RemoveAll(c.scratch))
}

// key names the code of the module with that digest.
func (c *codeCache) key(digest [32]byte) cache.Key {
	return sha256.Sum256(fmt.Appendf(nil, "native code %s %x", c.seed, digest))
}

// compile compiles a module, or takes its code out of the cache.
func (c *codeCache) compile(ctx context.Context, wasm []byte) (wazero.CompiledModule, error) {
	c.prepare()
	digest := sha256.Sum256(wasm)
	if code := c.load(ctx, digest); code != nil {
		return code, nil
	}
	c.making.Lock()
	defer c.making.Unlock()
	if code := c.load(ctx, digest); code != nil { // made in the meantime
		return code, nil
	}
	code, err := c.runtime.CompileModule(ctx, wasm)
	if unwritten(err) {
		c.entries.Warn(err)
		// What was compiled is in wazero's memory, which gives it out when asked again
		// and then counts one user too many.
		if code, err = c.runtime.CompileModule(ctx, wasm); err == nil {
			err = code.Close(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if file := c.made(); file != "" {
		c.keep(ctx, file, digest, wasm)
	}
	return code, nil
}

// load returns a module of which the cache has the code; otherwise nil.
func (c *codeCache) load(ctx context.Context, digest [32]byte) wazero.CompiledModule {
	key := c.key(digest)
	label, ok := c.entries.Check(key)
	if !ok {
		return nil
	}
	name, outline, ok := bytes.Cut(label, []byte("\n"))
	if !ok || filepath.Base(string(name)) != string(name) {
		return nil
	}
	file := c.link(key, string(name))
	if file == nil {
		return nil
	}
	defer c.unlink(string(name))
	file.loading.Lock()
	code, err := c.runtime.CompileModule(noCompilation(ctx), outline)
	file.loading.Unlock()
	if err != nil {
		c.entries.Remove(key)
		return nil
	}
	return code
}

// noCompilation returns a context in which wazero loads code, and compiles none: should
// it not find that of an outline, it must not compile the outline. Only the goroutines
// that compile look at the context, where there are several.
func noCompilation(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(experimental.WithCompilationWorkers(ctx, 2))
	cancel()
	return ctx
}

// prepare makes the folder again if it is gone: another process takes it for left behind
// when nothing happens in it for long.
func (c *codeCache) prepare() { _ = os.MkdirAll(c.files, 0o700) }

// link puts the file of an entry where wazero looks for it.
func (c *codeCache) link(key cache.Key, name string) *linkedFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepare()
	if c.linked[name] == nil {
		if err := c.entries.Link(key, filepath.Join(c.files, name)); err != nil {
			c.entries.Warn(err)
			return nil
		}
		c.linked[name] = &linkedFile{}
	}
	c.linked[name].uses++
	return c.linked[name]
}

func (c *codeCache) unlink(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.linked[name].uses--; c.linked[name].uses == 0 {
		delete(c.linked, name)
		_ = os.Remove(filepath.Join(c.files, name)) // or close does it
	}
}

// made returns the file that wazero has just made, or "".
func (c *codeCache) made() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	listed, err := os.ReadDir(c.files)
	if err != nil {
		return ""
	}
	var made []string
	for _, f := range listed {
		if c.linked[f.Name()] == nil {
			made = append(made, filepath.Join(c.files, f.Name()))
		}
	}
	if len(made) == 1 {
		return made[0]
	}
	for _, file := range made { // none of them is known to be the one
		_ = os.Remove(file)
	}
	return ""
}

// keep moves a file that wazero made for a module into the cache. Its label is the name
// that wazero would give to the file of the outline, and the outline.
func (c *codeCache) keep(ctx context.Context, file string, digest [32]byte, wasm []byte) {
	if c.entries.ReadOnly() {
		_ = os.Remove(file) // or close does it
		return
	}
	out := outline(wasm, digest)
	name, err := nameOf(ctx, c.entries, out)
	if err != nil {
		c.entries.Warn(fmt.Errorf("wazero: name native code: %w", errors.Join(err, os.Remove(file))))
		return
	}
	c.entries.Adopt(c.key(digest), file, append([]byte(filepath.Base(name)+"\n"), out...))
}

// nameOf returns the name of the file, below its cache folder, in which wazero keeps the
// code of a module. It has to compile it: with a runtime that is used for nothing else,
// since what one has compiled it gives out again.
func nameOf(ctx context.Context, entries *cache.Cache, wasm []byte) (name string, err error) {
	dir, err := entries.Scratch()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	own, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return "", err
	}
	defer own.Close(ctx)
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features).WithDebugInfoEnabled(false).WithCompilationCache(own))
	defer rt.Close(ctx)
	if _, err := rt.CompileModule(ctx, wasm); err != nil {
		return "", err
	}
	made, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return "", err
	}
	if len(made) != 1 {
		return "", fmt.Errorf("wazero keeps code in files %q, want one", made)
	}
	return filepath.Rel(dir, made[0])
}

// outline returns a module like wasm, which is valid, but for the bodies of its
// functions: they trap. Since two modules may differ in nothing else, the digest of wasm
// is in it.
func outline(wasm []byte, digest [32]byte) []byte {
	const header, custom, code = 8, 0, 10
	body := []byte{3, 0, 0x00, 0x0b} // size; no locals; unreachable; end
	out := slices.Clone(wasm[:header])
	for rest := wasm[header:]; len(rest) > 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		section := rest[1+n : 1+n+int(size)]
		rest = rest[1+n+int(size):]
		if id == code {
			count, n := binary.Uvarint(section)
			section = append(slices.Clone(section[:n]), bytes.Repeat(body, int(count))...)
		}
		out = appendSection(out, id, section)
	}
	return appendSection(out, custom, append([]byte("\x07outline"), digest[:]...))
}

func appendSection(out []byte, id byte, section []byte) []byte {
	return append(binary.AppendUvarint(append(out, id), uint64(len(section))), section...)
}

// unwritten reports whether err says that wazero could not write what it compiled.
func unwritten(err error) bool {
	var link *os.LinkError
	var path *fs.PathError
	return errors.As(err, &link) || errors.As(err, &path) && strings.HasSuffix(path.Path, ".tmp")
}
