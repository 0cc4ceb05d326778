// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// program is a process that was started here.
type program struct {
	cmd  *exec.Cmd
	log  string         // file that it writes to
	hold io.WriteCloser // its standard input, which ends it where a signal wouldn't
}

// start starts a program that writes what it has to say to a file of that name in
// dir.
func start(dir, name, path string, args ...string) (*program, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &program{cmd: exec.Command(path, args...), log: log.Name()}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if p.hold, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

// stop ends the program.
func (p *program) stop() error {
	err := errors.Join(p.hold.Close(), p.cmd.Process.Signal(syscall.SIGTERM))
	// How it ends is what we told it.
	_ = p.cmd.Wait()
	return err
}

// await waits until ready, asked again and again, says so.
func (p *program) await(ctx context.Context, ready func() bool) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); !ready(); {
		if time.Now().After(deadline) || p.ended() {
			said, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s does not start; it said:\n%s", p.cmd.Path, said)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ended reports whether the process is there no more, but for its status.
func (p *program) ended() bool {
	fields, err := p.stat()
	return err != nil || fields[0] == "Z"
}

// said reports whether the program has written text.
func (p *program) said(text string) bool {
	content, err := os.ReadFile(p.log)
	return err == nil && strings.Contains(string(content), text)
}

// stat returns the fields of proc_pid_stat(5) from the third on.
func (p *program) stat() ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may have anything in it
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return nil, fmt.Errorf("/proc/%d/stat can't be read: %q", p.cmd.Process.Pid, text)
	}
	return fields, nil
}

// clockTick is the unit of processor times in stat, on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// cpu returns the processor time, of user and system, that the process has used.
func (p *program) cpu() (time.Duration, error) {
	fields, err := p.stat()
	if err != nil {
		return 0, err
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick, err
}

// memory returns the resident memory in MB, now and at its highest.
func (p *program) memory() (now, highest float64, err error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var kilobytes float64
		if n, _ := fmt.Sscanf(lines.Text(), "VmRSS: %f kB", &kilobytes); n == 1 {
			now = kilobytes / 1000
		}
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %f kB", &kilobytes); n == 1 {
			highest = kilobytes / 1000
		}
	}
	if now == 0 || highest == 0 {
		return 0, 0, fmt.Errorf("%s doesn't say how much memory is resident", file.Name())
	}
	return now, highest, nil
}

// startBroker starts a broker without limits of its own on a free port.
func startBroker(ctx context.Context, dir string) (*program, string, error) {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // which is not in everybody's PATH
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	host, port, _ := net.SplitHostPort(addr)
	config := filepath.Join(dir, "mosquitto.conf")
	lines := []string{
		"listener " + port + " " + host, "allow_anonymous true", "log_dest stderr",
		"max_inflight_messages 0", "max_queued_messages 0", "set_tcp_nodelay true",
	}
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return nil, "", err
	}
	p, err := start(dir, "mosquitto", path, "-c", config)
	if err != nil {
		return nil, "", fmt.Errorf("%w; on Debian or Ubuntu: apt-get install mosquitto", err)
	}
	return p, addr, p.await(ctx, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// startEcho starts the baseline.
func startEcho(ctx context.Context, dir, path, broker string, qos byte, in, out string) (*program, error) {
	p, err := start(dir, "echo"+strconv.Itoa(int(qos)), path, broker, strconv.Itoa(int(qos)), in, out)
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, func() bool { return p.said("ready") })
}

// startGraphd starts graphd with resources.
func startGraphd(ctx context.Context, dir, name, path, resources string) (*program, error) {
	folder := filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "resources.yaml")
	if err := os.WriteFile(file, []byte(resources), 0o644); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p, err := start(dir, name, path, "run", "-f", file, "--addr", addr, "--data-dir", filepath.Join(folder, "data"))
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, func() bool {
		response, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
