// SPDX-License-Identifier: Apache-2.0

package sdk

// Data is one item on its way through a graph: a *Message, a *Snapshot or bare
// Bytes. An operator owns the items it is handed: it may change them and return
// them, or return others.
type Data interface{ isData() }

// Message is a message as a transport delivered it.
type Message struct {
	Timestamp   Timestamp
	Topic       Bytes
	ContentType Bytes // optional
	Payload     Bytes
	Properties  []Property // the user properties: in order, keys may repeat
	Schema      *Schema    // nil: none
}

// Property is a user property.
type Property struct{ Key, Value Bytes }

// Schema says what a payload looks like: by reference into a schema registry or,
// where Reference is absent, in full.
type Schema struct {
	Reference Bytes
	Name      Bytes
	Content   Bytes
}

// Snapshot is one image of a camera.
type Snapshot struct {
	Timestamp     Timestamp
	Format        Bytes // such as "rgb24"
	Width, Height uint32
	Frame         Bytes
}

func (*Message) isData()  {}
func (*Snapshot) isData() {}

// TypeError says that an operator can't process an item because of its type.
type TypeError struct{ Got string }

func (e *TypeError) Error() string { return "unexpected input type: " + e.Got }

// AsMessage returns d as a message, or a *TypeError if it is something else.
func AsMessage(d Data) (*Message, error) {
	if m, ok := d.(*Message); ok {
		return m, nil
	}
	return nil, &TypeError{typeName(d)}
}

// AsSnapshot returns d as a snapshot, or a *TypeError if it is something else.
func AsSnapshot(d Data) (*Snapshot, error) {
	if s, ok := d.(*Snapshot); ok {
		return s, nil
	}
	return nil, &TypeError{typeName(d)}
}

func typeName(d Data) string {
	switch d.(type) {
	case *Message:
		return "message"
	case *Snapshot:
		return "snapshot"
	case Bytes:
		return "bytes"
	}
	return "nothing"
}

// Property returns the value of the first user property of that key.
func (m *Message) Property(key string) (value string, found bool) {
	for i := range m.Properties {
		if string(m.Properties[i].Key.Bytes()) == key {
			return m.Properties[i].Value.String(), true
		}
	}
	return "", false
}

// SetProperty gives every user property of that key the value, or adds one if
// there is none.
func (m *Message) SetProperty(key, value string) {
	found := false
	for i := range m.Properties {
		if string(m.Properties[i].Key.Bytes()) == key {
			m.Properties[i].Value = Text(value)
			found = true
		}
	}
	if !found {
		m.Properties = append(m.Properties, Property{Text(key), Text(value)})
	}
}

// DeleteProperty removes every user property of that key.
func (m *Message) DeleteProperty(key string) {
	kept := m.Properties[:0]
	for _, p := range m.Properties {
		if string(p.Key.Bytes()) != key {
			kept = append(kept, p)
		}
	}
	clear(m.Properties[len(kept):])
	m.Properties = kept
}
