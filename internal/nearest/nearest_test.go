// SPDX-License-Identifier: Apache-2.0

package nearest_test

import (
	"testing"

	"github.com/wasm-graph/graphd/internal/nearest"
)

func TestWord(t *testing.T) {
	for _, tt := range []struct {
		name, word string
		candidates []string
		want       string
		wantOK     bool
	}{
		{"letter missing", "endpontRef", []string{"artifact", "endpointRef"}, "endpointRef", true},
		{"neighbours swapped", "1.0.1", []string{"2.3.4", "1.1.0"}, "1.1.0", true},
		{"case only", "HOST", []string{"port", "host"}, "host", true},
		{"nearest of several", "1.0.2", []string{"1.1.0", "1.0.0", "1.0.1"}, "1.0.0", true},
		{"too far", "authentication", []string{"host", "qos"}, "", false},
		{"short words need to be nearly equal", "tls", []string{"qos"}, "", false},
		{"no candidates", "host", nil, "", false},
		{"empty word", "", []string{"host"}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := nearest.Word(tt.word, tt.candidates)
			if got != tt.want || ok != tt.wantOK {
				t.Errorf("Word(%q, %q) = %q, %v; want %q, %v", tt.word, tt.candidates, got, ok, tt.want, tt.wantOK)
			}
		})
	}
}
