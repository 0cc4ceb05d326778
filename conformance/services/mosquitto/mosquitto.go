// SPDX-License-Identifier: Apache-2.0

// Package mosquitto runs an Eclipse Mosquitto broker, and its command line clients,
// for tests against a broker that is not ours. Everything happens on loopback
// ports of the broker's own and in a folder of the test's own.
//
// The programs mosquitto, mosquitto_pub and mosquitto_sub must be installed; where
// they are not, a test fails.
package mosquitto

import (
	"bufio"
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/conformance/services/certificates"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// Options says how a broker is set up. The zero value is an anonymous broker on
// plain TCP that forgets everything when it stops.
type Options struct {
	// TLS adds a listener with TLS, whose certificate is signed by a new authority.
	TLS bool
	// ClientCertificates, of the listener with TLS, are demanded, and name the user.
	ClientCertificates bool
	// WebSockets adds listeners for MQTT over WebSockets: plain, and with TLS where that
	// is asked for.
	WebSockets bool
	// Persistence keeps sessions and messages over Restart.
	Persistence bool
	// Users may connect, by name with password; nobody else may then.
	Users map[string]string
	// ACL holds the lines of an access control list.
	ACL []string
	// Config holds more lines of the configuration file.
	Config []string
}

// Broker is a running broker. It ends with its test.
type Broker struct {
	// Addr and TLSAddr are host:port; TLSAddr is empty without Options.TLS. Both
	// stay as they are over Restart.
	Addr, TLSAddr string
	// WSAddr and WSSAddr are where it takes WebSockets; empty without Options.WebSockets.
	WSAddr, WSSAddr string
	// CAFile holds the certificate of the authority, PEM; ClientTLS trusts it.
	CAFile    string
	ClientTLS *tls.Config
	// Device is a certificate that the broker takes, and the user that it names, with
	// Options.ClientCertificates.
	Device certificates.Device

	certificates certificates.Set // with Options.TLS

	t       testing.TB
	dir     string
	config  string // path of the configuration file
	clients int    // names clients

	mu      sync.Mutex
	changed sync.Cond // log or process changed
	log     []string  // guarded by mu: lines of this process
	ended   bool      // guarded by mu: and there will be no more
	process *exec.Cmd // guarded by mu: nil while stopped
}

// Start starts a broker and waits until it listens. It stops when the test ends.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	dir := t.TempDir()
	b := &Broker{t: t, dir: dir, config: filepath.Join(dir, "mosquitto.conf")}
	b.changed.L = &b.mu
	lines := []string{
		"log_dest stderr",
		"log_type error", "log_type warning", "log_type notice", "log_type information", "log_type subscribe",
		// No limits of the broker's own: tests are about ours.
		"max_inflight_messages 0", "max_queued_messages 0", "set_tcp_nodelay true",
	}
	if os.Geteuid() == 0 {
		lines = append(lines, "user root") // else it could not read our folder
	}
	if o.Persistence {
		lines = append(lines, "persistence true", "persistence_location "+dir+string(filepath.Separator))
	}
	if o.Users == nil {
		lines = append(lines, "allow_anonymous true")
	} else {
		var passwords strings.Builder
		for name, password := range o.Users {
			fmt.Fprintf(&passwords, "%s:%s\n", name, hashPassword(t, password))
		}
		lines = append(lines, "password_file "+write(t, dir, "passwords", passwords.String()))
	}
	if o.ACL != nil {
		lines = append(lines, "acl_file "+write(t, dir, "acl", strings.Join(o.ACL, "\n")+"\n"))
	}
	var secure []string
	if o.TLS {
		b.certify(certificates.Make(t))
		secure = []string{
			"cafile " + b.CAFile,
			"certfile " + filepath.Join(dir, hostFile),
			"keyfile " + filepath.Join(dir, hostKeyFile),
		}
		if o.ClientCertificates {
			secure = append(secure, "require_certificate true", "use_identity_as_username true")
		}
	}
	lines = append(lines, o.Config...)
	t.Cleanup(b.Stop)

	// Between our look for a free port and the broker's use of it somebody else may
	// take it.
	for range 5 {
		addrs := freeAddrs(t, 4)
		b.Addr = addrs[0]
		listeners := []string{listener(b.Addr)}
		if o.TLS {
			b.TLSAddr = addrs[1]
			listeners = append(append(listeners, listener(b.TLSAddr)), secure...)
		}
		if o.WebSockets {
			b.WSAddr = addrs[2]
			listeners = append(listeners, listener(b.WSAddr), "protocol websockets")
		}
		if o.WebSockets && o.TLS {
			b.WSSAddr = addrs[3]
			listeners = append(append(listeners, listener(b.WSSAddr), "protocol websockets"), secure...)
		}
		write(t, dir, filepath.Base(b.config), strings.Join(slices.Concat(lines, listeners), "\n")+"\n")
		if b.start() {
			return b
		}
		b.Stop()
	}
	b.fail("does not start")
	return nil
}

// The files with the broker's certificate and the key for it.
const (
	hostFile    = "cert.pem"
	hostKeyFile = "key.pem"
)

// certify gives the broker, with Options.TLS, and its device these certificates.
func (b *Broker) certify(c certificates.Set) {
	b.t.Helper()
	b.certificates = c
	write(b.t, b.dir, hostFile, c.Host)
	write(b.t, b.dir, hostKeyFile, c.HostKey)
	b.CAFile, b.ClientTLS, b.Device = write(b.t, b.dir, "ca.pem", c.Authority), c.Client, c.Device
}

// Rotate restarts a broker with TLS with certificates of a new authority, and believes none of
// the old one: CAFile, ClientTLS and Device are others from now on.
func (b *Broker) Rotate() {
	b.t.Helper()
	b.certify(certificates.Make(b.t))
	b.Restart()
}

// Renew gives a broker with TLS a new certificate of the same authority, which it shows
// from the next connection on; those that there are stay.
func (b *Broker) Renew() {
	b.t.Helper()
	b.certify(b.certificates.Renew(b.t))
	b.mu.Lock()
	process := b.process
	b.mu.Unlock()
	block, _ := pem.Decode([]byte(b.certificates.Host))
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err := process.Process.Signal(syscall.SIGHUP); err != nil {
			b.t.Fatal("mosquitto: reload:", err)
		}
		if bytes.Equal(b.shown(), block.Bytes) {
			return
		}
	}
	b.fail("does not show its new certificate")
}

// shown returns the certificate that the broker shows now, DER.
func (b *Broker) shown() []byte {
	raw, err := net.Dial("tcp", b.TLSAddr)
	if err != nil {
		b.t.Fatal("mosquitto:", err)
	}
	defer raw.Close()
	var shown []byte
	config := b.ClientTLS.Clone()
	config.ServerName = "localhost"
	config.VerifyPeerCertificate = func(chain [][]byte, _ [][]*x509.Certificate) error {
		shown = chain[0]
		return nil
	}
	_ = tls.Client(raw, config).Handshake() // fails where it demands ours; it has shown its own by then
	return shown
}

// Save has a broker with Options.Persistence write down what it has, so that Kill does not
// take that from it.
func (b *Broker) Save() {
	b.t.Helper()
	b.mu.Lock()
	process, seen := b.process, len(b.log)
	b.mu.Unlock()
	if err := process.Process.Signal(syscall.SIGUSR1); err != nil {
		b.t.Fatal("mosquitto: save:", err)
	}
	if !b.waitLogFrom(seen, "Saving in-memory database") {
		b.fail("does not save")
	}
	// It says so before it does it, and renames the file last.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(b.dir, "mosquitto.db.new")); os.IsNotExist(err) {
			return
		}
	}
	b.fail("does not end saving")
}

// listener is the configuration of a listener on a loopback address.
func listener(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "listener " + port + " " + host
}

// Restart stops the broker, if it runs, and starts it again on the same ports.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	if !b.start() {
		b.fail("does not start again")
	}
}

// Stop stops the broker and waits until it has. It does nothing if it has already.
func (b *Broker) Stop() {
	b.t.Helper()
	b.end(syscall.SIGTERM)
}

// Kill ends the broker without giving it the time to write anything down.
func (b *Broker) Kill() {
	b.t.Helper()
	b.end(syscall.SIGKILL)
}

// start starts the process. It reports false if that ends instead of listening.
func (b *Broker) start() bool {
	b.t.Helper()
	cmd := exec.Command(program(b.t, "mosquitto"), "-c", b.config)
	output, err := cmd.StderrPipe()
	if err != nil {
		b.t.Fatal("mosquitto:", err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal("mosquitto:", err)
	}
	b.mu.Lock()
	b.process, b.log, b.ended = cmd, nil, false
	b.mu.Unlock()
	go b.readLog(output)
	return b.waitLog("mosquitto version", " running")
}

func (b *Broker) readLog(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		b.mu.Lock()
		b.log = append(b.log, lines.Text())
		b.changed.Broadcast()
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.changed.Broadcast()
}

// waitLog waits for a line of the broker's log with all of these in it. It reports
// false if there will be none.
func (b *Broker) waitLog(parts ...string) bool { return b.waitLogFrom(0, parts...) }

// waitLogFrom is waitLog for the lines from seen on.
func (b *Broker) waitLogFrom(seen int, parts ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	expired := false
	defer time.AfterFunc(patience, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		expired = true
		b.changed.Broadcast()
	}).Stop()
	for ; ; b.changed.Wait() {
		for ; seen < len(b.log); seen++ {
			if containsAll(b.log[seen], parts) {
				return true
			}
		}
		if b.ended || expired {
			return false
		}
	}
}

// fail fails the test and shows the broker's log.
func (b *Broker) fail(what string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Fatalf("mosquitto %s; it logged:\n%s", what, strings.Join(b.log, "\n"))
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

func (b *Broker) end(signal os.Signal) {
	b.t.Helper()
	b.mu.Lock()
	cmd := b.process
	b.process = nil
	b.mu.Unlock()
	if cmd == nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.mu.Lock()
		defer b.mu.Unlock()
		for !b.ended {
			b.changed.Wait()
		}
	}()
	// A signal just after its start is lost: it says that it is running before it
	// clears the flag that the signal sets.
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; {
		if time.Now().After(deadline) {
			b.t.Errorf("mosquitto: process %d does not stop", cmd.Process.Pid)
			signal = syscall.SIGKILL
		}
		if err := cmd.Process.Signal(signal); err != nil {
			b.t.Errorf("mosquitto: stop process %d: %v", cmd.Process.Pid, err)
		}
		select {
		case <-again.C:
			continue
		case <-ended:
		}
		break
	}
	// Its status is how we ended it.
	_ = cmd.Wait()
}

// program finds an installed program.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/usr/local/sbin", name)} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed; on Debian or Ubuntu: apt-get install mosquitto mosquitto-clients", name)
	return ""
}

// freeAddrs returns different loopback addresses that nobody listens on.
func freeAddrs(t testing.TB, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal("mosquitto: find a port:", err)
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs
}

// hashPassword returns a password as the broker's password file holds it.
func hashPassword(t testing.TB, password string) string {
	t.Helper()
	const rounds = 101
	salt := make([]byte, 12)
	rand.Read(salt)
	hash, err := pbkdf2.Key(sha512.New, password, salt, rounds, sha512.Size)
	if err != nil {
		t.Fatal("mosquitto: hash password:", err)
	}
	return fmt.Sprintf("$7$%d$%s$%s", rounds, base64.StdEncoding.EncodeToString(salt), base64.StdEncoding.EncodeToString(hash))
}

func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal("mosquitto:", err)
	}
	return path
}
