// SPDX-License-Identifier: Apache-2.0

package oras

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	p := patience{first: time.Second}
	answer := func(status int, retryAfter string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retryAfter}}}
	}
	for _, tt := range []struct {
		name     string
		attempt  int
		response *http.Response
		err      error
		min, max time.Duration // -1: no more
	}{
		{"first", 0, answer(500, ""), nil, 875 * time.Millisecond, 1125 * time.Millisecond},
		{"third", 2, answer(500, ""), nil, 3500 * time.Millisecond, 4500 * time.Millisecond},
		{"last", 4, answer(500, ""), nil, -1, -1},
		{"asked to wait", 0, answer(429, "7"), nil, 7 * time.Second, 7 * time.Second},
		{"asked to wait by one who is down", 3, answer(503, "7"), nil, 7 * time.Second, 7 * time.Second},
		{"asked to wait for a day", 0, answer(429, "86400"), nil, -1, -1},
		{"asked to wait until far in the future", 0, answer(429, "Fri, 02 Jan 2100 15:04:05 GMT"), nil, -1, -1},
		{"asked to wait until long ago", 0, answer(429, "Mon, 02 Jan 2006 15:04:05 GMT"), nil, 0, 0},
		{"asked nonsense", 0, answer(429, "-1"), nil, 875 * time.Millisecond, 1125 * time.Millisecond},
		{"not found", 0, answer(404, ""), nil, -1, -1},
		{"not implemented", 0, answer(501, ""), nil, -1, -1},
		{"broken", 0, nil, syscall.ECONNRESET, 875 * time.Millisecond, 1125 * time.Millisecond},
		{"cut", 0, nil, io.ErrUnexpectedEOF, 875 * time.Millisecond, 1125 * time.Millisecond},
		{"refused", 0, nil, syscall.ECONNREFUSED, -1, -1},
		{"dialled in vain", 0, nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, -1, -1},
		{"other", 0, nil, errors.New("x"), -1, -1},
	} {
		got, err := p.Retry(tt.attempt, tt.response, tt.err)
		if err != nil || got < tt.min || got > tt.max {
			t.Errorf("%s: wait %v, %v; want %v to %v", tt.name, got, err, tt.min, tt.max)
		}
	}
	if got := (patience{first: time.Hour}).wait(40); got > 2*longestWait || got < 0 {
		t.Errorf("wait of the 40th attempt: %v", got)
	}
}

func TestRedacted(t *testing.T) {
	for text, want := range map[string]string{
		`GET "https://store/blob?sig=x&y=z": EOF`:       `GET "https://store/blob": EOF`,
		`Get "https://user:pass@host/v2/": refused`:     `Get "https://host/v2/": refused`,
		"red \x1b[31m and\nlines":                       "red \uFFFD[31m and\nlines",
		`what is this? a question`:                      `what is this? a question`,
		`two http://a/b?c http://d/e?f=g, and no third`: `two http://a/b http://d/e and no third`,
	} {
		if got := (redacted{errors.New(text)}).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
