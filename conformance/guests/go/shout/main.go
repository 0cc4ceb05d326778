// SPDX-License-Identifier: Apache-2.0

// Shout is the operator of the scenario, with the SDK of this repository.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
)

func main() {} // never runs, but a main package needs one

func init() { mapper.Handle(open) }

func open(host *sdk.Host) (mapper.Func, error) {
	property := host.Config.Text("property", "length")
	fmt.Fprintf(os.Stderr, "shout: %d settings\n", len(host.Config.Parameters))
	host.Log.WithContext("shout/map").Info("adding user property " + property)
	if _, refuse := host.Config.Lookup("refuse"); refuse {
		return nil, errors.New("told to refuse")
	}
	messages := host.Metrics.Counter("messages", sdk.Label{Key: "operator", Value: "shout"})
	return func(in sdk.Data) (sdk.Data, error) {
		m, ok := in.(*sdk.Message)
		if !ok {
			return nil, errors.New("Unexpected input type.") //lint:ignore ST1005 the published text
		}
		payload := m.Payload.Bytes()
		if len(payload) == 0 {
			return nil, errors.New("payload is empty")
		}
		n, err := count(host.Store)
		if err != nil {
			return nil, err
		}
		if err := messages.Add(1); err != nil {
			return nil, err
		}
		m.Payload = sdk.Raw(upper(payload))
		m.ContentType = sdk.Text("text/plain")
		m.Properties = append(m.Properties,
			sdk.Property{Key: sdk.Text(property), Value: sdk.Text(strconv.Itoa(len(payload)))},
			sdk.Property{Key: sdk.Text("count"), Value: sdk.Text(strconv.Itoa(n))})
		return m, nil
	}, nil
}

// count counts in the state store, and returns how many messages there have been.
func count(store *sdk.Store) (int, error) {
	last, err := store.Get("count", sdk.GetOptions{})
	if err != nil {
		return 0, err
	}
	n := 1
	if last.Found {
		before, err := strconv.Atoi(string(last.Value))
		if err != nil {
			return 0, err
		}
		n += before
	}
	_, err = store.Set("count", []byte(strconv.Itoa(n)), sdk.SetOptions{})
	return n, err
}

// upper returns p with its ASCII letters in upper case.
func upper(p []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, p)
}
