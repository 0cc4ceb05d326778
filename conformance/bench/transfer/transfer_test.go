// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/wasm-graph/graphd/oras"
)

// size is that of the component, in bytes.
const size = 50 << 20

// BenchmarkTransfer pushes and pulls a component of 50 MB, each time beside what
// oras-go does for the same.
func BenchmarkTransfer(b *testing.B) {
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": configuration.Parameters{"rootdirectory": b.TempDir()},
	}}
	logrus.SetOutput(io.Discard) // of the registry
	server := httptest.NewServer(handlers.NewApp(b.Context(), config))
	defer server.Close()
	store, err := oras.OpenStore(server.URL, oras.Options{})
	if err != nil {
		b.Fatal(err)
	}
	bare, err := remote.NewRepository(server.Listener.Addr().String() + "/big")
	if err != nil {
		b.Fatal(err)
	}
	bare.PlainHTTP = true
	component := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(component)
	// What is there already isn't pushed: each push is of other bytes.
	pushes := 0
	vary := func() {
		pushes++
		copy(component, strconv.Itoa(pushes))
	}
	dir := b.TempDir()
	next := func() string {
		pushes++
		return filepath.Join(dir, strconv.Itoa(pushes))
	}

	b.Run("push", func(b *testing.B) {
		race(b, func() error {
			vary()
			_, err := store.Push(b.Context(), "big:1", oras.Package{Content: component})
			return err
		}, func() error {
			vary()
			layer, err := oraslib.PushBytes(b.Context(), bare, "application/wasm", component)
			if err != nil {
				return err
			}
			manifest, err := oraslib.PackManifest(b.Context(), bare, oraslib.PackManifestVersion1_1, "application/wasm",
				oraslib.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
			if err != nil {
				return err
			}
			return bare.Tag(b.Context(), manifest, "2")
		})
	})
	b.Run("pull", func(b *testing.B) {
		race(b, func() error {
			_, _, err := store.Pull(b.Context(), "big:1", next())
			return err
		}, func() error {
			files, err := file.New(next())
			if err != nil {
				return err
			}
			defer files.Close()
			_, err = oraslib.Copy(b.Context(), bare, "1", files, "", oraslib.DefaultCopyOptions)
			return err
		})
	})
}

// race runs both b.N times, in turns, and reports the median speed of each, and the
// median of the ratios.
func race(b *testing.B, ours, bare func() error) {
	var speeds, bareSpeeds, ratios []float64
	timed := func(f func() error) float64 {
		begin := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return size / 1e6 / time.Since(begin).Seconds()
	}
	for i := range b.N {
		var x, y float64
		if i%2 == 0 {
			x, y = timed(ours), timed(bare)
		} else {
			y, x = timed(bare), timed(ours)
		}
		speeds, bareSpeeds, ratios = append(speeds, x), append(bareSpeeds, y), append(ratios, x/y)
	}
	b.ReportMetric(median(speeds), "MB/s")
	b.ReportMetric(median(bareSpeeds), "bare-MB/s")
	b.ReportMetric(median(ratios), "x-bare")
	b.ReportMetric(0, "ns/op")
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
