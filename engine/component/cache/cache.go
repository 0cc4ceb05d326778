// SPDX-License-Identifier: Apache-2.0

// Package cache keeps, in a folder, what was made from a component at some expense:
// the native code of its core modules, and which they are. A process that starts again, or another one
// beside it, takes it from there instead of making it anew.
//
// An entry is a file, named by its [Key], a digest of everything that its content was
// made from. It appears in the folder complete or not at all, and ends in a checksum.
// So any number of processes may use a folder at the same time; whichever is last to
// make an entry replaces an equal one. An entry that was damaged is removed when it is
// read, and is then missing.
//
// Nothing depends on a cache. What can't be read is missing, what can't be written (a
// full disk, a folder that is gone) is logged and left out. The checksum is against
// accidents and not against people: what is in the folder is executed, so it has mode
// 0700, and [Open] refuses one that others may write to. One that this process may not
// write to, as in an image with code that was compiled when it was made, is read.
//
// The folder is bounded. Whenever an entry is added, those that nobody has used for a
// long time are removed, and then the least recently used ones until the rest fits.
package cache

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Config configures a Cache. The zero value is the default.
type Config struct {
	// Size is how many bytes the entries may take together; default 2 GiB. An entry
	// of more than half of it is not kept.
	Size int64
	// Age is for how long an entry is kept that nobody uses; default 30 days.
	Age time.Duration
	// Now reads the clock that files are dated by; default time.Now.
	Now func() time.Time
	// Logger is told what went wrong, since nothing else comes of it; default none.
	Logger *slog.Logger
}

// Cache is a folder of entries. It is safe for concurrent use, also by several
// processes. A nil *Cache holds nothing and keeps nothing.
type Cache struct {
	dir      string
	config   Config
	readOnly bool
}

// Key names an entry: a SHA-256 digest of all that its content depends on.
type Key [32]byte

// String returns the name of the entry's file.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey returns the Key whose String is s.
func ParseKey(s string) (key Key, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(key) {
		return Key{}, fmt.Errorf("cache: %q is not the name of an entry", s)
	}
	return Key(b), nil
}

// Open returns the cache in folder dir, which is made, with mode 0700, if it doesn't
// exist.
func Open(dir string, config Config) (*Cache, error) {
	config.Size = cmp.Or(config.Size, 2<<30)
	config.Age = cmp.Or(config.Age, 30*24*time.Hour)
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if err := prepare(dir); err != nil {
		return nil, fmt.Errorf("cache: open %s: %w", dir, err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cache: open %s: %w", dir, err)
	}
	c := &Cache{dir: abs, config: config}
	probe, err := os.MkdirTemp(abs, scratch+"*")
	if err == nil {
		err = os.Remove(probe)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		c.readOnly = true
		config.Logger.Info("the cache of compiled code can't be written to; what is in it is used", "folder", abs)
	}
	return c, nil // what else is wrong is told by who comes across it
}

// ReadOnly reports whether the folder can't be written to: Put and Adopt do nothing.
func (c *Cache) ReadOnly() bool { return c != nil && c.readOnly }

func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fs.ErrInvalid
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("mode %#o lets others write code into it; use 0700", info.Mode().Perm())
	}
	return nil
}

// An entry is its content, its label, and the trailer: the length of the content and of
// the label, a CRC-32C of everything so far, and the magic number.
const (
	magic        = "graphd-1"
	trailerSize  = 8 + 4 + 4 + len(magic)
	checksumSize = 4 + len(magic)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("entry is damaged")

// readTrailer takes the trailer apart. size is that of the whole entry.
func readTrailer(t []byte, size int64) (content, label int64, sum uint32, err error) {
	if len(t) != trailerSize || string(t[16:]) != magic {
		return 0, 0, 0, errDamaged
	}
	length, tail := binary.LittleEndian.Uint64(t), binary.LittleEndian.Uint32(t[8:])
	if length > uint64(size) || int64(length)+int64(tail)+int64(trailerSize) != size {
		return 0, 0, 0, errDamaged
	}
	return int64(length), int64(tail), binary.LittleEndian.Uint32(t[12:]), nil
}

// writeTail writes what follows the content, whose checksum is sum.
func writeTail(w io.Writer, content int64, label []byte, sum uint32) error {
	tail := slices.Clone(label)
	tail = binary.LittleEndian.AppendUint64(tail, uint64(content))
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(label)))
	tail = binary.LittleEndian.AppendUint32(tail, crc32.Update(sum, castagnoli, tail))
	_, err := w.Write(append(tail, magic...))
	return err
}

// Get returns the content of an entry. The caller owns it.
func (c *Cache) Get(key Key) (content []byte, ok bool) {
	if c == nil {
		return nil, false
	}
	data, err := os.ReadFile(c.path(key))
	if err == nil {
		content, err = decode(data)
	}
	return content, c.found(key, err)
}

// decode returns the content of an entry.
func decode(data []byte) ([]byte, error) {
	content, _, sum, err := readTrailer(data[max(0, len(data)-trailerSize):], int64(len(data)))
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(data[:len(data)-checksumSize], castagnoli) != sum {
		return nil, errDamaged
	}
	return data[:content:content], nil
}

// found ends a look at an entry: it is marked as used, or removed if it is damaged.
func (c *Cache) found(key Key, err error) bool {
	switch {
	case err == nil:
		// Dated to the hour, so that few starts write.
		if info, err := os.Stat(c.path(key)); err == nil && c.config.Now().Sub(info.ModTime()) > time.Hour {
			now := c.config.Now()
			_ = os.Chtimes(c.path(key), now, now) // else it is removed early
		}
		return true
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDamaged):
		c.Remove(key)
		c.config.Logger.Warn("a damaged entry was removed from the cache of compiled code; it is made anew", "file", c.path(key))
	default:
		c.config.Logger.Warn("the cache of compiled code can't be read", "error", err)
	}
	return false
}

// Put adds an entry.
func (c *Cache) Put(key Key, content []byte) {
	if c != nil && !c.readOnly && int64(len(content)) <= c.config.Size/2 {
		c.added(c.write(key, content))
	}
}

func (c *Cache) write(key Key, content []byte) (err error) {
	f, err := os.CreateTemp(c.dir, key.String()+".*"+temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := writeTail(f, int64(len(content)), nil, crc32.Checksum(content, castagnoli)); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.path(key))
}

// Check reports whether there is an undamaged entry that Adopt added, and returns its
// label.
func (c *Cache) Check(key Key) (label []byte, ok bool) {
	if c == nil {
		return nil, false
	}
	label, err := c.check(key)
	return label, c.found(key, err)
}

func (c *Cache) check(key Key) ([]byte, error) {
	f, err := os.Open(c.path(key))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, min(int64(trailerSize), info.Size()))
	if _, err := f.ReadAt(trailer, info.Size()-int64(len(trailer))); err != nil {
		return nil, err
	}
	content, length, want, err := readTrailer(trailer, info.Size())
	if err != nil {
		return nil, err
	}
	sum, err := checksum(f, info.Size()-int64(checksumSize))
	if err != nil {
		return nil, err
	}
	if sum != want {
		return nil, errDamaged
	}
	label := make([]byte, length)
	if _, err := f.ReadAt(label, content); err != nil {
		return nil, err
	}
	return label, nil
}

// Link makes an entry a file again, by a hard link, or a symbolic one where the folder
// can't be written to. The file has some bytes more at its end than it had, and must not
// be written to.
func (c *Cache) Link(key Key, file string) error {
	link := os.Link
	if c.readOnly { // and perhaps another's, or on another file system
		link = os.Symlink
	}
	if err := link(c.path(key), file); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

// checksum reads the first n bytes of f.
func checksum(f *os.File, n int64) (sum uint32, err error) {
	buf := make([]byte, 256<<10)
	for at := int64(0); at < n; {
		got, err := f.ReadAt(buf[:min(int64(len(buf)), n-at)], at)
		if got == 0 {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, buf[:got])
		at += int64(got)
	}
	return sum, nil
}

// Adopt makes a file, which must be in a Scratch folder and complete, an entry, with a
// label. It is gone from where it was.
func (c *Cache) Adopt(key Key, file string, label []byte) {
	switch {
	case c == nil:
	case c.readOnly:
		_ = remove(file) // or whoever removes the Scratch folder does
	default:
		c.added(errors.Join(c.adopt(key, file, label), remove(file)))
	}
}

func (c *Cache) adopt(key Key, file string, label []byte) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size > c.config.Size/2 {
		return err
	}
	sum, err := checksum(f, size)
	if err != nil {
		return err
	}
	if err := writeTail(f, size, label, sum); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(file, c.path(key))
}

// remove removes a file that may not be there.
func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Remove removes an entry: its content turned out to be of no use.
func (c *Cache) Remove(key Key) {
	if c == nil {
		return
	}
	if err := remove(c.path(key)); err != nil {
		c.config.Logger.Warn("an entry of the cache of compiled code can't be removed", "error", err)
	}
}

// Scratch makes an empty folder on the file system of the cache, or the system's place
// for temporary files where the cache can't be written to. The caller removes it; one in
// the cache that is left by a process that died is removed later.
func (c *Cache) Scratch() (dir string, err error) {
	parent := c.dir
	if c.readOnly {
		parent = os.TempDir()
	}
	dir, err = os.MkdirTemp(parent, scratch+"*")
	if err != nil {
		return "", fmt.Errorf("cache: make scratch folder: %w", err)
	}
	return dir, nil
}

func (c *Cache) path(key Key) string { return filepath.Join(c.dir, key.String()) }

// Names of files that are not entries.
const (
	temporary = ".tmp"
	scratch   = "scratch-"
	// leftover is after how long such files are taken for left by a dead process.
	leftover = 24 * time.Hour
)

// Warn tells the logger that err keeps code from being kept.
func (c *Cache) Warn(err error) {
	c.config.Logger.Warn("compiled code is not kept on this machine", "error", err)
}

// added ends the addition of an entry.
func (c *Cache) added(err error) {
	if err != nil {
		c.Warn(err)
	}
	if err := c.collect(); err != nil {
		c.config.Logger.Warn("the cache of compiled code can't be cleaned up", "error", err)
	}
}

// collect removes what is old, and then what was used least recently.
func (c *Cache) collect() error {
	listed, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	type entry struct {
		path string
		size int64
		used time.Time
	}
	var (
		entries []entry
		total   int64
		errs    []error
		now     = c.config.Now()
	)
	for _, d := range listed {
		info, err := d.Info()
		if err != nil {
			continue // removed by another process
		}
		_, err = ParseKey(d.Name())
		path, age := filepath.Join(c.dir, d.Name()), now.Sub(info.ModTime())
		switch {
		case strings.HasPrefix(d.Name(), scratch) && age > leftover:
			errs = append(errs, os.RemoveAll(path))
		case strings.HasSuffix(d.Name(), temporary) && age > leftover:
			errs = append(errs, remove(path))
		case err != nil: // not an entry
		case age > c.config.Age:
			errs = append(errs, remove(path))
		default:
			entries = append(entries, entry{path, info.Size(), info.ModTime()})
			total += info.Size()
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if total <= c.config.Size {
			break
		}
		errs = append(errs, remove(e.path))
		total -= e.size
	}
	return errors.Join(errs...)
}
