// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oraslib "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
)

// Progress counts the bytes of transfers, for whoever wants to show them. Its zero
// value is ready; it is safe for concurrent use.
type Progress struct{ done, total atomic.Int64 }

// Bytes returns how many bytes have been transferred, of how many that are known of
// by now.
func (p *Progress) Bytes() (done, total int64) { return p.done.Load(), p.total.Load() }

func (p *Progress) expect(n int64) {
	if p != nil {
		p.total.Add(n)
	}
}

func (p *Progress) add(n int) {
	if p != nil {
		p.done.Add(int64(n))
	}
}

// errStalled says that a transfer stood still for too long.
var errStalled = errors.New("the transfer stood still")

// transfers is how blobs are read.
type transfers struct {
	policy   patience
	stall    time.Duration
	progress *Progress
}

// transient is how often a transfer may break before it has come a step further.
const transient = 5

// step is how far a transfer has to come for the count of its breaks to begin anew.
const step = 64 << 10

// blob is a blob being read. When the connection breaks it goes on where it was, on
// another one. It doesn't check the digest.
type blob struct {
	transfers
	ctx    context.Context
	from   content.Fetcher
	desc   ocispec.Descriptor
	offset int64

	body   io.ReadCloser // nil: to be opened
	cancel context.CancelCauseFunc
	watch  *time.Timer
	breaks int   // since
	since  int64 // this offset
}

// open returns a reader of desc from offset on. It connects when it is first read.
func (t transfers) open(ctx context.Context, from content.Fetcher, desc ocispec.Descriptor, offset int64) *blob {
	t.progress.expect(desc.Size)
	t.progress.add(int(offset))
	return &blob{transfers: t, ctx: ctx, from: from, desc: desc, offset: offset, since: offset}
}

// Read implements io.Reader.
func (b *blob) Read(p []byte) (int, error) {
	for {
		n, err := b.read(p)
		if n > 0 || err == nil || err == io.EOF {
			return n, err
		}
		b.close()
		if b.offset-b.since >= step {
			b.breaks, b.since = 0, b.offset
		}
		if b.breaks++; b.ctx.Err() != nil || !isBroken(err) || b.breaks > transient {
			return 0, err
		}
		if err := sleep(b.ctx, b.policy.wait(b.breaks-1)); err != nil {
			return 0, err
		}
	}
}

// read is one try. An error has no bytes with it.
func (b *blob) read(p []byte) (int, error) {
	if b.body == nil {
		if err := b.connect(); err != nil {
			return 0, err
		}
	}
	b.watch.Reset(b.stall)
	n, err := b.body.Read(p)
	b.watch.Stop()
	b.offset += int64(n)
	b.progress.add(n)
	switch {
	case n > 0:
		return n, nil
	case err == io.EOF && b.offset < b.desc.Size:
		return 0, io.ErrUnexpectedEOF
	case err != nil && err != io.EOF:
		return 0, b.because(err)
	}
	return 0, err
}

// because returns errStalled if that is why err came about.
func (b *blob) because(err error) error {
	if b.ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return errStalled // it was b.watch that cancelled
	}
	return err
}

func (b *blob) connect() error {
	ctx, cancel := context.WithCancelCause(b.ctx)
	b.cancel = cancel
	b.watch = time.AfterFunc(b.stall, func() { cancel(errStalled) })
	body, err := b.from.Fetch(ctx, b.desc)
	if err == nil && b.offset > 0 {
		if seeker, ok := body.(io.Seeker); ok {
			_, err = seeker.Seek(b.offset, io.SeekStart)
		} else {
			_, err = io.CopyN(io.Discard, body, b.offset)
		}
		if err != nil {
			body.Close()
		}
	}
	b.watch.Stop()
	if err != nil {
		err = b.because(err)
		cancel(nil)
		return err
	}
	b.body = body
	return nil
}

func (b *blob) close() error {
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.cancel(nil)
	b.watch.Stop()
	b.body = nil
	return err
}

// Close implements io.Closer.
func (b *blob) Close() error { return b.close() }

// steady is a target whose blobs are read as blob does.
type steady struct {
	oraslib.ReadOnlyTarget
	transfers
}

// Fetch implements content.Fetcher.
func (s steady) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	b := s.open(ctx, s.ReadOnlyTarget, desc, 0)
	if err := b.connect(); err != nil {
		return nil, err
	}
	return b, nil
}

// again calls transfer until it succeeds, or fails with what another try won't
// change, or has failed too often. What one try has brought over, the next one
// finds there.
func (t transfers) again(ctx context.Context, transfer func() error) error {
	for attempt := 0; ; attempt++ {
		err := transfer()
		if err == nil || attempt >= tries-1 || ctx.Err() != nil || !isBroken(err) && !isServerFault(err) {
			return err
		}
		if sleep(ctx, t.policy.wait(attempt)) != nil {
			return err
		}
	}
}
