// SPDX-License-Identifier: Apache-2.0

package schedule

import "testing"

func TestLogQuota(t *testing.T) {
	for _, tt := range []struct {
		name      string
		unlimited bool
		written   int    // of the lines of the first second
		skipped   uint64 // as the first line of the next one says
	}{
		{"real time", false, perSecond, 90},
		{"virtual time", true, 100, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := logQuota{unlimited: tt.unlimited}
			written := 0
			for range 100 {
				if _, ok := q.take(1_500); ok {
					written++
				}
			}
			skipped, ok := q.take(2_500)
			if written != tt.written || !ok || skipped != tt.skipped {
				t.Errorf("%d lines written, then %d said to be skipped, %t; want %d, %d, true", written, skipped, ok, tt.written, tt.skipped)
			}
		})
	}
}
