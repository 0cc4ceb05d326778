// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"os"

	"github.com/wasm-graph/graphd/engine/component/value"
)

// Preopen is a directory that an instance may use, with everything below it. It is
// all that the instance can reach: a path that leads out of it, by "..", by being
// absolute or through a symbolic link, is refused with not-permitted, by [os.Root].
type Preopen struct {
	// Name is the path that the guest knows the directory by, such as "/data".
	Name string
	// Root is the directory. Whoever opened it closes it, after the instances that
	// it was given to. Many instances may have the same one.
	Root *os.Root
	// Write lets the instance change what is below Root; without it every attempt
	// fails with read-only.
	Write bool
}

// Flags of descriptor-flags, path-flags and open-flags.
const (
	flagRead = 1 << iota
	flagWrite
	flagFileSync
	flagDataSync
	flagRequestedSync
	flagMutateDirectory

	symlinkFollow = 1

	openCreate    = 1
	openDirectory = 2
	openExclusive = 4
	openTruncate  = 8
)

func (h *Host) preopens() map[string]function {
	return map[string]function{
		"get-directories": func(caller, []value.Value) (value.Value, error) {
			list := make([]value.Value, len(h.cfg.Preopens))
			for i := range h.cfg.Preopens {
				p := &h.cfg.Preopens[i]
				d := &descriptor{preopen: p, flags: flagRead, dir: p.Root, name: "."}
				if p.Write {
					d.flags |= flagMutateDirectory
				}
				list[i] = value.Tuple(value.Own(d), value.String(p.Name))
			}
			return value.List(list), nil
		},
	}
}

// fileOp is an operation on a descriptor; an error of it is the function's result.
type fileOp func(d *descriptor, args []value.Value) (value.Value, error)

// fileFunction makes a function of an operation.
func fileFunction(op fileOp) function {
	return func(_ caller, args []value.Value) (value.Value, error) {
		v, err := op(args[0].Object().(*descriptor), args[1:])
		if err != nil {
			return value.Err(value.Enum(uint32(codeOf(err)))), nil
		}
		return value.Ok(v), nil
	}
}

func (h *Host) filesystem() map[string]function {
	functions := map[string]function{
		"[method]descriptor.is-same-object": func(_ caller, args []value.Value) (value.Value, error) {
			a, errA := args[0].Object().(*descriptor).stat()
			b, errB := args[1].Object().(*descriptor).stat()
			return value.Bool(errA == nil && errB == nil && os.SameFile(a, b)), nil
		},
		"[method]directory-entry-stream.read-directory-entry": func(_ caller, args []value.Value) (value.Value, error) {
			v, err := args[0].Object().(*entries).next()
			if err != nil {
				return value.Err(value.Enum(uint32(codeOf(err)))), nil
			}
			return value.Ok(v), nil
		},
		"filesystem-error-code": func(_ caller, args []value.Value) (value.Value, error) {
			if err, ok := args[0].Object().(*ioError).err.(*fileError); ok {
				return value.Some(value.Enum(uint32(err.code))), nil
			}
			return value.None(), nil
		},
	}
	for name, op := range map[string]fileOp{
		"read-via-stream":   readViaStream,
		"write-via-stream":  writeViaStream,
		"append-via-stream": appendViaStream,
		"advise":            advise,
		"sync-data":         syncFile,
		"sync":              syncFile,
		"get-flags":         getFlags,
		"get-type":          getType,
		"set-size":          setSize,
		"set-times":         h.setTimes,
		"read":              h.read,
		"write":             write,
		"stat":              stat,
		"metadata-hash":     metadataHash,

		"read-directory":      h.readDirectory,
		"open-at":             h.openAt,
		"create-directory-at": createDirectoryAt,
		"stat-at":             statAt,
		"metadata-hash-at":    metadataHashAt,
		"set-times-at":        h.setTimesAt,
		"link-at":             linkAt,
		"readlink-at":         readlinkAt,
		"remove-directory-at": removeDirectoryAt,
		"rename-at":           renameAt,
		"symlink-at":          symlinkAt,
		"unlink-file-at":      unlinkFileAt,
	} {
		functions["[method]descriptor."+name] = fileFunction(op)
	}
	return functions
}

// drops returns what to do when a guest drops an object, by interface without
// version and resource.
func (h *Host) drops() map[string]map[string]func(any) {
	return map[string]map[string]func(any){
		"wasi:filesystem/types": {
			"descriptor":             func(o any) { o.(*descriptor).close() },
			"directory-entry-stream": func(o any) { o.(*entries).file.release() },
		},
		"wasi:io/streams": {
			"input-stream": func(o any) {
				if r, ok := o.(*inputStream).r.(*fileReader); ok {
					r.file.release()
				}
			},
			"output-stream": func(o any) {
				if w, ok := o.(*outputStream).w.(*fileWriter); ok {
					w.file.release()
				}
			},
		},
	}
}
