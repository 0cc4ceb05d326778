// SPDX-License-Identifier: Apache-2.0

package slogger_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
	"github.com/wasm-graph/graphd/operators/sdk/slogger"
)

func TestEntries(t *testing.T) {
	env := sdktest.New()
	log := slogger.New(env.Host().Log.WithContext("ctx"))
	log.Info("plain")
	log.Warn("two words", "n", 1, "text", "a b")
	log.With("always", true).WithGroup("g").Error("nested", "k", "v", "msg", "an attribute")
	log.Debug("empty again")
	for _, l := range []slog.Level{-8, 12} {
		log.Log(context.Background(), l, "edge")
	}
	want := []sdktest.LogEntry{
		{Level: sdk.LevelInfo, Context: "ctx", Message: "plain"},
		{Level: sdk.LevelWarn, Context: "ctx", Message: `two words n=1 text="a b"`},
		{Level: sdk.LevelError, Context: "ctx", Message: `nested always=true g.k=v g.msg="an attribute"`},
		{Level: sdk.LevelDebug, Context: "ctx", Message: "empty again"},
		{Level: sdk.LevelTrace, Context: "ctx", Message: "edge"},
		{Level: sdk.LevelCritical, Context: "ctx", Message: "edge"},
	}
	if got := env.Logs(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
