// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/wasm-graph/graphd/engine/component/value"
)

// entriesAtOnce is how many entries of a directory are read at once.
const entriesAtOnce = 256

// at returns the directory that a path of the guest is relative to, and the path. It
// sees to what [os.Root] doesn't.
func (d *descriptor) at(v value.Value) (*os.Root, string, error) {
	p := v.Str()
	switch {
	case d.dir == nil:
		return nil, "", errNotDirectory
	case p == "":
		return nil, "", errNoEntry
	case path.IsAbs(p):
		return nil, "", errNotPermitted
	case strings.ContainsRune(p, 0):
		return nil, "", errInvalid
	}
	return d.dir, p, nil
}

// changeAt is at, of a directory that may be changed.
func (d *descriptor) changeAt(v value.Value) (*os.Root, string, error) {
	root, p, err := d.at(v)
	if err == nil && !d.preopen.Write {
		err = errReadOnly
	}
	return root, p, err
}

// below returns the name below the preopen of what has the name p in d. It isn't
// cleaned: what ".." means depends on links.
func (d *descriptor) below(p string) string {
	if d.name == "." {
		return p
	}
	return d.name + "/" + p
}

// look returns what is known of p, itself or what it links to.
func look(root *os.Root, p string, flags value.Value) (fs.FileInfo, error) {
	if uint32(flags.Bits())&symlinkFollow != 0 {
		return root.Stat(p)
	}
	return root.Lstat(p)
}

// openAt opens files and directories, and nothing else: what waits for another
// program would keep the guest past its deadline.
func (h *Host) openAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, p, err := d.at(args[1])
	if err != nil {
		return value.Value{}, err
	}
	how, flags := uint32(args[2].Bits()), uint32(args[3].Bits())
	changes := how&(openCreate|openTruncate) != 0 || flags&(flagWrite|flagMutateDirectory) != 0
	switch {
	case changes && !d.preopen.Write:
		return value.Value{}, errReadOnly
	case how&openDirectory != 0 && how&(openCreate|openTruncate) != 0:
		return value.Value{}, errInvalid
	case how&openTruncate != 0 && flags&flagWrite == 0:
		return value.Value{}, errInvalid
	}
	info, err := look(root, p, args[0])
	switch {
	case err != nil && (how&openCreate == 0 || codeOf(err) != errNoEntry):
		return value.Value{}, err
	case err != nil: // to be created
	case how&openCreate != 0 && how&openExclusive != 0:
		return value.Value{}, errExist
	case info.IsDir() && (how&(openTruncate|openCreate) != 0 || flags&flagWrite != 0):
		return value.Value{}, errIsDirectory
	case info.IsDir():
		return h.openDirectory(d, root, p)
	case how&openDirectory != 0:
		return value.Value{}, errNotDirectory
	case info.Mode()&fs.ModeSymlink != 0:
		return value.Value{}, errLoop
	case !info.Mode().IsRegular():
		return value.Value{}, errNotPermitted
	}
	return h.openFile(d, root, p, how, flags)
}

func (h *Host) openDirectory(d *descriptor, root *os.Root, p string) (value.Value, error) {
	sub, err := root.OpenRoot(p)
	if err != nil {
		return value.Value{}, err
	}
	held, err := h.keep(nil, sub)
	if err != nil {
		return value.Value{}, err
	}
	flags := uint32(flagRead)
	if d.preopen.Write {
		flags |= flagMutateDirectory
	}
	return value.Own(&descriptor{preopen: d.preopen, name: d.below(p), flags: flags, dir: sub, held: held}), nil
}

func (h *Host) openFile(d *descriptor, root *os.Root, p string, how, flags uint32) (value.Value, error) {
	mode := syscall.O_NONBLOCK // should it have become a pipe
	switch {
	case flags&flagWrite == 0:
		mode |= os.O_RDONLY
	case flags&flagRead == 0:
		mode |= os.O_WRONLY
	default:
		mode |= os.O_RDWR
	}
	for flag, bit := range map[uint32]int{openCreate: os.O_CREATE, openExclusive: os.O_EXCL, openTruncate: os.O_TRUNC} {
		if how&flag != 0 {
			mode |= bit
		}
	}
	if flags&(flagFileSync|flagDataSync|flagRequestedSync) != 0 {
		mode |= os.O_SYNC
	}
	f, err := root.OpenFile(p, mode, 0o666)
	if err != nil {
		return value.Value{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotPermitted
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return value.Value{}, err
	}
	kept, err := h.keep(f, nil)
	if err != nil {
		return value.Value{}, err
	}
	return value.Own(&descriptor{preopen: d.preopen, name: d.below(p), flags: flags &^ flagMutateDirectory, file: kept}), nil
}

// entries is an object of resource directory-entry-stream.
type entries struct {
	file *file
	list []fs.DirEntry // read, and not yet returned
}

func (h *Host) readDirectory(d *descriptor, _ []value.Value) (value.Value, error) {
	if d.dir == nil {
		return value.Value{}, errNotDirectory
	}
	f, err := d.dir.Open(".")
	if err != nil {
		return value.Value{}, err
	}
	kept, err := h.keep(f, nil)
	if err != nil {
		return value.Value{}, err
	}
	return value.Own(&entries{file: kept}), nil
}

// next returns an option<directory-entry>.
func (e *entries) next() (value.Value, error) {
	if len(e.list) == 0 {
		var err error
		if e.list, err = e.file.ReadDir(entriesAtOnce); err == io.EOF {
			return value.None(), nil
		} else if err != nil {
			return value.Value{}, err
		}
	}
	first := e.list[0]
	e.list = e.list[1:]
	return value.Some(value.Record(typeOf(first.Type()), value.String(strings.ToValidUTF8(first.Name(), "\uFFFD")))), nil
}

func createDirectoryAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, p, err := d.changeAt(args[0])
	if err != nil {
		return value.Value{}, err
	}
	return value.Value{}, root.Mkdir(p, 0o777)
}

func statAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, p, err := d.at(args[1])
	if err != nil {
		return value.Value{}, err
	}
	info, err := look(root, p, args[0])
	if err != nil {
		return value.Value{}, err
	}
	return statOf(info), nil
}

func metadataHashAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, p, err := d.at(args[1])
	if err != nil {
		return value.Value{}, err
	}
	info, err := look(root, p, args[0])
	if err != nil {
		return value.Value{}, err
	}
	return hashOf(info), nil
}

// setTimesAt does not set the times of links.
func (h *Host) setTimesAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, p, err := d.changeAt(args[1])
	if err != nil {
		return value.Value{}, err
	}
	info, err := look(root, p, args[0])
	if err != nil {
		return value.Value{}, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return value.Value{}, errUnsupported
	}
	return value.Value{}, h.changeTimes(root, p, args[2], args[3])
}

func readlinkAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, p, err := d.at(args[0])
	if err != nil {
		return value.Value{}, err
	}
	target, err := root.Readlink(p)
	switch {
	case err != nil:
		return value.Value{}, err
	case path.IsAbs(target): // says where things are outside
		return value.Value{}, errNotPermitted
	}
	return value.String(strings.ToValidUTF8(target, "\uFFFD")), nil
}

// symlinkAt makes links that stay below the preopen, as far as their text tells:
// others may follow them who don't look where they lead.
func symlinkAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, p, err := d.changeAt(args[1])
	if err != nil {
		return value.Value{}, err
	}
	target := args[0].Str()
	switch {
	case target == "":
		return value.Value{}, errNoEntry
	case strings.ContainsRune(target, 0):
		return value.Value{}, errInvalid
	}
	if to := path.Join(path.Dir(d.below(p)), target); path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
		return value.Value{}, errNotPermitted
	}
	return value.Value{}, root.Symlink(target, p)
}

func removeDirectoryAt(d *descriptor, args []value.Value) (value.Value, error) {
	return remove(d, args[0], true)
}

func unlinkFileAt(d *descriptor, args []value.Value) (value.Value, error) {
	return remove(d, args[0], false)
}

func remove(d *descriptor, name value.Value, directory bool) (value.Value, error) {
	root, p, err := d.changeAt(name)
	if err != nil {
		return value.Value{}, err
	}
	info, err := root.Lstat(p)
	switch {
	case err != nil:
		return value.Value{}, err
	case directory && !info.IsDir():
		return value.Value{}, errNotDirectory
	case !directory && info.IsDir():
		return value.Value{}, errIsDirectory
	case path.Clean(p) == ".":
		return value.Value{}, errInvalid
	}
	return value.Value{}, root.Remove(p)
}

func renameAt(d *descriptor, args []value.Value) (value.Value, error) {
	root, from, to, err := between(d, args[0], args[1], args[2])
	if err != nil {
		return value.Value{}, err
	}
	return value.Value{}, root.Rename(from, to)
}

func linkAt(d *descriptor, args []value.Value) (value.Value, error) {
	if uint32(args[0].Bits())&symlinkFollow != 0 {
		return value.Value{}, errInvalid
	}
	root, from, to, err := between(d, args[1], args[2], args[3])
	if err != nil {
		return value.Value{}, err
	}
	return value.Value{}, root.Link(from, to)
}

// between prepares an operation on two names: it returns both of them below one
// root, each checked against the descriptor that it is relative to.
func between(d *descriptor, from, other, to value.Value) (root *os.Root, old, new string, err error) {
	o := other.Object().(*descriptor)
	root, old, err = d.changeAt(from)
	if err != nil {
		return nil, "", "", err
	}
	otherRoot, new, err := o.changeAt(to)
	switch {
	case err != nil:
		return nil, "", "", err
	case root == otherRoot:
		return root, old, new, nil
	case d.preopen != o.preopen:
		return nil, "", "", errCrossDevice
	}
	// They are two directories below one preopen, whose root must do for both. It would
	// not mind names that lead out of the directories, so these look at them first.
	if _, err := root.Lstat(old); err != nil {
		return nil, "", "", err
	}
	if _, err := otherRoot.Stat(path.Dir(new)); err != nil {
		return nil, "", "", err
	}
	for _, d := range []*descriptor{d, o} {
		if err := d.stillThere(); err != nil {
			return nil, "", "", err
		}
	}
	return d.preopen.Root, d.below(old), o.below(new), nil
}
