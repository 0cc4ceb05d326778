// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"net/http/httptest"
	"testing"
)

// TestSpool: a tap that nobody reads breaks off, and keeps what it has until then.
func TestSpool(t *testing.T) {
	s := &spool{more: make(chan struct{}, 1)}
	chunk := make([]byte, mostSpooled/4)
	var err error
	n := 0
	for ; err == nil && n < 10; n++ {
		_, err = s.Write(chunk)
	}
	if !errors.Is(err, errSlow) || n != 5 {
		t.Errorf("%d writes, then %v", n, err)
	}
	w := httptest.NewRecorder()
	if err := s.flush(w); !errors.Is(err, errSlow) || w.Body.Len() != mostSpooled {
		t.Errorf("flush = %v with %d bytes", err, w.Body.Len())
	}
}
