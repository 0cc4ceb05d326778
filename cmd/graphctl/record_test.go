// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/wasm-graph/graphd/cmd/internal/broker"
	"github.com/wasm-graph/graphd/conformance/services/certificates"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/progress"
	"github.com/wasm-graph/graphd/engine/recording"
)

// messagesOf reads a recording, which has to be whole.
func messagesOf(t *testing.T, path string) (payloads []string, frontiers int) {
	t.Helper()
	moments, header, err := recording.OpenMoments(path)
	if err != nil {
		t.Fatal(err)
	}
	defer moments.Close()
	last := header.Began
	for {
		m, err := moments.Next()
		if errors.Is(err, io.EOF) {
			return payloads, frontiers
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Message == nil {
			frontiers++
			continue
		}
		if m.At.Before(last) || time.Since(m.At) > time.Minute || !m.Stamped {
			t.Errorf("message %d came at %v, stamped: %v", m.Number, m.At, m.Stamped)
		}
		last = m.At
		payloads = append(payloads, m.Message.Topic+" "+string(m.Message.Payload))
	}
}

// TestRecord records from a broker, which is given by flags or by resources, until
// there is enough, or until it is interrupted.
func TestRecord(t *testing.T) {
	b, err := broker.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	resources := filepath.Join(dir, "resources.yaml")
	if err := os.WriteFile(resources, fmt.Appendf(nil, `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {name: site}
spec: {endpointType: Mqtt, mqttSettings: {host: %q, authentication: {method: Anonymous}, tls: {mode: Disabled}}}
`, b.Address()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		args      []string
		interrupt bool
	}{
		{"flags", []string{"--broker", b.Address(), "--count", "3"}, false},
		{"resources", []string{"-f", resources, "--endpoint", "site", "--count", "3", "--qos", "0"}, false},
		{"interrupted", []string{"--broker", b.Address()}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, tt.name+".rec")
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var stdout, stderr bytes.Buffer
			ended := make(chan int, 1)
			go func() {
				args := append([]string{"record", path, "--topic", "line/+/t", "--topic", "other", "-o", "json"}, tt.args...)
				ended <- run(ctx, args, strings.NewReader(""), &stdout, &stderr)
			}()
			publish := time.NewTicker(time.Millisecond)
			defer publish.Stop()
			for n := 0; ; n++ {
				select {
				case code := <-ended:
					if code != exitOK {
						t.Fatalf("exit code %d: %s", code, &stderr)
					}
					checkRecording(t, path, stdout.Bytes(), tt.interrupt)
					return
				case <-publish.C:
				}
				for _, topic := range []string{"line/3/t", "line/3", "other"} {
					if err := b.Publish(topic, fmt.Append(nil, n)); err != nil {
						t.Fatal(err)
					}
				}
				if info, err := os.Stat(path); tt.interrupt && err == nil && info.Size() > 1000 {
					interrupt() // something has reached the file
				}
			}
		})
	}
	var stderr bytes.Buffer
	args := []string{"record", filepath.Join(dir, "flags.rec"), "--topic", "t", "--broker", b.Address()}
	if code := run(t.Context(), args, nil, io.Discard, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "is there already") {
		t.Errorf("a recording that is there already: exit code %d, %s", code, &stderr)
	}
}

// checkRecording looks at a recording of what TestRecord publishes, and at the report about it.
func checkRecording(t *testing.T, path string, stdout []byte, any bool) {
	t.Helper()
	payloads, frontiers := messagesOf(t, path)
	if !any && len(payloads) != 3 || len(payloads) < 3 {
		t.Errorf("recorded %q", payloads)
	}
	var before string
	for _, p := range payloads {
		topic, number, _ := strings.Cut(p, " ")
		if topic != "line/3/t" && topic != "other" || p == before || number == "" {
			t.Errorf("recorded %q", payloads)
			break
		}
		before = p
	}
	if frontiers == 0 && any {
		t.Error("no frontier is recorded")
	}
	var report recordReport
	if err := json.Unmarshal(stdout, &report); err != nil || report.Messages != uint64(len(payloads)) || report.Recording != path {
		t.Errorf("report %s (%v), want %d messages", stdout, err, len(payloads))
	}
}

// TestRecordTap records what graphd says about a running graph: until there is enough,
// until it is interrupted, until the graph ends, and until graphd is gone. The recording
// has an end in any case.
func TestRecordTap(t *testing.T) {
	var after func(w http.ResponseWriter, r *recording.Recorder) // what happens after three messages
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		switch request.URL.Path {
		case "/apis/connectivity.iotoperations.azure.com/v1/namespaces/plant/dataflowgraphs/g":
			fmt.Fprint(w, "{}")
			return
		case "/apis/connectivity.iotoperations.azure.com/v1/namespaces/plant/dataflowgraphs/g/tap":
			if request.FormValue("node") != "m" {
				t.Errorf("asked for %s", request.URL)
			}
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind": "Status", "code": 404, "message": "no such graph"}`)
			return
		}
		now := time.Now()
		r, err := recording.NewRecorder(w, recording.Header{Began: now, Of: "plant/g m", Sources: []string{"m"}})
		for n := range 3 {
			m := &message.Message{Topic: "t", Payload: fmt.Append(nil, n), Time: hlc.Timestamp{Millis: now.UnixMilli(), Node: "n"}}
			err = errors.Join(err, r.Message(now, 0, m), r.Frontier(now.Add(2*time.Second), progress.Time(now.UnixMilli()+int64(n))))
			now = now.Add(2 * time.Second)
		}
		if err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		after(w, r)
	}))
	defer server.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	waits := func(http.ResponseWriter, *recording.Recorder) { <-ctx.Done() }
	for _, tt := range []struct {
		name  string
		args  []string
		after func(w http.ResponseWriter, r *recording.Recorder)
		code  int
		want  int
		text  string
	}{
		{"enough", []string{"--count", "2"}, waits, exitOK, 2, ""},
		{"for a while", []string{"--for", "500ms"}, waits, exitOK, 3, ""},
		{"graph ended", nil, func(_ http.ResponseWriter, r *recording.Recorder) { _ = r.Close(time.Now().Add(time.Minute)) }, exitOK, 3, ""},
		{"graphd gone", nil, func(http.ResponseWriter, *recording.Recorder) { panic(http.ErrAbortHandler) }, exitFailed, 3, "breaks off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			after = tt.after
			path := filepath.Join(t.TempDir(), "x.rec")
			var stdout, stderr bytes.Buffer
			args := append([]string{"record", path, "--graphd", server.URL, "--graph", "plant/g", "--tap", "m", "-o", "json"}, tt.args...)
			if code := run(ctx, args, nil, &stdout, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.text) {
				t.Errorf("exit code %d: %s", code, &stderr)
			}
			payloads, frontiers := messagesOf(t, path)
			if len(payloads) != tt.want || frontiers == 0 {
				t.Errorf("recorded %q and %d frontiers", payloads, frontiers)
			}
			var report recordReport
			if err := json.Unmarshal(stdout.Bytes(), &report); tt.code == exitOK && (err != nil || report.Messages != uint64(tt.want) || report.Graph != "plant/g") {
				t.Errorf("report %s (%v)", &stdout, err)
			}
		})
	}
	interrupt()
	var stderr bytes.Buffer
	path := filepath.Join(t.TempDir(), "x.rec")
	if code := run(t.Context(), []string{"record", path, "--graphd", server.URL, "--graph", "h"}, nil, io.Discard, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "no such graph") {
		t.Errorf("of another graph: exit code %d, %s", code, &stderr)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a recording of nothing has left a file")
	}
}

func TestRecordUsage(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.rec")
	empty := filepath.Join(dir, "empty.yaml")
	if err := os.WriteFile(empty, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"record", exitUsage, "missing argument FILE"},
		{"record " + file, exitUsage, "--topic is missing"},
		{"record " + file + " --topic t", exitUsage, "--broker is missing"},
		{"record " + file + " --graph g", exitUsage, "--graphd is missing"},
		{"record " + file + " --graphd localhost:9600", exitUsage, "--graph is missing"},
		{"record " + file + " --graphd localhost:9600 --graph g --topic t", exitUsage, "--graphd goes neither"},
		{"record " + file + " --topic t --broker b --endpoint e", exitUsage, "--broker goes neither"},
		{"record " + file + " --topic t --endpoint e", exitUsage, "-f is missing"},
		{"record " + file + " --topic t --endpoint e -f x --tls", exitUsage, "--tls, --ca, --user and --cert go with --broker"},
		{"record " + file + " --topic t --broker b --qos 2", exitUsage, "want 0 or 1"},
		{"record " + file + " --topic t --broker b --for -1s", exitUsage, "not negative"},
		{"record " + file + " --topic t --broker b --log-level x", exitUsage, "for --log-level"},
		{"record " + file + " --topic a/#/b --broker b", exitFailed, "a/#/b"},
		{"record " + file + " --topic t --broker b --ca absent.pem", exitFailed, "absent.pem"},
		{"record " + file + " --topic t --endpoint e -f " + empty, exitFailed, "there is no DataflowEndpoint azure-iot-operations/e"},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(tt.args), nil, io.Discard, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%s: exit code %d, %s; want %d, %s", tt.args, code, &stderr, tt.code, tt.want)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a command that can't be meant has left a file")
	}
}

// TestRecordNothing: a broker that is never reached is no success.
func TestRecordNothing(t *testing.T) {
	var stderr bytes.Buffer
	args := []string{"record", filepath.Join(t.TempDir(), "x.rec"), "--topic", "t", "--broker", "127.0.0.1:1", "--for", "50ms", "--log-level", "error"}
	code := run(t.Context(), args, nil, io.Discard, &stderr)
	if want := "the broker was not reached, so there is nothing in the recording"; code != exitFailed || !strings.Contains(stderr.String(), want) {
		t.Errorf("exit code %d, %s; want %d, %s", code, &stderr, exitFailed, want)
	}
}

// TestRecordAsSomebody: a broker sees the name, the password and the certificate that
// flags name.
func TestRecordAsSomebody(t *testing.T) {
	made := certificates.Make(t)
	host, err := tls.X509KeyPair([]byte(made.Host), []byte(made.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{host}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{"record", filepath.Join(dir, "a.rec"), "--broker", listener.Addr().String(), "--topic", "#", "--ca", file("ca", made.Authority),
		"--user", "line3", "--password-file", file("password", "a secret\n"),
		"--cert", file("cert", made.Device.Certificate+made.Device.Intermediate), "--key", file("key", made.Device.Key)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, strings.NewReader(""), io.Discard, io.Discard) }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p, err := packets.ReadPacket(conn)
	if err != nil {
		t.Fatal(err)
	}
	connect := p.Content.(*packets.Connect)
	if connect.Username != "line3" || string(connect.Password) != "a secret" {
		t.Errorf("the broker sees %q with %q", connect.Username, connect.Password)
	}
	if shown := conn.(*tls.Conn).ConnectionState().PeerCertificates; len(shown) != 2 || shown[0].Subject.CommonName != made.Device.Name {
		t.Errorf("the broker sees %d certificates", len(shown))
	}
	conn.Close()
	cancel()
	<-ended
	for _, flags := range [][]string{{"--user", "x"}, {"--cert", "x"}, {"--key", "x"}} {
		var stderr bytes.Buffer
		args := append([]string{"record", "a.rec", "--broker", "b", "--topic", "#"}, flags...)
		if code := run(t.Context(), args, strings.NewReader(""), io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), "go together") {
			t.Errorf("%v: exit code %d, %s", flags, code, &stderr)
		}
	}
}
