// SPDX-License-Identifier: Apache-2.0

package wasi

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// errorCode is a case of enum wasi:filesystem/types error-code.
type errorCode uint32

// The cases that occur.
const (
	errAccess              errorCode = 0
	errWouldBlock          errorCode = 1
	errBadDescriptor       errorCode = 3
	errBusy                errorCode = 4
	errQuota               errorCode = 6
	errExist               errorCode = 7
	errFileTooLarge        errorCode = 8
	errIllegalByteSequence errorCode = 9
	errInterrupted         errorCode = 11
	errInvalid             errorCode = 12
	errIO                  errorCode = 13
	errIsDirectory         errorCode = 14
	errLoop                errorCode = 15
	errTooManyLinks        errorCode = 16
	errNameTooLong         errorCode = 18
	errNoEntry             errorCode = 20
	errInsufficientMemory  errorCode = 22
	errInsufficientSpace   errorCode = 23
	errNotDirectory        errorCode = 24
	errNotEmpty            errorCode = 25
	errUnsupported         errorCode = 27
	errOverflow            errorCode = 30
	errNotPermitted        errorCode = 31
	errReadOnly            errorCode = 33
	errTextFileBusy        errorCode = 35
	errCrossDevice         errorCode = 36
)

func (c errorCode) Error() string { return "wasi: file system error" }

// codes are those of the system's errors.
var codes = map[syscall.Errno]errorCode{
	syscall.EACCES:       errAccess,
	syscall.EAGAIN:       errWouldBlock,
	syscall.EBADF:        errBadDescriptor,
	syscall.EBUSY:        errBusy,
	syscall.EDQUOT:       errQuota,
	syscall.EEXIST:       errExist,
	syscall.EFBIG:        errFileTooLarge,
	syscall.EILSEQ:       errIllegalByteSequence,
	syscall.EINTR:        errInterrupted,
	syscall.EINVAL:       errInvalid,
	syscall.EISDIR:       errIsDirectory,
	syscall.ELOOP:        errLoop,
	syscall.EMFILE:       errInsufficientMemory,
	syscall.EMLINK:       errTooManyLinks,
	syscall.ENAMETOOLONG: errNameTooLong,
	syscall.ENFILE:       errInsufficientMemory,
	syscall.ENOENT:       errNoEntry,
	syscall.ENOMEM:       errInsufficientMemory,
	syscall.ENOSPC:       errInsufficientSpace,
	syscall.ENOTDIR:      errNotDirectory,
	syscall.ENOTEMPTY:    errNotEmpty,
	syscall.ENOTSUP:      errUnsupported,
	syscall.EOVERFLOW:    errOverflow,
	syscall.EPERM:        errNotPermitted,
	syscall.EROFS:        errReadOnly,
	syscall.ETXTBSY:      errTextFileBusy,
	syscall.EXDEV:        errCrossDevice,
}

// codeOf returns what the guest is told of err.
func codeOf(err error) errorCode {
	var code errorCode
	if errors.As(err, &code) {
		return code
	}
	var file *fileError
	if errors.As(err, &file) {
		return file.code
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		if code, ok := codes[number]; ok {
			return code
		}
	}
	switch {
	case errors.Is(err, fs.ErrClosed):
		return errBadDescriptor
	case errors.Is(err, fs.ErrNotExist):
		return errNoEntry
	case errors.Is(err, fs.ErrExist):
		return errExist
	case errors.Is(err, fs.ErrPermission):
		return errAccess
	case errors.Is(err, fs.ErrInvalid):
		return errInvalid
	case number == 0 && isPathError(err):
		return errNotPermitted // what a Root says of a path that leads out of it
	}
	return errIO
}

func isPathError(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return errors.As(err, &path) || errors.As(err, &link)
}

// fileError is an error of a stream of a file. It doesn't say where on the host the
// file is.
type fileError struct {
	code  errorCode
	cause error
}

func (e *fileError) Error() string { return e.cause.Error() }

// newFileError makes a fileError of an error of the system; the end of the file is
// none.
func newFileError(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	code := codeOf(err)
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &fileError{code, err}
}
