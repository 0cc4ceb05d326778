// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"sync"

	"github.com/wasm-graph/graphd/engine/processor"
)

// modules keeps compiled components for as long as graphs use them, one for all
// that are equal.
type modules struct {
	compiler Compiler

	mu       sync.Mutex
	byDigest map[string]*sharedModule // guarded by mu
}

// sharedModule is a component in use.
type sharedModule struct {
	users   int // guarded by modules.mu
	compile sync.Mutex
	module  *processor.Module // guarded by compile; nil before
}

// get returns the component of that digest, compiled, and what to call once when it
// is no longer used. Whoever comes first compiles; others wait. A failure is the
// caller's own: the next one tries again.
func (m *modules) get(ctx context.Context, ref, digest string, wasm []byte) (*processor.Module, func(context.Context) error, error) {
	m.mu.Lock()
	s := m.byDigest[digest]
	if s == nil {
		if m.byDigest == nil {
			m.byDigest = map[string]*sharedModule{}
		}
		s = &sharedModule{}
		m.byDigest[digest] = s
	}
	s.users++
	m.mu.Unlock()

	s.compile.Lock()
	defer s.compile.Unlock()
	if s.module == nil {
		module, err := m.compiler.Load(ctx, ref, wasm)
		if err != nil {
			m.leave(digest, s)
			return nil, nil, err
		}
		s.module = module
	}
	module := s.module
	return module, func(ctx context.Context) error {
		if m.leave(digest, s) {
			return module.Close(ctx)
		}
		return nil
	}, nil
}

// leave notes that one uses s no longer, and reports whether that was the last.
func (m *modules) leave(digest string, s *sharedModule) (last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(m.byDigest, digest)
		return true
	}
	return false
}
