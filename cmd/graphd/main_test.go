// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wasm-graph/graphd/cmd/internal/broker"
	"github.com/wasm-graph/graphd/operators/build"
	"github.com/wasm-graph/graphd/oras"
	"github.com/wasm-graph/graphd/oras/trust"
)

// TestMain makes the test binary the graphd that scripts run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"graphd": main})
}

// patience is how long a script waits for what must happen.
const patience = 30 * time.Second

// TestScripts runs testdata/script/*.txtar over the real program. Each script has a
// broker of its own, $BROKER, an address to serve health on, $ADDR, a folder with
// temperature.wasm, $MODULES, the folder of our definitions, $GRAPHS, and graphctl, which
// asks the graphd on $ADDR. Commands beside the usual ones:
//
//	certificate CERT KEY   write a certificate for 127.0.0.1, which is its own authority, and its key
//	expand FILE            replace ${NAME} in a file by what the environment has
//	edit FILE OLD NEW      replace text that is in a file
//	subscribe FILTER       collect what is published on topics that match
//	publish TOPIC PAYLOAD [N]
//	                       publish, N times; the payload is text, @FILE, or *N for N bytes
//	received N [FILE [unordered]]
//	                       wait for N messages; compare their lines, "TOPIC PAYLOAD", with FILE,
//	                       whose lines are in alphabetical order if it says unordered
//	get [https:]PATH CODE [TEXT]
//	                       GET http://$ADDR/PATH until the code is CODE and TEXT in the body, which
//	                       becomes stdout
//	push FILE STORE REF    push a component or a definition to a store
//	sign STORE REF KEY     sign it with the private key in a file
//	signal NAME            send HUP or TERM to the program in the background
func TestScripts(t *testing.T) {
	modules, programs := modules(t), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", programs, "../graphctl").CombinedOutput(); err != nil {
		t.Fatalf("build graphctl: %v\n%s", err, out)
	}
	graphs, err := filepath.Abs(filepath.Join("..", "..", "graphs"))
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir() // compiled code: once for all scripts
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			b, err := broker.Start()
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			addr, err := freeAddress()
			if err != nil {
				return err
			}
			env.Values[stageKey{}] = &stage{broker: b, addr: addr, changed: make(chan struct{}, 1)}
			env.Setenv("BROKER", b.Address())
			env.Setenv("ADDR", addr)
			env.Setenv("GRAPHD", addr)
			env.Setenv("PATH", programs+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("MODULES", modules)
			env.Setenv("GRAPHS", graphs)
			env.Setenv("XDG_CACHE_HOME", cache)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"certificate": command((*stage).certificate),
			"expand":      command((*stage).expand),
			"edit":        command((*stage).edit),
			"signal":      command((*stage).signal),
			"subscribe":   command((*stage).subscribe),
			"publish":     command((*stage).publish),
			"received":    command((*stage).receivedCommand),
			"get":         command((*stage).get),
			"push":        command((*stage).push),
			"sign":        command((*stage).sign),
		},
	})
}

// modules returns a folder with temperature.wasm.
func modules(t *testing.T) string {
	t.Helper()
	component, err := build.Operator(t.Context(), filepath.Join("..", "..", "operators", "temperature"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "temperature.wasm"), component.Bytes, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDemoInterrupted: what is under way when the demonstration is interrupted
// still comes out.
func TestDemoInterrupted(t *testing.T) {
	dir := modules(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // after building, which would have no cache either
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	ended := make(chan int, 1)
	var stderr strings.Builder
	go func() {
		ended <- run(ctx, []string{"demo", "--rate", "200", "--modules", dir}, write, &stderr)
		write.Close()
	}()
	last := ""
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if last = lines.Text(); strings.HasPrefix(last, processedTopic) {
			cancel()
		}
	}
	if code := <-ended; code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, and\n%s", code, stderr.String())
	}
	if !strings.Contains(last, " readings in, ") {
		t.Errorf("the last line is %q, want a summary", last)
	}
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stage is what surrounds the program in one script.
type stage struct {
	broker *broker.Broker
	addr   string

	mu       sync.Mutex
	received []string      // guarded by mu
	changed  chan struct{} // has room for one signal
}

type stageKey struct{}

// command makes a script command of a method.
func command(do func(*stage, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("unsupported: ! before this command")
		}
		ts.Check(do(ts.Value(stageKey{}).(*stage), ts, args))
	}
}

func (s *stage) certificate(ts *testscript.TestScript, args []string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "graphd"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

func (s *stage) expand(ts *testscript.TestScript, args []string) error {
	return os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o644)
}

func (s *stage) edit(ts *testscript.TestScript, args []string) error {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		return fmt.Errorf("%s has no %q", args[0], args[1])
	}
	return os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o644)
}

// store opens a store; a local one is in the script's folder.
func store(ts *testscript.TestScript, endpoint string) (*oras.Store, error) {
	return oras.OpenStore(endpoint, oras.Options{BaseDir: ts.MkAbs(".")})
}

func (s *stage) push(ts *testscript.TestScript, args []string) error {
	to, err := store(ts, args[1])
	if err != nil {
		return err
	}
	p := oras.Package{Kind: oras.Graph, Content: []byte(ts.ReadFile(args[0]))}
	if strings.HasSuffix(args[0], ".wasm") {
		p.Kind = oras.Component
	}
	_, err = to.Push(context.Background(), args[2], p)
	return err
}

func (s *stage) sign(ts *testscript.TestScript, args []string) error {
	in, err := store(ts, args[0])
	if err != nil {
		return err
	}
	key, err := trust.ParsePrivateKey([]byte(ts.ReadFile(args[2])), nil, nil)
	if err != nil {
		return err
	}
	_, _, err = trust.Sign(context.Background(), in, args[1], key, trust.Bundle)
	return err
}

func (s *stage) signal(ts *testscript.TestScript, args []string) error {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}
	return ts.BackgroundCmds()[0].Process.Signal(signals[args[0]])
}

func (s *stage) subscribe(_ *testscript.TestScript, args []string) error {
	return s.broker.Subscribe(args[0], func(topic string, payload []byte) {
		s.mu.Lock()
		s.received = append(s.received, topic+" "+string(payload))
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
	})
}

func (s *stage) publish(ts *testscript.TestScript, args []string) error {
	payload := args[1]
	if file, ok := strings.CutPrefix(payload, "@"); ok {
		payload = ts.ReadFile(file)
	}
	if count, ok := strings.CutPrefix(payload, "*"); ok {
		n, err := strconv.Atoi(count)
		if err != nil {
			return err
		}
		payload = strings.Repeat("x", n)
	}
	times := 1
	if len(args) > 2 {
		var err error
		if times, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
	}
	for range times {
		if err := s.broker.Publish(args[0], []byte(payload)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) receivedCommand(ts *testscript.TestScript, args []string) error {
	var want int
	if _, err := fmt.Sscan(args[0], &want); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		s.mu.Lock()
		got := append([]string(nil), s.received...)
		s.mu.Unlock()
		if len(got) >= want {
			if len(got) > want {
				return fmt.Errorf("received %d messages, want %d:\n%s", len(got), want, strings.Join(got, "\n"))
			}
			if len(args) > 1 {
				if len(args) > 2 { // topics of several connections
					slices.Sort(got)
				}
				if lines := strings.Join(got, "\n") + "\n"; lines != ts.ReadFile(args[1]) {
					return fmt.Errorf("received\n%swant\n%s", lines, ts.ReadFile(args[1]))
				}
			}
			return nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return fmt.Errorf("received %d messages in %v, want %d:\n%s", len(got), patience, want, strings.Join(got, "\n"))
		}
	}
}

func (s *stage) get(ts *testscript.TestScript, args []string) error {
	var want int
	if _, err := fmt.Sscan(args[1], &want); err != nil {
		return err
	}
	text := strings.Join(args[2:], " ")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	last := ""
	for {
		address, client := "http://"+s.addr+"/"+args[0], http.DefaultClient
		if path, ok := strings.CutPrefix(args[0], "https:"); ok {
			address, client = "https://"+s.addr+"/"+path, &http.Client{Transport: &http.Transport{
				DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // whose it is isn't asked here
			}}
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err != nil {
			last = err.Error()
		} else {
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil && response.StatusCode == want && strings.Contains(string(body), text) {
				_, err = ts.Stdout().Write(body)
				return err
			}
			last = fmt.Sprintf("%s: %s", response.Status, body)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("GET %s: no %d with %q in %v; last: %s", args[0], want, text, patience, last)
		}
	}
}
