// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"crypto/tls"
	"testing"
)

// TestDefaultPorts: a host without a port has that of its protocol.
func TestDefaultPorts(t *testing.T) {
	secure := &tls.Config{}
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{Address: "broker"}, "broker:1883"},
		{Config{Address: "broker", TLS: secure}, "broker:8883"},
		{Config{Address: "broker", WebSocket: "/mqtt"}, "broker:80"},
		{Config{Address: "broker", WebSocket: "/mqtt", TLS: secure}, "broker:443"},
		{Config{Address: "broker:18883", TLS: secure}, "broker:18883"},
		{Config{Address: "::1"}, "[::1]:1883"},
		{Config{Address: "[::1]:1"}, "[::1]:1"},
	} {
		if got := tt.config.withDefaults().Address; got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.config.Address, got, tt.want)
		}
	}
}
