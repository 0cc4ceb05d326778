// SPDX-License-Identifier: Apache-2.0

// Package disk keeps a graph's windows in a file: a bbolt database, which is a tree
// of pages that are never written over while they are valid, and two alternating
// roots with checksums. A commit that was cut short leaves the root before it, so
// what is opened after a crash is the last commit that was reported done.
//
// bbolt doesn't notice when a page is not what was written: a disk that lies, a file
// that was cut off or mended by hand. So every record is kept with a hash of key and
// value, and every commit also writes how many records there are and the sum of their
// hashes; whoever reads compares. Such a file is refused, never guessed at.
package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/wasm-graph/graphd/engine/window"
)

// format is the version of what is in the file.
const format = "graphd windows 2"

// lockPatience is how long Open waits for another process to give the file up.
const lockPatience = 100 * time.Millisecond

var _ window.Store = (*Store)(nil)

// The buckets of the database, and the keys in the second.
const (
	recordsBucket = "records"
	metaBucket    = "meta"
	formatKey     = "format"
	totalKey      = "total"
)

// Store is a window.Store in a file.
type Store struct {
	path string
	db   *bolt.DB
}

// Open opens the store in the file path, or makes an empty one if there is no such
// file, with its folder. The error wraps window.ErrLocked if another process, or
// this one, has it open, and window.ErrCorrupt if it is not a sound store.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("disk: open window store %s: %w", path, err)
	}
	return s, nil
}

func (s *Store) open() error {
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := s.create(); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Size() == 0: // bbolt would take it for a new one
		return s.corrupt(fmt.Errorf("%w: it is empty", window.ErrCorrupt))
	}
	file, err := s.openFile(s.path)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w by another process or graph: only one may use it", window.ErrLocked)
	case errors.Is(err, window.ErrCorrupt), errors.Is(err, bolterrors.ErrInvalid),
		errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		if file != nil {
			// bbolt has closed it, unless it panicked.
			_ = unlock(file)
			_ = file.Close()
		}
		return s.corrupt(err)
	case err != nil && strings.Contains(err.Error(), "file size too small"):
		return s.corrupt(err)
	case err != nil:
		return err
	}
	if err := guard(s.check); err != nil {
		if errors.Is(err, window.ErrCorrupt) {
			err = s.corrupt(err)
		}
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// openFile opens the database in the file path, and returns that file.
func (s *Store) openFile(path string) (file *os.File, err error) {
	err = guard(func() (err error) {
		s.db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockPatience, FreelistType: bolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				file = f
				return f, err
			},
		})
		return err
	})
	return file, err
}

// create makes an empty store. It gets its name when it is whole, so that a file of
// that name which isn't has lost something.
func (s *Store) create() error {
	folder := filepath.Dir(s.path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	fresh := s.path + ".new"
	if _, err := s.openFile(fresh); err != nil {
		if errors.Is(err, bolterrors.ErrTimeout) {
			return fmt.Errorf("%w by another process or graph, which makes it", window.ErrLocked)
		}
		return errors.Join(err, os.Remove(fresh)) // of a creation that was cut short; the next try is another
	}
	if _, err := os.Stat(s.path); err == nil { // somebody else was faster
		return errors.Join(s.db.Close(), os.Remove(fresh))
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists([]byte(recordsBucket)); err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists([]byte(metaBucket))
		if err != nil {
			return err
		}
		return errors.Join(meta.Put([]byte(formatKey), []byte(format)), total{}.put(meta))
	})
	if err := errors.Join(err, s.db.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, s.path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// check checks that the file is as long as it should be and of our format.
func (s *Store) check() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%w: it has %d bytes of %d", window.ErrCorrupt, info.Size(), tx.Size())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(metaBucket))
		if meta == nil {
			return errTable
		}
		if got := meta.Get([]byte(formatKey)); string(got) != format {
			return fmt.Errorf("it has the format %q, and this graphd knows %q: run the graphd that wrote it, or move the file away", got, format)
		}
		return nil
	})
}

// corrupt wraps what says that the file can't be used.
func (s *Store) corrupt(err error) error {
	if !errors.Is(err, window.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", window.ErrCorrupt, err)
	}
	return fmt.Errorf("%w; restore %s from a backup, or move it away to start without the windows in it", err, s.path)
}

// guard calls f, and returns an error where it panics or reads memory that has no
// file behind it, as bbolt does with a damaged one.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", window.ErrCorrupt, p)
		}
	}()
	return f()
}

// total stands for all records.
type total struct {
	count uint64
	sum   uint64 // of the hashes of all records
}

func totalOf(meta *bolt.Bucket) (t total, ok bool) {
	if meta == nil {
		return t, false
	}
	v := meta.Get([]byte(totalKey))
	if len(v) != 16 {
		return t, false
	}
	return total{binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])}, true
}

func (t total) put(meta *bolt.Bucket) error {
	v := binary.LittleEndian.AppendUint64(nil, t.count)
	return meta.Put([]byte(totalKey), binary.LittleEndian.AppendUint64(v, t.sum))
}

func (t *total) add(hash uint64) {
	t.count++
	t.sum += hash
}

func (t *total) remove(hash uint64) {
	t.count--
	t.sum -= hash
}

// hashSize is the size of the hash in front of each value.
const hashSize = 8

// hashOf returns the hash in front of a value; of one that is too short, something.
func hashOf(stored []byte) uint64 {
	if len(stored) < hashSize {
		return 0
	}
	return binary.LittleEndian.Uint64(stored)
}

// value returns the value behind its hash, which it checks.
func value(key, stored []byte) ([]byte, error) {
	if len(stored) < hashSize || hash(key, stored[hashSize:]) != hashOf(stored) {
		return nil, fmt.Errorf("%w: the record %q is not what was written", window.ErrCorrupt, key)
	}
	return stored[hashSize:], nil
}

// hash is two sums that the processor has instructions for, of all of a record.
func hash(key, value []byte) uint64 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	var high, low uint32
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(key)))
	for _, part := range [][]byte{length[:], key, value} {
		high = crc32.Update(high, castagnoli, part)
		low = crc32.Update(low, crc32.IEEETable, part)
	}
	return uint64(high)<<32 | uint64(low)
}

// errTable says that a table is missing.
var errTable = fmt.Errorf("%w: a table is missing", window.ErrCorrupt)

// Read implements window.Store. It reads all records even where yield stops it: what
// yield didn't like may be damaged.
func (s *Store) Read(ctx context.Context, yield func(key, value []byte) error) error {
	var stopped error
	err := guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket([]byte(recordsBucket))
			want, ok := totalOf(tx.Bucket([]byte(metaBucket)))
			if records == nil || !ok {
				return errTable
			}
			var got total
			c := records.Cursor()
			for key, stored := c.First(); key != nil; key, stored = c.Next() {
				if err := ctx.Err(); err != nil {
					return err
				}
				value, err := value(key, stored)
				if err != nil {
					return err
				}
				got.add(hashOf(stored))
				if stopped == nil {
					stopped = yield(key, value)
				}
			}
			if got != want {
				return fmt.Errorf("%w: its %d records are not the %d that were written", window.ErrCorrupt, got.count, want.count)
			}
			return nil
		})
	})
	if errors.Is(err, window.ErrCorrupt) {
		err = s.corrupt(err)
	}
	if err != nil {
		return fmt.Errorf("disk: read window store: %w", err)
	}
	return stopped
}

// Range implements window.Store.
func (s *Store) Range(ctx context.Context, from, to []byte, most int, yield func(key, value []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var stopped error
	err := guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket([]byte(recordsBucket))
			if records == nil {
				return errTable
			}
			c := records.Cursor()
			for key, stored := c.Seek(from); most > 0 && key != nil && bytes.Compare(key, to) < 0 && stopped == nil; key, stored = c.Next() {
				value, err := value(key, stored)
				if err != nil {
					return err
				}
				stopped = yield(key, value)
				most--
			}
			return nil
		})
	})
	if errors.Is(err, window.ErrCorrupt) {
		err = s.corrupt(err)
	}
	if err != nil {
		return fmt.Errorf("disk: read window store: %w", err)
	}
	return stopped
}

// Commit implements window.Store. It returns when the disk has it.
func (s *Store) Commit(ctx context.Context, changes []window.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			records, meta := tx.Bucket([]byte(recordsBucket)), tx.Bucket([]byte(metaBucket))
			t, ok := totalOf(meta)
			if records == nil || !ok {
				return errTable
			}
			size := 0
			for _, c := range changes {
				size += hashSize + len(c.Value)
			}
			arena := make([]byte, 0, size) // bbolt keeps slices of it until the commit
			for _, c := range changes {
				if err := t.apply(records, c, &arena); err != nil {
					return err
				}
			}
			return t.put(meta)
		})
	})
	if err == nil {
		return nil
	}
	if errors.Is(err, window.ErrCorrupt) {
		err = s.corrupt(err)
	}
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		// Where it can't grow the file, bbolt keeps no more than the text.
		if errors.Is(err, full) || strings.HasSuffix(err.Error(), ": "+full.Error()) {
			return fmt.Errorf("disk: write window store %s: %w: %w", s.path, window.ErrFull, err)
		}
	}
	return fmt.Errorf("disk: write window store %s: %w", s.path, err)
}

// apply makes one change. What it stores it puts into the arena.
func (t *total) apply(records *bolt.Bucket, c window.Change, arena *[]byte) error {
	switch {
	case c.End != nil:
		cursor := records.Cursor()
		// A cursor may skip a record after it has deleted one: it looks for each anew, from
		// the one before on, since emptied pages stay until the commit.
		key, stored := cursor.Seek(c.Key)
		for key != nil && bytes.Compare(key, c.End) < 0 {
			t.remove(hashOf(stored))
			last := bytes.Clone(key)
			if err := records.Delete(key); err != nil {
				return err
			}
			key, stored = cursor.Seek(last)
		}
		return nil
	case c.Value == nil:
		if old := records.Get(c.Key); old != nil {
			t.remove(hashOf(old))
		}
		return records.Delete(c.Key)
	default:
		if old := records.Get(c.Key); old != nil {
			t.remove(hashOf(old))
		}
		sum, from := hash(c.Key, c.Value), len(*arena)
		*arena = append(binary.LittleEndian.AppendUint64(*arena, sum), c.Value...)
		t.add(sum)
		return records.Put(c.Key, (*arena)[from:len(*arena):len(*arena)])
	}
}

// Close implements window.Store.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("disk: close window store %s: %w", s.path, err)
	}
	return nil
}
