// SPDX-License-Identifier: Apache-2.0

package component

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ErrPoolClosed says that a pool was closed.
var ErrPoolClosed = errors.New("pool is closed")

// PoolConfig configures a Pool. The zero value of each field is its default.
type PoolConfig struct {
	// Size is how many instances there are at most: those that somebody has, those that
	// are ready, and those that are being made. Default: GOMAXPROCS.
	Size int
	// Spare is how many instances are kept ready. While there are fewer, and room for
	// them, they are made in the background, side by side; an instance that is given back
	// when there are that many is closed. Default: Size, so that none is closed. Negative:
	// none, so that each Get makes its instance.
	Spare int
	// SingleUse closes an instance when it is given back, instead of lending it again:
	// whoever gets one gets a new one, which was made ahead.
	SingleUse bool
	// Instance returns the configuration of a new instance. It is called once for each,
	// by several goroutines at a time, since most imports hold state of one instance.
	// Default: the zero InstanceConfig.
	Instance func() InstanceConfig
	// Init is called once for each new instance, before anybody gets it; an error
	// closes it. Several instances may be in Init at a time.
	Init func(ctx context.Context, i *Instance) error
}

func (c PoolConfig) withDefaults() PoolConfig {
	if c.Size <= 0 {
		c.Size = runtime.GOMAXPROCS(0)
	}
	if c.Spare == 0 || c.Spare > c.Size {
		c.Spare = c.Size
	}
	c.Spare = max(c.Spare, 0)
	if c.Instance == nil {
		c.Instance = func() InstanceConfig { return InstanceConfig{} }
	}
	return c
}

// Pool lends instances of one component to goroutines that call it at the same time:
// an Instance serves one call at a time. Pool is safe for concurrent use.
//
// What a borrower leaves in an instance's memory the next one finds there, a secret as
// well as a cache that is warm: borrowers that must not know of each other want
// PoolConfig.SingleUse. An instance that trapped is never lent again.
type Pool struct {
	component *Component
	config    PoolConfig
	closing   chan struct{} // closed by Close
	empty     chan struct{} // closed when the pool is, and its last instance

	mu     sync.Mutex
	ready  []*Instance            // the last one given back is lent first
	lent   map[*Instance]struct{} // what borrowers have
	total  int                    // ready, lent, and being made
	coming int                    // of total, those that nobody waits for while they are made
	makers int                    // goroutines that make those
	queue  []chan *Instance       // of Gets that wait; nil instead of an instance: make one
	closed bool

	filling []chan error // of Fills that wait
}

// NewPool returns a pool of instances of c. It makes none; Fill does, or the first Get.
// Close must be called, before c is closed.
func NewPool(c *Component, config PoolConfig) *Pool {
	return &Pool{
		component: c, config: config.withDefaults(),
		closing: make(chan struct{}), empty: make(chan struct{}),
		lent: map[*Instance]struct{}{},
	}
}

// Fill has the spare instances made that are missing, as far as there is room, and waits
// until they are ready. It returns why one of them can't be made: without it, the first
// Get that needs one tells.
func (p *Pool) Fill(ctx context.Context) error {
	p.mu.Lock()
	p.refill()
	filled := make(chan error, 1)
	p.filling = append(p.filling, filled)
	switch {
	case p.closed:
		p.filled(ErrPoolClosed)
	case p.makers == 0:
		p.filled(nil)
	}
	p.mu.Unlock()
	var err error
	select {
	case err = <-filled:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("component: fill pool of %s: %w", p.component.name, err)
	}
	return nil
}

// filled ends the waiting of every Fill. p.mu is held.
func (p *Pool) filled(err error) {
	for _, f := range p.filling {
		f <- err
	}
	p.filling = nil
}

// Get lends an instance that is ready, or makes one where there is room, or waits until
// one is given back, ctx ends, or the pool is closed: then the error wraps
// ErrPoolClosed. Who waits longest is served first. The instance must be given back by
// Put.
func (p *Pool) Get(ctx context.Context) (*Instance, error) {
	i, err := p.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("component: get instance of %s: %w", p.component.name, err)
	}
	return i, nil
}

func (p *Pool) get(ctx context.Context) (*Instance, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrPoolClosed
	}
	if last := len(p.ready) - 1; last >= 0 {
		i := p.ready[last]
		p.ready[last] = nil
		p.ready = p.ready[:last]
		p.lent[i] = struct{}{}
		p.refill()
		p.mu.Unlock()
		return i, nil
	}
	if p.total < p.config.Size {
		p.total++
		p.refill()
		p.mu.Unlock()
		return p.lendNew(ctx)
	}
	turn := make(chan *Instance, 1)
	p.queue = append(p.queue, turn)
	p.mu.Unlock()
	select {
	case i, ok := <-turn:
		return p.served(ctx, i, ok)
	case <-ctx.Done():
	}
	p.mu.Lock()
	at := slices.Index(p.queue, turn)
	if at >= 0 {
		p.queue = slices.Delete(p.queue, at, at+1)
	}
	p.mu.Unlock()
	if at < 0 { // it was served at the same time
		i, ok := <-turn
		return p.served(ctx, i, ok)
	}
	return nil, context.Cause(ctx)
}

// served ends the waiting of a Get, which got i, or nil to make one.
func (p *Pool) served(ctx context.Context, i *Instance, ok bool) (*Instance, error) {
	if !ok {
		return nil, ErrPoolClosed
	}
	if i != nil {
		return i, nil
	}
	return p.lendNew(ctx)
}

// lendNew makes an instance for a borrower, who has room for it.
func (p *Pool) lendNew(ctx context.Context) (*Instance, error) {
	i, err := p.instance(ctx)
	p.mu.Lock()
	if err == nil && !p.closed {
		p.lent[i] = struct{}{}
		p.mu.Unlock()
		return i, nil
	}
	p.mu.Unlock()
	if err == nil {
		err = errors.Join(ErrPoolClosed, i.Close(context.WithoutCancel(ctx)))
	}
	p.free(false)
	return nil, err
}

// instance makes an instance.
func (p *Pool) instance(ctx context.Context) (*Instance, error) {
	i, err := p.component.Instantiate(ctx, p.config.Instance())
	if err != nil || p.config.Init == nil {
		return i, err
	}
	err = p.config.Init(ctx, i)
	if err == nil && i.poison != nil {
		err = fmt.Errorf("%w: %w", ErrPoisoned, i.poison)
	}
	if err != nil {
		return nil, errors.Join(err, i.Close(context.WithoutCancel(ctx)))
	}
	return i, nil
}

// Put gives an instance back that Get has lent, after its last call. An instance that
// is not to be lent again is closed, and the error is that of its Close. One that this
// pool has not lent, or has back already, or that is in a call is an error, too, and
// changes nothing.
func (p *Pool) Put(ctx context.Context, i *Instance) error {
	if err := p.put(ctx, i); err != nil {
		return fmt.Errorf("component: put instance of %s: %w", p.component.name, err)
	}
	return nil
}

func (p *Pool) put(ctx context.Context, i *Instance) error {
	p.mu.Lock()
	if _, ok := p.lent[i]; !ok {
		p.mu.Unlock()
		return errors.New("the pool has not lent it")
	}
	if i.busy.Load() {
		p.mu.Unlock()
		return ErrBusy
	}
	delete(p.lent, i)
	if i.poison == nil && !p.config.SingleUse && p.keep(i) {
		p.mu.Unlock()
		return nil
	}
	p.mu.Unlock()
	err := i.Close(ctx)
	p.free(true)
	return err
}

// keep gives i to the Get that waits longest, or has it wait for one; it returns false
// where nobody wants it. p.mu is held.
func (p *Pool) keep(i *Instance) bool {
	switch {
	case p.closed:
		return false
	case len(p.queue) > 0:
		p.lent[i] = struct{}{}
		p.next(i)
	case len(p.ready) < p.config.Spare:
		p.ready = append(p.ready, i)
	default:
		return false
	}
	return true
}

// next serves the Get that waits longest. p.mu is held.
func (p *Pool) next(i *Instance) {
	p.queue[0] <- i
	p.queue[0] = nil
	p.queue = p.queue[1:]
}

// free makes room: an instance is closed, or could not be made. In the second case none
// is made for it before somebody asks, since that may fail for the same reason.
func (p *Pool) free(refill bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		p.next(nil) // who takes over the room
		return
	}
	p.total--
	if refill {
		p.refill()
	}
	p.emptied()
}

// emptied tells Close when nothing is left. p.mu is held.
func (p *Pool) emptied() {
	if p.closed && p.total == 0 {
		close(p.empty)
	}
}

// missing returns how many spare instances are to be made. p.mu is held.
func (p *Pool) missing() int {
	return min(p.config.Spare-len(p.ready)-p.coming, p.config.Size-p.total)
}

// refill has missing instances made in the background. p.mu is held.
func (p *Pool) refill() {
	if p.closed {
		return
	}
	for range min(p.missing(), runtime.GOMAXPROCS(0)-p.makers) {
		p.makers++
		go p.replenish(poolContext{p.closing})
	}
}

// replenish makes instances for as long as some are missing. It is one of p.makers. An
// error ends it, and isn't lost: a Get that finds nothing ready tries again.
func (p *Pool) replenish(ctx context.Context) {
	p.mu.Lock()
	for !p.closed && p.missing() > 0 {
		p.total++
		p.coming++
		p.mu.Unlock()
		i, err := p.instance(ctx)
		p.mu.Lock()
		p.coming--
		if err == nil && p.keep(i) {
			continue
		}
		if err != nil {
			p.makers--
			p.filled(err)
		}
		p.mu.Unlock()
		if err != nil {
			p.free(false)
			return
		}
		_ = i.Close(context.WithoutCancel(ctx)) // of an instance that nobody has called
		p.free(true)
		p.mu.Lock()
	}
	if p.makers--; p.makers == 0 {
		p.filled(nil)
	}
	p.mu.Unlock()
}

// Close closes the instances that are ready, ends the Gets that wait, and waits until
// the others are given back, and closed, or ctx ends; they can be given back after that,
// too. No call is interrupted. Close may be called again.
func (p *Pool) Close(ctx context.Context) error {
	errs := p.closeReady(ctx)
	select {
	case <-p.empty:
	case <-ctx.Done():
		p.mu.Lock()
		errs = append(errs, fmt.Errorf("%d instances are not given back: %w", p.total, context.Cause(ctx)))
		p.mu.Unlock()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("component: close pool of %s: %w", p.component.name, err)
	}
	return nil
}

// closeReady begins the closing of p, once.
func (p *Pool) closeReady(ctx context.Context) (errs []error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.closing)
	p.filled(ErrPoolClosed)
	for _, turn := range p.queue {
		close(turn)
	}
	ready := p.ready
	p.ready, p.queue = nil, nil
	p.mu.Unlock()
	for _, i := range ready {
		errs = append(errs, i.Close(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total -= len(ready)
	p.emptied()
	return errs
}

// poolContext is the context of what a pool makes in the background: it ends when the
// pool is closed.
type poolContext struct{ closing <-chan struct{} }

func (c poolContext) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
func (c poolContext) Done() <-chan struct{}                   { return c.closing }
func (c poolContext) Value(any) any                           { return nil }

func (c poolContext) Err() error {
	select {
	case <-c.closing:
		return ErrPoolClosed
	default:
		return nil
	}
}
