// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/wasm-graph/graphd/engine/component/value"
)

// descriptor is an object of resource descriptor: an open file or directory.
type descriptor struct {
	preopen *Preopen // that it was reached through
	name    string   // below the preopen, as it was when it was opened
	flags   uint32   // descriptor-flags
	file    *file    // nil for a directory
	dir     *os.Root // nil for a file
	held    *file    // counts dir among the open files; nil for the preopen itself
}

// file is an open file of the host, or anything else that takes a file descriptor.
// It is shared by a descriptor and the streams that read and write it, and closed
// when the last of them is dropped.
type file struct {
	*os.File
	root *os.Root // closed in place of File where that is nil
	uses int
	open *int // of the Host
}

// keep counts what is open. It fails, and closes it, where the instance has as many
// open files as it may have.
func (h *Host) keep(f *os.File, root *os.Root) (*file, error) {
	k := &file{File: f, root: root, uses: 1, open: &h.openFiles}
	h.openFiles++
	if h.openFiles > h.cfg.OpenFiles {
		k.release()
		return nil, errInsufficientMemory // what else there is for "too many open files"
	}
	return k, nil
}

func (f *file) use() *file {
	f.uses++
	return f
}

func (f *file) release() {
	if f.uses--; f.uses > 0 {
		return
	}
	*f.open--
	// What was written is with the system. A guest that wants to know that it is
	// safe calls sync; nobody can be told here.
	if f.File != nil {
		_ = f.File.Close()
	} else {
		_ = f.root.Close()
	}
}

// close ends the descriptor; streams of its file go on.
func (d *descriptor) close() {
	if d.file != nil {
		d.file.release()
	} else if d.held != nil {
		d.held.release()
	}
}

func (d *descriptor) stat() (fs.FileInfo, error) {
	if d.file != nil {
		return d.file.Stat()
	}
	return d.dir.Stat(".")
}

// readable and writable return the file, or the error of reading or writing it.
func (d *descriptor) readable() (*file, error) {
	if d.file == nil {
		return nil, errIsDirectory
	}
	return d.opened(flagRead)
}

func (d *descriptor) writable() (*file, error) { return d.opened(flagWrite) }

func (d *descriptor) opened(flag uint32) (*file, error) {
	if d.file == nil || d.flags&flag == 0 {
		return nil, errBadDescriptor
	}
	return d.file, nil
}

// offsetOf returns a position in a file.
func offsetOf(v value.Value) (int64, error) {
	if v.U64() > math.MaxInt64 {
		return 0, errInvalid
	}
	return int64(v.U64()), nil
}

// fileReader reads a file from an offset on.
type fileReader struct {
	file   *file
	offset int64
}

func (r *fileReader) Read(p []byte) (int, error) {
	n, err := r.file.ReadAt(p, r.offset)
	r.offset += int64(n)
	if n > 0 {
		return n, nil // an error comes again, or the end
	}
	return 0, newFileError(err)
}

// fileWriter writes a file from an offset on, or at its end.
type fileWriter struct {
	file   *file
	offset int64
	append bool
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if w.append {
		info, err := w.file.Stat()
		if err != nil {
			return 0, newFileError(err)
		}
		w.offset = info.Size()
	}
	n, err := w.file.WriteAt(p, w.offset)
	w.offset += int64(n)
	return n, newFileError(err)
}

func readViaStream(d *descriptor, args []value.Value) (value.Value, error) {
	f, err := d.readable()
	if err != nil {
		return value.Value{}, err
	}
	offset, err := offsetOf(args[0])
	if err != nil {
		return value.Value{}, err
	}
	return value.Own(&inputStream{r: &fileReader{f.use(), offset}}), nil
}

func writeViaStream(d *descriptor, args []value.Value) (value.Value, error) {
	f, err := d.writable()
	if err != nil {
		return value.Value{}, err
	}
	offset, err := offsetOf(args[0])
	if err != nil {
		return value.Value{}, err
	}
	return value.Own(&outputStream{w: &fileWriter{file: f.use(), offset: offset}}), nil
}

func appendViaStream(d *descriptor, _ []value.Value) (value.Value, error) {
	f, err := d.writable()
	if err != nil {
		return value.Value{}, err
	}
	return value.Own(&outputStream{w: &fileWriter{file: f.use(), append: true}}), nil
}

// advise takes note of nothing: the system knows best.
func advise(d *descriptor, _ []value.Value) (value.Value, error) {
	if d.file == nil {
		return value.Value{}, errBadDescriptor
	}
	return value.Value{}, nil
}

func syncFile(d *descriptor, _ []value.Value) (value.Value, error) {
	if d.file != nil {
		return value.Value{}, d.file.Sync()
	}
	f, err := d.dir.Open(".")
	if err != nil {
		return value.Value{}, err
	}
	return value.Value{}, errors.Join(f.Sync(), f.Close())
}

func getFlags(d *descriptor, _ []value.Value) (value.Value, error) { return value.Flags(d.flags), nil }

func getType(d *descriptor, _ []value.Value) (value.Value, error) {
	if d.file == nil {
		return value.Enum(typeDirectory), nil
	}
	return value.Enum(typeRegularFile), nil
}

func setSize(d *descriptor, args []value.Value) (value.Value, error) {
	f, err := d.writable()
	if err != nil {
		return value.Value{}, err
	}
	size, err := offsetOf(args[0])
	if err != nil {
		return value.Value{}, err
	}
	return value.Value{}, f.Truncate(size)
}

// read reads all that is asked for, up to a chunk, or up to the end.
func (h *Host) read(d *descriptor, args []value.Value) (value.Value, error) {
	f, err := d.readable()
	if err != nil {
		return value.Value{}, err
	}
	offset, err := offsetOf(args[1])
	if err != nil {
		return value.Value{}, err
	}
	p := make([]byte, min(args[0].U64(), uint64(h.cfg.ChunkBytes)))
	n, err := f.ReadAt(p, offset)
	if err != nil && err != io.EOF {
		return value.Value{}, err
	}
	return value.Tuple(value.Bytes(p[:n]), value.Bool(err == io.EOF)), nil
}

func write(d *descriptor, args []value.Value) (value.Value, error) {
	f, err := d.writable()
	if err != nil {
		return value.Value{}, err
	}
	offset, err := offsetOf(args[1])
	if err != nil {
		return value.Value{}, err
	}
	n, err := f.WriteAt(args[0].Bytes(), offset)
	if n == 0 && err != nil {
		return value.Value{}, err
	}
	return value.U64(uint64(n)), nil
}

func stat(d *descriptor, _ []value.Value) (value.Value, error) {
	info, err := d.stat()
	if err != nil {
		return value.Value{}, err
	}
	return statOf(info), nil
}

func metadataHash(d *descriptor, _ []value.Value) (value.Value, error) {
	info, err := d.stat()
	if err != nil {
		return value.Value{}, err
	}
	return hashOf(info), nil
}

// setTimes sets the times by the name that the file had when it was opened, if it
// still has it: Go offers no other way.
func (h *Host) setTimes(d *descriptor, args []value.Value) (value.Value, error) {
	if !d.preopen.Write {
		return value.Value{}, errReadOnly
	}
	if err := d.stillThere(); err != nil {
		return value.Value{}, err
	}
	return value.Value{}, h.changeTimes(d.preopen.Root, d.name, args[0], args[1])
}

// stillThere returns an error where the descriptor's name has come to mean
// something else.
func (d *descriptor) stillThere() error {
	now, err := d.preopen.Root.Lstat(d.name)
	if err != nil {
		return errUnsupported
	}
	if own, err := d.stat(); err != nil || !os.SameFile(now, own) {
		return errUnsupported
	}
	return nil
}

// changeTimes sets the times of access and modification.
func (h *Host) changeTimes(root *os.Root, name string, access, modification value.Value) error {
	a, err := h.timeOf(access)
	if err != nil {
		return err
	}
	m, err := h.timeOf(modification)
	if err != nil {
		return err
	}
	return root.Chtimes(name, a, m)
}

// timeOf returns the time of a new-timestamp; the zero time is no change.
func (h *Host) timeOf(v value.Value) (time.Time, error) {
	switch v.Case() {
	case 0:
		return time.Time{}, nil
	case 1:
		return h.cfg.WallClock(), nil
	}
	seconds, nanoseconds := v.Payload().Field(0).U64(), v.Payload().Field(1).U32()
	switch {
	case nanoseconds >= 1e9:
		return time.Time{}, errInvalid
	case seconds > math.MaxInt64/1_000_000_000: // what a time in nanoseconds can say
		return time.Time{}, errOverflow
	}
	return time.Unix(int64(seconds), int64(nanoseconds)), nil
}

// The cases of enum descriptor-type.
const (
	typeUnknown = iota
	typeBlockDevice
	typeCharacterDevice
	typeDirectory
	typeFIFO
	typeSymbolicLink
	typeRegularFile
	typeSocket
)

func typeOf(mode fs.FileMode) value.Value {
	t := uint32(typeUnknown)
	switch mode.Type() {
	case 0:
		t = typeRegularFile
	case fs.ModeDir:
		t = typeDirectory
	case fs.ModeSymlink:
		t = typeSymbolicLink
	case fs.ModeNamedPipe:
		t = typeFIFO
	case fs.ModeSocket:
		t = typeSocket
	case fs.ModeDevice:
		t = typeBlockDevice
	case fs.ModeDevice | fs.ModeCharDevice:
		t = typeCharacterDevice
	}
	return value.Enum(t)
}

// statOf returns a descriptor-stat.
func statOf(info fs.FileInfo) value.Value {
	s := systemStat(info)
	size := uint64(max(0, info.Size()))
	return value.Record(typeOf(info.Mode()), value.U64(s.links), value.U64(size),
		moment(s.access), moment(info.ModTime()), moment(s.change))
}

// moment returns an option<datetime>.
func moment(t time.Time) value.Value {
	if t.IsZero() || t.Unix() < 0 {
		return value.None()
	}
	return value.Some(datetime(uint64(t.Unix()), uint32(t.Nanosecond())))
}

// hashOf returns a metadata-hash-value. It depends on which file it is, and not on
// what is in it: guests take it for the number of an inode.
func hashOf(info fs.FileInfo) value.Value {
	lower, upper := systemStat(info).identity[0], systemStat(info).identity[1]
	return value.Record(value.U64(mix(lower)), value.U64(mix(upper^mix(lower))))
}

// mix scatters the bits of x, and maps no two numbers to one: the finalizer of
// splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
