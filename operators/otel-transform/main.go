// SPDX-License-Identifier: Apache-2.0

// Otel-transform makes a metric for OpenTelemetry of each message: its value, name
// and time come from the JSON payload, its attributes from the user properties.
//
// It behaves like the sample operator of the same name that Azure publishes in
// Rust (Azure-Samples/explore-iot-operations). Where the original starts with too
// little configuration and then stops with a panic, this one refuses to start and
// says why.
package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

func main() {} // never runs, but a main package needs one

func init() { mapper.Handle(open) }

const name = "module-otel-transform/map"

// prefix is what the keys of attributes begin with, among the user properties.
const prefix = "otel/"

var errInput = errors.New("Unexpected input type") //lint:ignore ST1005 the published text

// operator is what the configuration says.
type operator struct {
	log        *sdk.Logger
	metricName string
	namePath   path // nil: it is metricName
	valuePath  path
	timePath   path // nil: the time is now
	metricType string
	unit       smalljson.Value // none: null
	now        func() time.Time
}

func open(host *sdk.Host) (mapper.Func, error) {
	o, err := configure(host)
	if err != nil {
		return nil, err
	}
	return o.process, nil
}

func configure(host *sdk.Host) (*operator, error) {
	c := host.Config
	o := &operator{
		log:        host.Log.WithContext(name),
		metricName: c.Text("metricName", ""),
		namePath:   pathOf(c, "metricNamePath"),
		valuePath:  pathOf(c, "metricValuePath"),
		timePath:   pathOf(c, "metricTimestampPath"),
		metricType: c.Text("metricType", "type-placeholder"),
		now:        time.Now,
	}
	if units, found := c.Lookup("metricUnits"); found {
		o.unit = smalljson.NewText(units)
	}
	if o.valuePath == nil {
		return nil, &sdk.ParameterError{Key: "metricValuePath", Want: "the path of the metric's value in the payload, such as temperature.value"}
	}
	if _, named := c.Lookup("metricName"); !named && o.namePath == nil {
		return nil, &sdk.ParameterError{Key: "metricName", Want: "the metric's name; or metricNamePath, the path of the name in the payload"}
	}
	return o, nil
}

// path leads to a value in the payload: a key for each object on the way.
type path []string

func pathOf(c sdk.Config, key string) path {
	text, found := c.Lookup(key)
	if !found {
		return nil
	}
	return strings.Split(text, ".")
}

func (p path) find(v smalljson.Value) smalljson.Value {
	for _, key := range p {
		v, _ = v.Get(key)
	}
	return v
}

func (o *operator) process(in sdk.Data) (sdk.Data, error) {
	message, ok := in.(*sdk.Message)
	if !ok {
		return nil, errInput
	}
	payload, err := smalljson.Parse(message.Payload.Bytes())
	if err != nil {
		o.log.Error("failed to parse JSON payload, which passes as it is: " + err.Error())
		return message, nil
	}
	metricName := o.metricName
	if o.namePath != nil {
		if metricName = "wasm-placeholder"; o.namePath.find(payload).Kind == smalljson.String {
			metricName = o.namePath.find(payload).Text
		}
	}
	dst := smalljson.AppendText([]byte(`{"metrics":[{"name":`), metricName)
	dst = smalljson.AppendFloat(append(dst, `,"value":`...), o.valuePath.find(payload).Float())
	dst = smalljson.AppendText(append(dst, `,"metric_type":`...), o.metricType)
	dst = o.unit.Append(append(dst, `,"unit":`...))
	dst = o.appendTime(append(dst, `,"timestamp":`...), payload)
	dst = appendAttributes(append(dst, `,"attributes":`...), message.Properties)
	message.Payload = sdk.Raw(append(dst, "}]}"...))
	return message, nil
}

// appendTime appends the metric's time, in nanoseconds since the Unix epoch: null
// where the payload has none, and 0 where it has one that can't be read.
func (o *operator) appendTime(dst []byte, payload smalljson.Value) []byte {
	at := o.now()
	if o.timePath != nil {
		text := o.timePath.find(payload)
		if text.Kind != smalljson.String {
			return append(dst, "null"...)
		}
		var err error
		if at, err = time.Parse(time.RFC3339, text.Text); err != nil {
			o.log.Error("failed to parse timestamp '" + text.Text + "': want one like 2026-01-01T00:00:00Z")
			return append(dst, '0')
		}
	}
	nanos := at.UnixNano()
	if !time.Unix(0, nanos).Equal(at) { // beyond what 64 bits hold
		o.log.Error("failed to convert timestamp to nanoseconds")
		nanos = 0
	}
	return strconv.AppendInt(dst, nanos, 10)
}

// appendAttributes appends the user properties with the prefix as attributes, or
// null where there are none.
func appendAttributes(dst []byte, properties []sdk.Property) []byte {
	before := len(dst)
	for _, p := range properties {
		key := p.Key.String()
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		for strings.HasPrefix(key, prefix) { // the original takes off as many as there are
			key = key[len(prefix):]
		}
		if len(dst) == before {
			dst = append(dst, '[')
		} else {
			dst = append(dst, ',')
		}
		dst = smalljson.AppendText(append(dst, `{"key":`...), key)
		dst = smalljson.AppendText(append(dst, `,"value":`...), p.Value.String())
		dst = append(dst, '}')
	}
	if len(dst) == before {
		return append(dst, "null"...)
	}
	return append(dst, ']')
}
