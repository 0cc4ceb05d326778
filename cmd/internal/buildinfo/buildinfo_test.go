// SPDX-License-Identifier: Apache-2.0

package buildinfo_test

import (
	"regexp"
	"runtime"
	"testing"

	"github.com/wasm-graph/graphd/cmd/internal/buildinfo"
)

func TestLine(t *testing.T) {
	want := regexp.MustCompile(`^graphd \S+ ` + regexp.QuoteMeta(runtime.Version()) + ` ` + runtime.GOOS + `/` + runtime.GOARCH + `$`)
	if got := buildinfo.Line("graphd"); !want.MatchString(got) {
		t.Errorf("Line() = %q, want it to match %s", got, want)
	}
}
