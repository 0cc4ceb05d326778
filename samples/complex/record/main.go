// SPDX-License-Identifier: Apache-2.0

// Record makes the input of this sample: what two sensors and a camera send in twenty
// seconds. The camera sends JPEG, which the program compresses itself.
//
//	go run ./samples/complex/record
//
// in the top folder writes samples/complex/input.jsonl.
package main

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"os"

	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/recording"
	"github.com/wasm-graph/graphd/samples/complex/pictures"
)

const (
	file  = "samples/complex/input.jsonl"
	start = 1_700_000_000_000 // milliseconds: where a window begins
)

func main() {
	if err := record(); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

// event is what is sent, and when, in milliseconds.
type event struct {
	at      int64
	topic   string
	payload string
}

func record() error {
	events := []event{
		{1000, "sensor/temperature/raw", `{"temperature":{"value":68.0,"unit":"F"}}`},
		{1500, "sensor/humidity/raw", `{"humidity":{"value":41.5}}`},
		{2000, "sensor/images/raw", "empty wall"},
		{4000, "sensor/temperature/raw", `{"temperature":{"value":24.0,"unit":"C"}}`},
		{5000, "sensor/images/raw", "warning triangle"},
		{7000, "sensor/humidity/raw", `{"humidity":{"value":44.5}}`},
		{8000, "sensor/images/raw", "warning triangle"},

		{11000, "sensor/temperature/raw", `{"temperature":{"value":230.0,"unit":"F"}}`},
		{12000, "sensor/images/raw", "first aid cross"},
		{14000, "sensor/temperature/raw", `{"temperature":{"value":-300.0,"unit":"C"}}`},
		{15000, "sensor/images/raw", "stop disc"},
		{16000, "sensor/images/raw", "notice square"},
		{17000, "sensor/humidity/raw", `{"humidity":{"value":83.0}}`},
	}
	var out bytes.Buffer
	w := recording.NewWriter(&out)
	for i, e := range events {
		payload := []byte(e.payload)
		if e.topic == "sensor/images/raw" {
			var photo bytes.Buffer
			if err := jpeg.Encode(&photo, pictures.Draw(e.payload, uint64(i)+1, 240, 180), &jpeg.Options{Quality: 80}); err != nil {
				return err
			}
			payload = photo.Bytes()
		}
		err := w.Write(recording.Record{Topic: e.topic, Payload: payload, Stamped: true, Time: hlc.Timestamp{Millis: start + e.at, Node: "sensor"}})
		if err != nil {
			return err
		}
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}
