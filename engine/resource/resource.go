// SPDX-License-Identifier: Apache-2.0

// Package resource is the Kubernetes-style objects that say what should run, as
// plain Go types: it decodes them, fills in defaults and checks them against each
// other. It reads files only; the same files may be given to a cluster.
//
// The objects are those of connectivity.iotoperations.azure.com/v1 (and v1beta1),
// and the core ConfigMap and Secret. What has no field there and is ours is an
// annotation, graphd.io/<option>, which is kept as text here. Enums are taken in any case. A field
// or an object that nobody knows is an error with its place; one that is known and
// not built yet is an error that says so.
//
// Objects refer to each other by name within their namespace. Three exist without
// being declared, each named "default": a DataflowProfile, a DataflowEndpoint for
// the broker aio-broker:18883, and a RegistryEndpoint for mcr.microsoft.com.
package resource

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// The API that the objects belong to.
const (
	Group            = schema.Group
	DefaultNamespace = "azure-iot-operations"  // of an object that states none
	DefaultName      = "default"               // of the objects that exist undeclared
	AnnotationPrefix = schema.AnnotationPrefix // of the annotations that are options
)

// Key identifies an object among those of its kind.
type Key struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Meta is what every object has. As JSON, objects have no places: two that differ
// only in where they are declared are equal.
type Meta struct {
	Key
	File  string            `json:"-"` // where the object is declared; empty for an implied one
	Dir   string            `json:"-"` // what relative paths in it are relative to
	Place document.Position `json:"-"`
}

// DataflowGraph binds a graph definition to the endpoints that its messages come
// from and go to.
type DataflowGraph struct {
	Meta
	Flow               bool   // declared as a Dataflow: a source and a destination, and nothing between
	Profile            string // name of a DataflowProfile
	Disabled           bool   // declared, and not to be run
	RequestPersistence bool   // ask the broker to keep what it queues for us on disk
	Options            []Option

	Sources      []Source
	Graphs       []Graph
	Destinations []Destination
	Connections  []Connection
}

// Option is an annotation graphd.io/<name>.
type Option struct {
	Name  string // without the prefix
	Value string
	Place document.Position `json:"-"`
}

// Source is a node that messages come from.
type Source struct {
	Name     string
	Endpoint string            // name of a DataflowEndpoint
	Topics   []string          // topic filters, at least one
	Place    document.Position `json:"-"`
}

// Graph is a node that a graph definition processes.
type Graph struct {
	Name          string
	Registry      string // name of a RegistryEndpoint, of the modules too
	Artifact      string // reference of the definition
	Configuration []Parameter
	Place         document.Position `json:"-"`
}

// Parameter is a configuration value. It reaches each operation whose definition
// declares its key.
type Parameter struct{ Key, Value string }

// Destination is a node that messages go to.
type Destination struct {
	Name     string
	Endpoint string // name of a DataflowEndpoint
	// Topic is where messages are published; empty means the topic that each message
	// has when it leaves the graph.
	Topic   string
	Headers []HeaderAction    // done to each message's user properties, one after another
	Place   document.Position `json:"-"`
}

// HeaderAction is what a destination does to the user properties of a message, which
// are headers where the protocol calls them so.
type HeaderAction struct {
	Action HeaderVerb
	Key    string
	Value  string // nothing for RemoveHeader
}

// HeaderVerb says what a HeaderAction does.
type HeaderVerb string

// What header actions do.
const (
	AddHeader     HeaderVerb = "AddIfNotPresent" // where the message has none of that key
	RemoveHeader  HeaderVerb = "Remove"          // all of that key
	ReplaceHeader HeaderVerb = "AddOrReplace"    // all of that key, by one
)

// Connection leads from one node to another.
type Connection struct {
	From, To Port
}

// Port is where a connection leaves or reaches a node. In a document it is
// "<node>" or "<node>.<operation>".
type Port struct {
	Node string
	// Operation is, of a Graph node, the sink of its definition that messages leave by,
	// or the source that they enter by; empty means the only one there is.
	Operation string
	Place     document.Position `json:"-"`
}

func (p Port) String() string {
	if p.Operation == "" {
		return p.Node
	}
	return p.Node + "." + p.Operation
}

// DataflowEndpoint is Kafka or else an MQTT broker: the other types are not built yet.
type DataflowEndpoint struct {
	Meta
	MQTT  MQTT   // where Kafka is nil
	Kafka *Kafka // nil: it is an MQTT broker
}

// TLS is how connections to the endpoint are secured.
func (e *DataflowEndpoint) TLS() TLS {
	if e.Kafka != nil {
		return e.Kafka.TLS
	}
	return e.MQTT.TLS
}

// Authentication is how the endpoint is told who we are.
func (e *DataflowEndpoint) Authentication() Authentication {
	if e.Kafka != nil {
		return e.Kafka.Authentication
	}
	return e.MQTT.Authentication
}

// MQTT is how a broker is reached, and what is asked of it.
type MQTT struct {
	Host           string // host:port
	WebSocket      string // path of the WebSocket that MQTT goes over; empty: none
	ClientIDPrefix string
	KeepAlive      time.Duration // 0: off
	SessionExpiry  time.Duration // 0: the session ends with the connection
	MaxInflight    int           // unacknowledged messages, each way
	QoS            int           // 0 or 1
	NeverRetain    bool          // publish without the retain flag
	CloudEvents    CloudEvents
	TLS            TLS
	Authentication Authentication
}

// Authentication is how a client says who it is. At most one field is set; its zero
// value is somebody without a name.
type Authentication struct {
	// Certificate names the Secret with a client's certificate and its key, PEM:
	// client_cert.pem, client_key.pem and, where there are any, the authorities between
	// it and the one that the server knows, client_intermediate_certs.pem.
	Certificate string
	// ServiceAccount is the account in Kubernetes whose token is shown. Nil means none.
	ServiceAccount *ServiceAccount
	// Identity is the managed identity whose tokens are shown. Nil means none.
	Identity *ManagedIdentity
	// Password names the Secret with the name and the password, by the keys UsernameKey
	// and PasswordKey, that are shown to an MQTT broker.
	Password string
	// SASL is the name and the password that are shown to Kafka. Nil means none.
	SASL *SASL
}

// ServiceAccount is the account in Kubernetes that the process runs with.
type ServiceAccount struct {
	Audience string // whom tokens are for: it says so in the volume that they come from
}

// The keys of a Secret with a client's certificate.
const (
	ClientCertificateKey   = "client_cert.pem"
	ClientPrivateKeyKey    = "client_key.pem"
	ClientIntermediatesKey = "client_intermediate_certs.pem" // optional
)

// DockerConfigKey is the key of a Secret with the credentials of a registry.
const DockerConfigKey = ".dockerconfigjson"

// SecretRef names the Secret that the endpoint's authentication needs; empty: none.
func (e *DataflowEndpoint) SecretRef() string {
	a := e.Authentication()
	if a.SASL != nil {
		return a.SASL.Secret
	}
	return cmp.Or(a.Certificate, a.Password)
}

// TLS is how a connection is secured.
type TLS struct {
	Disabled bool
	// TrustedCA names the ConfigMap with the certificates of the authorities to
	// trust; empty means those of the system.
	TrustedCA string
}

// RegistryEndpoint is where artifacts are.
type RegistryEndpoint struct {
	Meta
	// Host is a registry's HOST[:PORT][/PREFIX], or, for what needs no registry,
	// file://DIR or oci-layout:DIR; DIR is relative to the object's Dir.
	Host string
	// PullSecret names the Secret, of type kubernetes.io/dockerconfigjson, with the
	// registry's credentials. Empty means none.
	PullSecret string
	// Identity is the managed identity that is shown to the registry. Nil means none.
	Identity *ManagedIdentity
	// SigningCAs name the objects with certificates of authorities, SigningKeys those
	// with public keys. What neither vouches for is refused; where both are empty,
	// anything is taken.
	SigningCAs, SigningKeys []ObjectRef
}

// ManagedIdentity is an identity in Microsoft Entra ID that the machine or the workload
// has.
type ManagedIdentity struct {
	ClientID string // empty: the system-assigned one
	TenantID string // empty: the machine's
	Scope    string // what tokens are for, as in https://management.azure.com/.default
}

// ObjectRef names a Secret or a ConfigMap in the namespace of the object that has it.
type ObjectRef struct{ Kind, Name string }

func (r ObjectRef) String() string { return r.Kind + " " + r.Name }

// DataflowProfile says how many instances run and how they report.
type DataflowProfile struct {
	Meta
	InstanceCount int
	LogLevel      string
}

// ConfigMap is public configuration data.
type ConfigMap struct {
	Meta
	Data map[string][]byte
}

// Secret is configuration data to be kept from others. It does not print its data.
type Secret struct {
	Meta
	Data map[string][]byte
}

// String keeps the data out of logs.
func (s *Secret) String() string { return "Secret " + s.Key.String() }

// keys returns the keys of the data in order.
func (s *Secret) keys() []string { return slices.Sorted(maps.Keys(s.Data)) }

// GoString keeps the data out of logs.
func (s *Secret) GoString() string { return s.String() }

// Data returns what is in the object that r names; false where there is none.
func (s *Set) Data(namespace string, r ObjectRef) (map[string][]byte, bool) {
	key := Key{namespace, r.Name}
	if r.Kind == "Secret" {
		if secret := s.Secrets[key]; secret != nil {
			return secret.Data, true
		}
	} else if m := s.ConfigMaps[key]; m != nil {
		return m.Data, true
	}
	return nil, false
}

// Set is all objects that were read, implied ones included.
type Set struct {
	Graphs     map[Key]*DataflowGraph
	Endpoints  map[Key]*DataflowEndpoint
	Registries map[Key]*RegistryEndpoint
	Profiles   map[Key]*DataflowProfile
	ConfigMaps map[Key]*ConfigMap
	Secrets    map[Key]*Secret
}

// newSet returns an empty set.
func newSet() *Set {
	return &Set{
		Graphs:     map[Key]*DataflowGraph{},
		Endpoints:  map[Key]*DataflowEndpoint{},
		Registries: map[Key]*RegistryEndpoint{},
		Profiles:   map[Key]*DataflowProfile{},
		ConfigMaps: map[Key]*ConfigMap{},
		Secrets:    map[Key]*Secret{},
	}
}

// Instances returns how many copies of a graph run side by side, by its profile.
func (s *Set) Instances(g *DataflowGraph) int {
	if p := s.Profiles[Key{g.Namespace, g.Profile}]; p != nil {
		return p.InstanceCount
	}
	return 1
}

// GraphKeys returns the keys of the graphs in order.
func (s *Set) GraphKeys() []Key { return keys(s.Graphs) }

func keys[T any](objects map[Key]T) []Key {
	all := make([]Key, 0, len(objects))
	for k := range objects {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// names returns the names of the objects in a namespace, in order.
func names[T any](objects map[Key]T, namespace string) []string {
	var all []string
	for _, k := range keys(objects) {
		if k.Namespace == namespace {
			all = append(all, k.Name)
		}
	}
	return all
}

// imply adds the objects that exist undeclared in every namespace that has graphs.
func (s *Set) imply() {
	for k := range s.Graphs {
		key := Key{k.Namespace, DefaultName}
		meta := Meta{Key: key}
		if s.Profiles[key] == nil {
			s.Profiles[key] = &DataflowProfile{Meta: meta, InstanceCount: 1, LogLevel: "info"}
		}
		if s.Registries[key] == nil {
			s.Registries[key] = &RegistryEndpoint{Meta: meta, Host: "mcr.microsoft.com"}
		}
		if s.Endpoints[key] == nil {
			broker := defaultMQTT()
			broker.Authentication.ServiceAccount = &ServiceAccount{Audience: defaultAudience}
			ca := Key{k.Namespace, "azure-iot-operations-aio-ca-trust-bundle"}
			if s.ConfigMaps[ca] != nil {
				broker.TLS.TrustedCA = ca.Name
			}
			s.Endpoints[key] = &DataflowEndpoint{Meta: meta, MQTT: broker}
		}
	}
}

// defaultAudience is that of service account tokens for the cluster's broker.
const defaultAudience = "aio-internal"

// defaultMQTT is what an endpoint's MQTT settings are where they say nothing.
func defaultMQTT() MQTT {
	settings := schema.Find("DataflowEndpoint").Root.Field("spec").Field("mqttSettings")
	return newDecoder().mqtt(Meta{}, fallback(settings))
}
