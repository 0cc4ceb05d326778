// SPDX-License-Identifier: Apache-2.0

package processor

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wasm-graph/graphd/engine/component/abi"
	"github.com/wasm-graph/graphd/engine/component/abi/abitest"
	"github.com/wasm-graph/graphd/engine/component/types"
	"github.com/wasm-graph/graphd/engine/component/value"
	"github.com/wasm-graph/graphd/engine/hlc"
	"github.com/wasm-graph/graphd/engine/message"
	"github.com/wasm-graph/graphd/engine/operator"
)

// The codecs are compared with the generic lowering and lifting of the published
// types: what one lowers the other must lift to the same.

func processType(k operator.Kind) *types.Func {
	return types.Find(interfaceType(worldPackage+string(k)+worldVersion).Exports, "process").Func
}

func drawTime(t *rapid.T) hlc.Timestamp {
	return hlc.Timestamp{
		Millis:    rapid.Int64Range(0, 1<<45).Draw(t, "millis"),
		SubMillis: rapid.Uint32Range(0, 999_999).Draw(t, "submillis"),
		Counter:   rapid.Uint64().Draw(t, "counter"),
		Node:      rapid.String().Draw(t, "node"),
	}
}

func drawMessage(t *rapid.T) *message.Message {
	m := &message.Message{
		Kind:    rapid.SampledFrom([]message.Kind{message.Data, message.Snapshot, message.Raw}).Draw(t, "kind"),
		Payload: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload"),
	}
	if m.Kind == message.Raw {
		return m
	}
	m.Time = drawTime(t)
	if m.Kind == message.Snapshot {
		m.Format = rapid.String().Draw(t, "format")
		m.Width, m.Height = rapid.Uint32().Draw(t, "width"), rapid.Uint32().Draw(t, "height")
		return m
	}
	m.Topic = rapid.String().Draw(t, "topic")
	m.ContentType = rapid.String().Draw(t, "content type")
	for range rapid.IntRange(0, 3).Draw(t, "properties") {
		m.Properties = append(m.Properties, message.Property{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "value")})
	}
	switch rapid.IntRange(0, 2).Draw(t, "schema") {
	case 1:
		m.Schema = &message.Schema{Reference: rapid.StringN(1, -1, -1).Draw(t, "reference")}
	case 2:
		m.Schema = &message.Schema{Name: rapid.String().Draw(t, "name"), Content: rapid.String().Draw(t, "content")}
	}
	return m
}

// text is a buffer-or-string or buffer-or-bytes read from a value, whichever case.
func text(v value.Value) []byte {
	p := v.Payload()
	if v.Case() == caseBuffer {
		return p.Object().(*buffer).data
	}
	if p.Kind() == types.String {
		return []byte(p.Str())
	}
	return p.Bytes()
}

// messageOf reads a data-model value.
func messageOf(t *rapid.T, v value.Value) *message.Message {
	m, p := &message.Message{}, v.Payload()
	at := func(v value.Value) hlc.Timestamp {
		ts := hlc.Timestamp{Counter: v.Field(1).U64(), Node: string(text(v.Field(2)))}
		nanos := v.Field(0).Field(1).U32()
		ts.Millis = int64(v.Field(0).Field(0).U64())*1000 + int64(nanos/1e6)
		ts.SubMillis = nanos % 1e6
		return ts
	}
	switch v.Case() {
	case caseRaw:
		m.Kind, m.Payload = message.Raw, text(p)
	case caseSnapshot:
		m.Kind, m.Time, m.Format = message.Snapshot, at(p.Field(0)), string(text(p.Field(1)))
		m.Width, m.Height, m.Payload = p.Field(2).U32(), p.Field(3).U32(), text(p.Field(4))
	case caseMessage:
		m.Time, m.Topic, m.Payload = at(p.Field(0)), string(text(p.Field(1))), text(p.Field(3))
		if ct := p.Field(2).Payload(); !ct.IsZero() {
			m.ContentType = string(text(ct))
		}
		for _, kv := range p.Field(4).Field(0).Elems() {
			m.Properties = append(m.Properties, message.Property{Key: string(text(kv.Field(0))), Value: string(text(kv.Field(1)))})
		}
		if s := p.Field(5).Payload(); !s.IsZero() {
			m.Schema = &message.Schema{}
			if s.Case() == 0 {
				m.Schema.Reference = string(text(s.Payload()))
			} else {
				m.Schema.Name, m.Schema.Content = string(text(s.Payload().Field(0))), string(text(s.Payload().Field(1)))
			}
		}
	default:
		t.Fatalf("case %d", v.Case())
	}
	return m
}

func same(t *rapid.T, what string, got, want *message.Message) {
	t.Helper()
	opt := cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })
	if diff := cmp.Diff(want, got, opt); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func TestCodecAgreesWithTypes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(operatorKinds).Draw(t, "operator")
		sig, err := abi.Compile(processType(kind), func(*types.Resource) (int, error) { return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		guest := abitest.NewGuest()
		table := &abi.Table{}
		f := guest.Frame(abi.UTF8, table, &abi.Resource{Name: "buffer"})
		c := call{kind: kind, codec: codec{resource: 0, border: rapid.IntRange(0, 60).Draw(t, "border")}}
		c.message, c.at = drawMessage(t), drawTime(t)
		for range rapid.IntRange(0, 3).Draw(t, "batch") {
			c.batch = append(c.batch, drawMessage(t))
		}

		stack := make([]uint64, sig.StackSize())
		if err := c.LowerParams(f, stack); err != nil {
			t.Fatal(err)
		}
		args, err := sig.LiftParams(f, stack)
		if err != nil {
			t.Fatal(err)
		}
		clock := func(v value.Value) {
			got, err := clockOf(v)
			if err != nil || got != c.at {
				t.Fatalf("time %v, %v; want %v", got, err, c.at)
			}
		}
		switch kind {
		case operator.Branch:
			clock(args[0])
			args = args[1:]
		case operator.Delay:
			clock(args[1])
		case operator.Accumulate:
			batch := args[1].Elems()
			if len(batch) != len(c.batch) {
				t.Fatalf("batch of %d, want %d", len(batch), len(c.batch))
			}
			for i, v := range batch {
				same(t, "batch", messageOf(t, v), c.batch[i])
			}
		}
		same(t, "message", messageOf(t, args[0]), c.message)

		// And back: the same message as the result, its buffers handed on.
		const area = 1 << 15
		guest.Top = area + 1<<12
		var result value.Value
		want := drawMessage(t)
		if rapid.Bool().Draw(t, "mostly the same") { // as most operators answer
			same := *c.message
			same.Payload = want.Payload
			if same.Kind == message.Data {
				same.Properties = append(slices.Clone(same.Properties), want.Properties...)
			}
			want = &same
		}
		pass := rapid.Bool().Draw(t, "pass")
		refuse := rapid.Bool().Draw(t, "refuse")
		switch {
		case refuse:
			result = value.Err(value.Record(value.String("no")))
		case kind == operator.Filter, kind == operator.Branch:
			result = value.Ok(value.Bool(pass))
		case kind == operator.Delay:
			result = value.Ok(clockValue(c.at))
		default:
			echo := call{kind: operator.Map, codec: c.codec, message: want}
			if err := echo.LowerParams(f, stack); err != nil {
				t.Fatal(err)
			}
			mapSig, err := abi.Compile(processType(operator.Map), func(*types.Resource) (int, error) { return 0, nil })
			if err != nil {
				t.Fatal(err)
			}
			v, err := mapSig.LiftParams(f, stack)
			if err != nil {
				t.Fatal(err)
			}
			result = value.Ok(v[0])
			guest.Top = max(guest.Top, area+1<<12)
		}
		for i := range stack {
			stack[i] = area
		}
		if err := sig.LowerResult(f, result, stack); err != nil {
			t.Fatal(err)
		}
		stack[0] = area
		if err := c.LiftResult(f, stack); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.refused != refuse || refuse && c.refusal != "no":
			t.Fatalf("refused %t %q, want %t", c.refused, c.refusal, refuse)
		case refuse:
		case kind == operator.Filter, kind == operator.Branch:
			if c.pass != pass {
				t.Fatalf("pass %t, want %t", c.pass, pass)
			}
		case kind == operator.Delay:
			if c.until != c.at {
				t.Fatalf("until %v, want %v", c.until, c.at)
			}
		default:
			same(t, "result", c.out, want)
		}
		if n := table.Len(); n != 0 {
			t.Fatalf("%d handles left, want 0", n)
		}
	})
}

// FuzzCodec lifts results out of arbitrary memory.
func FuzzCodec(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0, 1, 2}, 100), uint32(8), uint8(0))
	f.Fuzz(func(t *testing.T, memory []byte, at uint32, kind uint8) {
		guest := abitest.NewGuest()
		guest.Memory = memory
		c := call{kind: operatorKinds[int(kind)%len(operatorKinds)], message: &message.Message{}}
		frame := guest.Frame(abi.UTF8, &abi.Table{}, &abi.Resource{Name: "buffer"})
		_ = c.LiftResult(frame, []uint64{uint64(at)})
	})
}
