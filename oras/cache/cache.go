// SPDX-License-Identifier: Apache-2.0

// Package cache keeps artifacts on this machine, so that they are fetched once, and
// are there when their registry isn't.
//
// A cache is a folder that any number of processes share without locks:
//
//	blobs/sha256/HEX      content, named by its digest
//	artifacts/sha256/HEX  what a manifest of that digest stands for: a JSON record
//	references/HEX        what a reference stood for last: a JSON record
//	proven/HEX            what a reference stood for when that was last said to work
//	notes/sha256/HEX      what somebody noted of the artifact of that digest
//
// Every file is written aside and renamed, so that it is whole or absent; two
// processes that fetch the same write the same. Content is compared with its digest
// each time it is read: a file that rots, or is tampered with, is fetched again. What
// was not used for longest is removed when the cache grows beyond its limit, and what is
// noted of it; a reader that loses a file to that fetches it again.
//
// A tag is always asked for: the cache answers for a registry only when that is
// unavailable, and then with what is proven, rather than with what came last and may
// never have worked. What has a digest needs nobody.
package cache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/wasm-graph/graphd/oras"
)

// DefaultMaxBytes is the limit where Config.MaxBytes is zero: 4 GiB.
const DefaultMaxBytes = 4 << 30

// abandoned is the age of a file that is being written by nobody any more.
const abandoned = 24 * time.Hour

// Config says how a cache is kept. Its zero value is good.
type Config struct {
	// MaxBytes bounds the content that is kept. The newest artifact is kept even if it
	// alone is larger. Zero means DefaultMaxBytes.
	MaxBytes int64
	// Logger is told when the cache stands in for a registry, and when something in it
	// is damaged or can't be written: none of that keeps an artifact from being
	// fetched. Nil means that nobody is told.
	Logger *slog.Logger
	// Now is the time by which use is judged. Nil means time.Now.
	Now func() time.Time
}

// Cache is a folder of artifacts. It is safe for concurrent use, also by several
// processes, and needs no closing.
type Cache struct {
	dir      string
	maxBytes int64
	logger   *slog.Logger
	now      func() time.Time
}

// Open opens the cache in the folder dir, which is made, for its owner only, where it
// isn't there.
func Open(dir string, config Config) (*Cache, error) {
	c := &Cache{dir: dir, maxBytes: cmp.Or(config.MaxBytes, DefaultMaxBytes), logger: config.Logger, now: config.Now}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	for _, sub := range folders {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("cache: open: %w", err)
		}
	}
	return c, nil
}

// The folders of a cache.
const (
	blobs      = "blobs/sha256"
	artifacts  = "artifacts/sha256"
	references = "references"
	proven     = "proven"
	notes      = "notes/sha256"
)

var folders = [...]string{blobs, artifacts, references, proven, notes}

// record is what is known of an artifact beside its content.
type record struct {
	Digest        string `json:"digest"` // of the manifest
	ContentDigest string `json:"contentDigest"`
	MediaType     string `json:"mediaType"`
	// Of a reference's record, for people who look into the folder.
	Endpoint  string `json:"endpoint,omitempty"`
	Reference string `json:"reference,omitempty"`
}

// Source returns source with the cache in front of it.
func (c *Cache) Source(source oras.Source) oras.Source { return &cached{c, source} }

// cached is a source with a cache in front of it.
type cached struct {
	cache  *Cache
	source oras.Source
}

func (s *cached) String() string { return s.source.String() }

// Resolve implements oras.Source.
func (s *cached) Resolve(ctx context.Context, ref string, kind oras.Kind) (string, error) {
	sum, err := s.source.Resolve(ctx, ref, kind)
	if !errors.Is(err, oras.ErrUnavailable) {
		return sum, err
	}
	known, ok := s.cache.standIn(s.String(), ref, kind)
	if !ok {
		return "", err
	}
	return known.Digest, nil
}

// Fetch implements oras.Source.
func (s *cached) Fetch(ctx context.Context, ref string, kind oras.Kind) (*oras.Artifact, error) {
	_, _, pinned, err := oras.Split(ref)
	if err != nil {
		return s.source.Fetch(ctx, ref, kind) // which says what is wrong with it
	}
	if pinned != "" {
		if a, ok := s.cache.artifact(pinned); ok {
			return a, nil
		}
		return s.fetch(ctx, ref, kind)
	}
	a, err := s.ask(ctx, ref, kind)
	if !errors.Is(err, oras.ErrUnavailable) {
		return a, err
	}
	known, ok := s.cache.standIn(s.String(), ref, kind)
	if !ok {
		return nil, err
	}
	if a, ok = s.cache.artifact(known.Digest); !ok {
		return nil, err
	}
	s.cache.logger.Warn("registry unavailable; using what is kept", "endpoint", s.String(), "reference", ref, "digest", a.Digest, "error", err)
	return a, nil
}

// ask asks the source what a tag stands for, and fetches that if it isn't here.
func (s *cached) ask(ctx context.Context, ref string, kind oras.Kind) (*oras.Artifact, error) {
	sum, err := s.source.Resolve(ctx, ref, kind)
	if err != nil {
		return nil, err
	}
	if a, ok := s.cache.artifact(sum); ok {
		s.cache.remember(s.String(), ref, kind, a)
		return a, nil
	}
	return s.fetch(ctx, ref, kind)
}

// fetch fetches from the source and keeps what comes.
func (s *cached) fetch(ctx context.Context, ref string, kind oras.Kind) (*oras.Artifact, error) {
	a, err := s.source.Fetch(ctx, ref, kind)
	if err != nil {
		return nil, err
	}
	if err := s.cache.keep(a); err != nil {
		s.cache.logger.Warn("artifact not kept in the cache", "reference", ref, "error", err)
		return a, nil
	}
	s.cache.remember(s.String(), ref, kind, a)
	if _, err := s.cache.Collect(); err != nil {
		s.cache.logger.Warn("cache not cleaned up", "error", err)
	}
	return a, nil
}

// artifact returns the artifact with a manifest of that digest, if all of it is there
// and as it should be.
func (c *Cache) artifact(sum string) (*oras.Artifact, bool) {
	name, ok := hexOf(sum)
	if !ok {
		return nil, false
	}
	var r record
	if !c.readRecord(filepath.Join(artifacts, name), &r) || r.Digest != sum {
		return nil, false
	}
	content, ok := hexOf(r.ContentDigest)
	if !ok {
		return nil, false
	}
	file := c.path(filepath.Join(blobs, content))
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	if digest.FromBytes(data).String() != r.ContentDigest {
		c.logger.Warn("damaged file in the cache; fetching it again", "file", file)
		os.Remove(file) // it is replaced, whether or not this succeeds
		return nil, false
	}
	c.touch(file)
	return &oras.Artifact{Digest: r.Digest, ContentDigest: r.ContentDigest, MediaType: r.MediaType, Content: data}, true
}

// keep writes an artifact: its content first, so that what is named is there.
func (c *Cache) keep(a *oras.Artifact) error {
	name, ok := hexOf(a.Digest)
	content, contentOK := hexOf(a.ContentDigest)
	if !ok || !contentOK {
		return fmt.Errorf("cache: keep %s: digests other than sha256 aren't kept", a.Digest)
	}
	if err := c.write(filepath.Join(blobs, content), a.Content); err != nil {
		return err
	}
	return c.writeRecord(filepath.Join(artifacts, name), record{Digest: a.Digest, ContentDigest: a.ContentDigest, MediaType: a.MediaType})
}

// remember notes what a reference stands for.
func (c *Cache) remember(endpoint, ref string, kind oras.Kind, a *oras.Artifact) {
	known, ok := c.reference(references, endpoint, ref, kind)
	if ok && known.Digest == a.Digest {
		return
	}
	err := c.writeRecord(referenceFile(references, endpoint, ref, kind), record{
		Digest: a.Digest, ContentDigest: a.ContentDigest, MediaType: a.MediaType, Endpoint: endpoint, Reference: ref,
	})
	if err != nil {
		c.logger.Warn("reference not kept in the cache", "reference", ref, "error", err)
	}
}

// Prove notes that what a reference stood for works, which is for its user to know:
// Resolve and Fetch return that when the registry is unavailable.
func (c *Cache) Prove(endpoint, ref string, kind oras.Kind, digest string) {
	if _, _, pinned, err := oras.Split(ref); err != nil || pinned != "" {
		return // it never stands for anything else
	}
	if known, ok := c.reference(proven, endpoint, ref, kind); ok && known.Digest == digest {
		return
	}
	err := c.writeRecord(referenceFile(proven, endpoint, ref, kind), record{Digest: digest, Endpoint: endpoint, Reference: ref})
	if err != nil {
		c.logger.Warn("reference not kept in the cache", "reference", ref, "error", err)
	}
}

// standIn returns what a reference stands for while its registry can't be asked: what
// is proven, if that is still there, or else what it stood for last.
func (c *Cache) standIn(endpoint, ref string, kind oras.Kind) (record, bool) {
	if r, ok := c.reference(proven, endpoint, ref, kind); ok {
		if _, ok := c.artifact(r.Digest); ok {
			return r, true
		}
	}
	return c.reference(references, endpoint, ref, kind)
}

// reference returns what one of the folders references and proven has of a reference.
func (c *Cache) reference(folder, endpoint, ref string, kind oras.Kind) (record, bool) {
	var r record
	ok := c.readRecord(referenceFile(folder, endpoint, ref, kind), &r)
	return r, ok && r.Endpoint == endpoint && r.Reference == ref
}

func referenceFile(folder, endpoint, ref string, kind oras.Kind) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s", kind, endpoint, ref))
	return filepath.Join(folder, hex.EncodeToString(sum[:]))
}

// Note keeps data under the digest of an artifact, in place of what was there: what
// one wants to know of it when its registry is gone, such as its signatures. It is not
// checked when it is read.
func (c *Cache) Note(digest string, data []byte) error {
	name, ok := hexOf(digest)
	if !ok {
		return fmt.Errorf("cache: note: %q is no sha256 digest", digest)
	}
	if err := c.write(filepath.Join(notes, name), data); err != nil {
		return fmt.Errorf("cache: note: %w", err)
	}
	return nil
}

// Noted returns what Note keeps of an artifact; false where there is nothing.
func (c *Cache) Noted(digest string) ([]byte, bool) {
	name, ok := hexOf(digest)
	if !ok {
		return nil, false
	}
	data, err := os.ReadFile(c.path(filepath.Join(notes, name)))
	return data, err == nil
}

// hexOf returns what names the files of a digest.
func hexOf(sum string) (string, bool) {
	d := digest.Digest(sum)
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return "", false
	}
	return d.Encoded(), true
}

func (c *Cache) path(name string) string { return filepath.Join(c.dir, filepath.FromSlash(name)) }

// touch notes that a file was used. It fails on a file system that can only be read,
// where nothing is removed either.
func (c *Cache) touch(file string) {
	now := c.now()
	_ = os.Chtimes(file, now, now)
}

func (c *Cache) readRecord(name string, r *record) bool {
	data, err := os.ReadFile(c.path(name))
	return err == nil && json.Unmarshal(data, r) == nil
}

func (c *Cache) writeRecord(name string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.write(name, data)
}

// write writes a file aside, makes sure that it is on the disk, and renames it.
func (c *Cache) write(name string, data []byte) (err error) {
	file := c.path(name)
	temp, err := os.CreateTemp(filepath.Dir(file), temporary+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(data)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	now := c.now()
	if err := os.Chtimes(temp.Name(), now, now); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

// temporary begins the names of files that are being written.
const temporary = ".writing-"

// Collect removes the content that was not used for longest, until what is left fits
// the limit, and what was abandoned half-written. It returns how many bytes that
// freed. Fetching through the cache collects by itself.
func (c *Cache) Collect() (freed int64, err error) {
	type file struct {
		name string
		size int64
		used time.Time
	}
	var content []file
	var total int64
	now := c.now()
	for _, dir := range folders {
		entries, err := os.ReadDir(c.path(dir))
		if err != nil {
			return freed, fmt.Errorf("cache: collect: %w", err)
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // another process was faster
			}
			if err != nil {
				return freed, fmt.Errorf("cache: collect: %w", err)
			}
			f := file{filepath.Join(c.path(dir), entry.Name()), info.Size(), info.ModTime()}
			switch {
			case strings.HasPrefix(entry.Name(), temporary):
				if now.Sub(f.used) > abandoned {
					if err := remove(f.name); err != nil {
						return freed, err
					}
					freed += f.size
				}
			case dir == blobs:
				content = append(content, f)
				total += f.size
			}
		}
	}
	slices.SortFunc(content, func(a, b file) int { return a.used.Compare(b.used) })
	if len(content) <= 1 || total <= c.maxBytes {
		return freed, nil
	}
	for len(content) > 1 && total > c.maxBytes {
		if err := remove(content[0].name); err != nil {
			return freed, err
		}
		total -= content[0].size
		freed += content[0].size
		content = content[1:]
	}
	return freed, c.forget()
}

// forget removes what is known of artifacts whose content is gone: the records, and the
// notes. References stay: there are as many as people write.
func (c *Cache) forget() error {
	entries, err := os.ReadDir(c.path(artifacts))
	if err != nil {
		return fmt.Errorf("cache: collect: %w", err)
	}
	for _, entry := range entries {
		var r record
		if strings.HasPrefix(entry.Name(), temporary) || !c.readRecord(filepath.Join(artifacts, entry.Name()), &r) {
			continue
		}
		if content, ok := hexOf(r.ContentDigest); ok {
			if _, err := os.Stat(c.path(filepath.Join(blobs, content))); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		for _, dir := range []string{artifacts, notes} {
			if err := remove(filepath.Join(c.path(dir), entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes a file that another process may have removed.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cache: collect: %w", err)
	}
	return nil
}
