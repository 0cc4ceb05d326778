// SPDX-License-Identifier: Apache-2.0

package oras_test

import (
	"bytes"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/wasm-graph/graphd/oras"
)

// BenchmarkTransfer pushes and pulls a component of 50 MB, beside what oras-go does
// for the same through its own file store.
func BenchmarkTransfer(b *testing.B) {
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": configuration.Parameters{"rootdirectory": b.TempDir()},
	}}
	server := httptest.NewServer(handlers.NewApp(b.Context(), config))
	defer server.Close()
	store, err := oras.OpenStore(server.URL, oras.Options{})
	if err != nil {
		b.Fatal(err)
	}
	component := noise(50 << 20)
	name := func(i int) string { return "big:" + strconv.Itoa(i) }
	// What is there already isn't pushed: each push is of other bytes.
	vary := func(i int, kind byte) { copy(component, append([]byte{kind}, strconv.Itoa(i)...)) }

	b.Run("push", func(b *testing.B) {
		b.SetBytes(int64(len(component)))
		for i := range b.N {
			vary(b.N<<10+i, 'a')
			if _, err := store.Push(b.Context(), name(i), oras.Package{Content: component}); err != nil {
				b.Fatal(err)
			}
		}
	})
	bare, err := remote.NewRepository(server.Listener.Addr().String() + "/big")
	if err != nil {
		b.Fatal(err)
	}
	bare.PlainHTTP = true
	b.Run("push-baseline", func(b *testing.B) {
		b.SetBytes(int64(len(component)))
		for i := range b.N {
			vary(b.N<<10+i, 'b')
			if _, err := oraslib.PushBytes(b.Context(), bare, "application/wasm", bytes.Clone(component)); err != nil {
				b.Fatal(err)
			}
		}
	})
	if _, err := store.Push(b.Context(), name(0), oras.Package{Content: component}); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	b.Run("pull", func(b *testing.B) {
		b.SetBytes(int64(len(component)))
		for i := range b.N {
			if _, _, err := store.Pull(b.Context(), name(0), filepath.Join(dir, "ours", strconv.Itoa(b.N<<10+i))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pull-baseline", func(b *testing.B) {
		b.SetBytes(int64(len(component)))
		for i := range b.N {
			files, err := file.New(filepath.Join(dir, "bare", strconv.Itoa(b.N<<10+i)))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := oraslib.Copy(b.Context(), bare, "0", files, "", oraslib.DefaultCopyOptions); err != nil {
				b.Fatal(err)
			}
			files.Close()
		}
	})
}
