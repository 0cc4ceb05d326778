// SPDX-License-Identifier: Apache-2.0

// Command goguest is a core module that exercises what standard Go asks of
// preview1. It speaks the canonical ABI by hand: the world is
//
//	import notify: func(text: string);
//	export exercise: func(what: string) -> result<string, string>;
package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// pinned holds what the host was given a pointer to, until it is done with it.
var pinned [][]byte

func keep(b []byte) *byte {
	pinned = append(pinned, b)
	return unsafe.SliceData(b)
}

//go:wasmexport cabi_realloc
func realloc(old *byte, oldSize, align, size uint32) *byte {
	b := make([]uint64, size/8+1) // aligned to 8
	return keep(unsafe.Slice((*byte)(unsafe.Pointer(&b[0])), len(b)*8))
}

//go:wasmimport $root notify
func notify(p *byte, n uint32)

// area is the returned result: the case, and the string's address and length.
var area [3]uint32

//go:wasmexport exercise
func exercise(p *byte, n uint32) unsafe.Pointer {
	text, err := func() (text string, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v", r)
			}
		}()
		return run(strings.Clone(unsafe.String(p, n)))
	}()
	area[0] = 0
	if err != nil {
		area[0], text = 1, err.Error()
	}
	area[1], area[2] = uint32(uintptr(unsafe.Pointer(keep([]byte(text))))), uint32(len(text))
	return unsafe.Pointer(&area)
}

//go:wasmexport cabi_post_exercise
func post(unsafe.Pointer) { pinned = nil }

func run(what string) (string, error) {
	switch what {
	case "notify":
		notify(unsafe.StringData("told"), 4)
		return "", nil
	case "sleep":
		before := time.Now()
		time.Sleep(1500 * time.Millisecond)
		return time.Since(before).String(), nil
	case "timers":
		// Three goroutines wait at once; the order is that of their deadlines.
		var mu sync.Mutex
		var wg sync.WaitGroup
		var order []string
		for _, ms := range []time.Duration{30, 10, 20} {
			wg.Go(func() {
				time.Sleep(ms * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprint(int(ms)))
			})
		}
		wg.Wait()
		return strings.Join(order, " "), nil
	case "background":
		// Left alone, it goes on in the calls that follow, allocations included.
		go func() {
			for i := range 1000 {
				time.Sleep(time.Millisecond)
				fmt.Fprintln(os.Stderr, "tick", i)
			}
		}()
		return "", nil
	case "now":
		return time.Now().UTC().Format(time.RFC3339Nano), nil
	case "zone":
		name, offset := time.Now().Zone()
		return fmt.Sprint(name, " ", offset), nil
	case "random":
		b := make([]byte, 12)
		rand.Read(b)
		return fmt.Sprintf("%x %d", b, mathrand.Uint64()), nil
	case "output":
		log.SetFlags(0)
		log.Print("to stderr")
		fmt.Println("to stdout")
		_, err := os.Stdout.WriteString(strings.Repeat("x", 10_000))
		return "", err
	case "stdin":
		n, err := os.Stdin.Read(make([]byte, 1))
		return fmt.Sprint(n), err
	case "files":
		_, err := os.ReadFile("/etc/passwd")
		if err == nil || errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("reading a file: got %v", err)
		}
		if err := os.WriteFile("x", nil, 0o600); err == nil {
			return "", errors.New("writing a file: no error")
		}
		if _, err := os.ReadDir("."); err == nil {
			return "", errors.New("reading a directory: no error")
		}
		return fmt.Sprint(len(os.Args), len(os.Environ()), os.Getenv("HOME")), nil
	case "net":
		_, err := net.Dial("tcp", "127.0.0.1:1")
		if err == nil {
			return "", errors.New("dial: no error")
		}
		u, err := url.Parse("mqtt://host:1883/a?b=c")
		return u.Port(), err
	case "json":
		var v map[string]float64
		err := json.Unmarshal([]byte(`{"a": 1.5}`), &v)
		return fmt.Sprint(v), err
	case "panic":
		var m map[string]int
		m["x"] = 1
	case "exit":
		os.Exit(3)
	}
	return "", fmt.Errorf("no exercise %q", what)
}

func main() {}
