// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"encoding/base64"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/topic"
)

// decoder turns documents into a Set.
type decoder struct {
	set      *Set
	declared map[declaration]Meta
	problems document.Problems
	checks   []func() // what can be checked once everything is read
	reader   *document.Reader
}

// declaration identifies an object among all.
type declaration struct {
	kind string
	key  Key
}

func newDecoder() *decoder {
	return &decoder{set: newSet(), declared: map[declaration]Meta{}}
}

// file reads one file's objects.
func (d *decoder) file(f File) {
	d.reader = document.NewReader(f.Name)
	reader := d.reader
	for _, n := range d.reader.Documents(f.Data) {
		d.object(f, n)
	}
	// After the checks that the objects of the file have deferred.
	d.later(func() { d.problems = append(d.problems, reader.Problems()...) })
}

// finish checks the objects against each other.
func (d *decoder) finish() (*Set, document.Problems) {
	d.set.imply()
	for _, check := range d.checks {
		check()
	}
	d.problems.Sort()
	return d.set, d.problems
}

// later defers a check until all objects are read.
func (d *decoder) later(check func()) { d.checks = append(d.checks, check) }

// kind is a kind of objects.
type kind struct {
	name   string
	core   bool     // of Kubernetes itself
	fields []string // beside those that all objects have
	decode func(Meta, []document.Property, document.Object)
}

func (d *decoder) kinds() []kind {
	spec := []string{"spec", "status"}
	return []kind{
		{"DataflowGraph", false, spec, d.graph},
		{"DataflowEndpoint", false, spec, d.endpoint},
		{"DataflowProfile", false, spec, d.profile},
		{"RegistryEndpoint", false, spec, d.registry},
		{"ConfigMap", true, []string{"data", "binaryData", "immutable"}, d.configMap},
		{"Secret", true, []string{"data", "stringData", "immutable", "type"}, d.secret},
		{"Dataflow", false, spec, d.flow},
	}
}

// object reads one object, or the items of a List.
func (d *decoder) object(file File, n document.Node) {
	name, apiVersion := n.Peek("kind"), n.Peek("apiVersion")
	if !name.Present() || !apiVersion.Present() {
		o := n.Object("kind", "apiVersion", "metadata", "spec", "status", "data")
		o.Required("kind", "write kind: DataflowGraph, for one")
		o.Required("apiVersion", "write apiVersion: "+Group+"/v1, or v1 for a ConfigMap or Secret")
		return
	}
	if name.Text() == "List" && apiVersion.Text() == "v1" {
		for _, item := range n.Object("kind", "apiVersion", "metadata", "items").Required("items", "").List() {
			d.object(file, item)
		}
		return
	}
	kinds := d.kinds()
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name.Text() })
	if i < 0 {
		known := make([]string, len(kinds))
		for i, k := range kinds {
			known[i] = k.name
		}
		name.Errorf(document.Suggest(name.Text(), known), "unknown kind %s", name.Text())
		return
	}
	k := kinds[i]
	versions := []string{Group + "/v1", Group + "/v1beta1"}
	if k.core {
		versions = []string{"v1"}
	}
	if v := apiVersion.Text(); !slices.Contains(versions, v) {
		apiVersion.Errorf("write "+versions[0], "%s is not of %s", k.name, v)
	}
	o := n.Object(slices.Concat([]string{"kind", "apiVersion", "metadata"}, k.fields)...)
	meta, annotations := d.meta(file, k.name, o)
	if meta.Name != "" {
		k.decode(meta, annotations, o)
	}
}

var (
	objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	nodeName   = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	configKey  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
)

// meta reads an object's metadata and notes the declaration. The name is empty
// where the object is of no use.
func (d *decoder) meta(file File, kind string, o document.Object) (Meta, []document.Property) {
	n := o.Required("metadata", "write metadata: with a name")
	if !n.Present() {
		return Meta{}, nil
	}
	var name, namespace document.Node
	var annotations []document.Property
	// A cluster adds fields of its own, which say nothing to us.
	for _, p := range n.Map() {
		switch p.Name {
		case "name":
			name = p.Value
		case "namespace":
			namespace = p.Value
		case "annotations":
			if !p.Value.IsNull() {
				annotations = p.Value.Map()
			}
		}
	}
	if !name.Present() {
		n.Errorf("write name: under metadata", "metadata.name is missing")
		return Meta{}, nil
	}
	m := Meta{Key: Key{DefaultNamespace, name.Text()}, File: file.Name, Dir: file.Dir, Place: o.Position()}
	if namespace.Present() && !namespace.IsNull() {
		m.Namespace = namespace.Text()
	}
	if !objectName.MatchString(m.Name) || len(m.Name) > 253 {
		if m.Name != "" {
			name.Errorf("names are of a-z, 0-9 and '-'", "metadata.name can't be %q", m.Name)
		}
		return Meta{}, nil
	}
	id := declaration{kind, m.Key}
	if first, ok := d.declared[id]; ok {
		name.Errorf("rename or remove one", "%s %s is already declared in %s:%s", kind, m.Name, first.File, first.Place)
		return Meta{}, nil
	}
	d.declared[id] = m
	for _, a := range annotations {
		options := kind == "DataflowGraph" || kind == "Dataflow" || kind == "DataflowEndpoint" && a.Name == credentials
		if strings.HasPrefix(a.Name, AnnotationPrefix) && !options {
			d.reader.Errorf(a.Place, "move it to the DataflowGraph", "annotation %s has no meaning on a %s", a.Name, kind)
		}
	}
	return m, annotations
}

// enabled reads an Enabled or Disabled, where absent means the fallback.
func enabled(n document.Node, fallback bool) bool {
	switch n.Enum("Enabled", "Disabled") {
	case "Enabled":
		return true
	case "Disabled":
		return false
	}
	return fallback
}

// notYet refuses fields that are known and not built.
func notYet(o document.Object, fields ...string) {
	for _, f := range fields {
		n := o.Optional(f)
		n.Errorf("take it out", "%s is not supported yet", n.Path())
	}
}

func (d *decoder) graph(meta Meta, annotations []document.Property, o document.Object) {
	spec := o.Required("spec", "").Object("profileRef", "mode", "requestDiskPersistence", "nodes", "nodeConnections", "fileStores")
	g := d.head(meta, annotations, spec)
	notYet(spec, "fileStores")
	nodes := spec.Required("nodes", "write nodes: with a Source and a Destination, at least")
	seen, sound := map[string]bool{}, true
	for _, n := range nodes.List() {
		sound = d.node(g, n, seen) && sound
	}
	connections := spec.Required("nodeConnections", "write nodeConnections: that lead from the source to the destination")
	for _, n := range connections.List() {
		c := n.Object("from", "to")
		from := c.Required("from", "").Object("name", "schema")
		to := c.Required("to", "").Object("name")
		schema := from.Optional("schema").Object("serializationFormat", "schemaRef")
		if f := schema.Optional("serializationFormat"); f.Present() {
			if format := f.Enum("Json", "Delta", "Parquet", "Avro"); format != "Json" && format != "" {
				f.Errorf("write Json", "the format %s is not supported yet", format)
			}
		}
		if ref := schema.Optional("schemaRef"); ref.Present() {
			ref.Text()
			ref.Warnf("", "schemas are not checked at run time; %s is ignored", ref.Path())
		}
		g.Connections = append(g.Connections, Connection{From: port(from.Required("name", "")), To: port(to.Required("name", ""))})
	}
	if d.set.Graphs[meta.Key] != nil {
		o.Required("spec", "").Errorf("give one of the two another name", "there is a Dataflow %s as well, and both run side by side", meta.Key)
		return
	}
	d.set.Graphs[meta.Key] = g
	if sound {
		d.checkGraph(g, nodes)
	}
}

// head reads what a DataflowGraph and a Dataflow have in common.
func (d *decoder) head(meta Meta, annotations []document.Property, spec document.Object) *DataflowGraph {
	g := &DataflowGraph{
		Meta:               meta,
		Profile:            spec.Optional("profileRef").Text(),
		Disabled:           !enabled(spec.Optional("mode"), true),
		RequestPersistence: enabled(spec.Optional("requestDiskPersistence"), false),
	}
	if g.Profile == "" {
		g.Profile = DefaultName
	}
	for _, a := range annotations {
		if name, ok := strings.CutPrefix(a.Name, AnnotationPrefix); ok {
			g.Options = append(g.Options, Option{Name: name, Value: a.Value.Text(), Place: a.Place})
		}
	}
	d.refer(spec.Optional("profileRef"), "DataflowProfile", g.Namespace, g.Profile)
	return g
}

// port reads one end of a connection.
func port(n document.Node) Port {
	node, operation, _ := strings.Cut(n.Text(), ".")
	return Port{Node: node, Operation: operation, Place: n.Position()}
}

// headers reads the header actions of a destination.
func headers(list document.Node) []HeaderAction {
	var actions []HeaderAction
	for _, n := range list.List() {
		o := n.Object("actionType", "key", "value")
		verb := o.Required("actionType", "write AddIfNotPresent, AddOrReplace or Remove").
			Enum(string(AddHeader), string(RemoveHeader), string(ReplaceHeader))
		key, value := o.Required("key", "write the name of a header"), o.Optional("value")
		a := HeaderAction{Action: HeaderVerb(verb), Key: key.Text(), Value: value.Text()}
		switch {
		case key.Present() && a.Key == "":
			key.Errorf("write the name of a header", "%s is empty", key.Path())
		case a.Action == RemoveHeader && value.Present():
			value.Errorf("take it out", "%s has no meaning where a header is removed", value.Path())
		case a.Action != RemoveHeader && !value.Present():
			n.Errorf("add value:", "%s has no value", n.Path())
		}
		actions = append(actions, a)
	}
	return actions
}

// node reads a node into g, and reports whether it can be told what it is.
func (d *decoder) node(g *DataflowGraph, n document.Node, seen map[string]bool) bool {
	o := n.Object("name", "nodeType", "sourceSettings", "graphSettings", "destinationSettings")
	nameNode := o.Required("name", "")
	name := nameNode.Text()
	switch {
	case name == "":
	case !nodeName.MatchString(name):
		nameNode.Errorf("names are of letters, digits, '_' and '-'", "%s can't be %q", nameNode.Path(), name)
	case seen[name]:
		nameNode.Errorf("names must differ", "there are two nodes %q", name)
	}
	seen[name] = true
	settings := map[string]string{"Source": "sourceSettings", "Graph": "graphSettings", "Destination": "destinationSettings"}
	kind := o.Required("nodeType", "").Enum("Source", "Graph", "Destination")
	for other, field := range settings {
		if kind != "" && other != kind {
			p := o.Optional(field)
			p.Errorf("", "%s has no meaning for a %s", p.Path(), kind)
		}
	}
	switch kind {
	case "Source":
		g.Sources = append(g.Sources, d.source(g, name, n, o.Required(settings[kind], "").Object("endpointRef", "dataSources", "assetRef")))
	case "Graph":
		s := o.Required(settings[kind], "").Object("registryEndpointRef", "artifact", "configuration")
		graph := Graph{
			Name:     name,
			Registry: s.Required("registryEndpointRef", "the registry endpoint default always exists").Text(),
			Artifact: s.Required("artifact", "write NAME:TAG").Text(),
			Place:    n.Position(),
		}
		given := map[string]bool{}
		for _, item := range s.Optional("configuration").List() {
			c := item.Object("key", "value")
			keyNode := c.Required("key", "")
			p := Parameter{Key: keyNode.Text(), Value: c.Optional("value").Text()}
			switch {
			case p.Key == "":
			case !configKey.MatchString(p.Key):
				keyNode.Errorf("keys are of letters, digits, '_' and '-'", "%s can't be %q", keyNode.Path(), p.Key)
			case given[p.Key]:
				keyNode.Errorf("remove one", "the configuration has two values for %q", p.Key)
			default:
				graph.Configuration = append(graph.Configuration, p)
			}
			given[p.Key] = true
			if !c.Optional("value").Present() {
				item.Errorf("", "%s has no value", item.Path())
			}
		}
		d.refer(s.Optional("registryEndpointRef"), "RegistryEndpoint", g.Namespace, graph.Registry)
		g.Graphs = append(g.Graphs, graph)
	case "Destination":
		s := o.Required(settings[kind], "").Object("endpointRef", "dataDestination", "headers", "outputSchemaSettings")
		notYet(s, "outputSchemaSettings")
		g.Destinations = append(g.Destinations, d.destination(g, name, n, s, "${outputTopic", "${inputTopic"))
	}
	return kind != "" && name != ""
}

// source reads the settings of a node that messages come from.
func (d *decoder) source(g *DataflowGraph, name string, n document.Node, s document.Object) Source {
	source := Source{Name: name, Place: n.Position(), Endpoint: s.Required("endpointRef", "the endpoint default always exists").Text()}
	topics := s.Required("dataSources", "write the topics to subscribe to")
	filters := topics.List()
	if len(filters) == 0 {
		topics.Errorf("write the topics to subscribe to", "%s has none", topics.Path())
	}
	for _, f := range filters {
		filter := f.Text()
		if err := checkFilter(filter); err != nil {
			f.Errorf("", "topic filter %q: %v", filter, err)
		}
		source.Topics = append(source.Topics, filter)
	}
	s.Optional("assetRef").Warnf("", "assets are not looked up; the topics of dataSources are used")
	d.refer(s.Optional("endpointRef"), "DataflowEndpoint", g.Namespace, source.Endpoint)
	d.kafkaSource(g.Namespace, s, source)
	if g.RequestPersistence {
		d.later(func() {
			e := d.set.Endpoints[Key{g.Namespace, source.Endpoint}]
			if e != nil && e.Kafka == nil && e.MQTT.SessionExpiry == 0 {
				s.Optional("endpointRef").Warnf("", "requestDiskPersistence keeps nothing: sessions at %s end with their connections (sessionExpirySeconds: 0)", e.Name)
			}
		})
	}
	return source
}

// destination reads the settings of a node that messages go to. Its topic may refer to
// that of each message as known, and not as unknown.
func (d *decoder) destination(g *DataflowGraph, name string, n document.Node, s document.Object, known, unknown string) Destination {
	to := s.Required("dataDestination", "write the topic to publish to")
	destination := Destination{
		Name:     name,
		Endpoint: s.Required("endpointRef", "the endpoint default always exists").Text(),
		Topic:    to.Text(),
		Headers:  headers(s.Optional("headers")),
		Place:    n.Position(),
	}
	template, err := topic.Parse(destination.Topic)
	switch {
	case !to.Present():
	case err != nil:
		to.Errorf("", "topic %q: %v", destination.Topic, err)
	case strings.Contains(destination.Topic, unknown):
		to.Errorf("write "+known+"}", "topic %q: there is no %s} here", destination.Topic, unknown)
	case template.Filter() == "#" && destination.Topic == known+"}":
		destination.Topic = ""
	}
	d.refer(s.Optional("endpointRef"), "DataflowEndpoint", g.Namespace, destination.Endpoint)
	d.kafkaDestination(g.Namespace, to, destination)
	return destination
}

// checkFilter checks an MQTT topic filter.
func checkFilter(filter string) error {
	if filter = unshared(filter); filter == "" {
		return errors.New("it is empty")
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) {
			return errors.New("'#' stands alone and last, after a '/'")
		}
		if strings.Contains(level, "+") && level != "+" {
			return errors.New("'+' stands alone between two '/'")
		}
	}
	if strings.ContainsRune(filter, 0) || len(filter) > 65535 {
		return errors.New("it has a null character or more than 65535 bytes")
	}
	return nil
}

// refer checks, once all is read, that what a field names exists in the namespace.
func (d *decoder) refer(n document.Node, kind, namespace, name string) {
	if name == "" {
		return
	}
	d.later(func() {
		key, known := Key{namespace, name}, []string(nil)
		switch kind {
		case "DataflowEndpoint":
			if d.set.Endpoints[key] != nil {
				return
			}
			known = names(d.set.Endpoints, namespace)
		case "RegistryEndpoint":
			if d.set.Registries[key] != nil {
				return
			}
			known = names(d.set.Registries, namespace)
		case "DataflowProfile":
			if d.set.Profiles[key] != nil {
				return
			}
			known = names(d.set.Profiles, namespace)
		case "ConfigMap":
			if d.set.ConfigMaps[key] != nil {
				return
			}
			known = names(d.set.ConfigMaps, namespace)
		case "Secret":
			if d.set.Secrets[key] != nil {
				return
			}
			known = names(d.set.Secrets, namespace)
		}
		if _, ok := d.declared[declaration{kind, key}]; ok {
			return // declared, and faulty: that is said elsewhere
		}
		n.Errorf(document.Suggest(name, known), "there is no %s %q in namespace %s", kind, name, namespace)
	})
}

// credentials is the annotation of an MQTT endpoint that names the Secret with a user
// name and a password: its settings have no field for them.
const credentials = AnnotationPrefix + "credentials"

func (d *decoder) endpoint(meta Meta, annotations []document.Property, o document.Object) {
	settings := map[string]string{"Mqtt": "mqttSettings", "Kafka": "kafkaSettings"}
	fields := []string{"mqttSettings", "kafkaSettings", "openTelemetrySettings", "localStorageSettings", "dataLakeStorageSettings",
		"datalakeStorageSettings", "fabricOneLakeSettings", "dataExplorerSettings"}
	spec := o.Required("spec", "").Object(append([]string{"endpointType", "hostType"}, fields...)...)
	typeNode := spec.Required("endpointType", "write Mqtt or Kafka")
	kind := typeNode.Enum("Mqtt", "Kafka", "OpenTelemetry", "LocalStorage", "DataLakeStorage", "FabricOneLake", "DataExplorer")
	if settings[kind] == "" {
		if kind != "" {
			typeNode.Errorf("write Mqtt or Kafka", "endpoints of type %s are not supported yet", kind)
		}
		return
	}
	for _, name := range fields {
		if name != settings[kind] {
			n := spec.Optional(name)
			n.Errorf("", "%s has no meaning for an endpoint of type %s", n.Path(), kind)
		}
	}
	e := &DataflowEndpoint{Meta: meta}
	if kind == "Kafka" {
		e.Kafka = d.kafka(meta, spec)
	} else {
		e.MQTT = d.mqtt(meta, spec)
	}
	for _, a := range annotations {
		switch {
		case a.Name != credentials:
		case kind == "Kafka":
			d.reader.Errorf(a.Place, "authenticate by Sasl", "annotation %s has no meaning for an endpoint of type Kafka", a.Name)
		case e.MQTT.Authentication != (Authentication{}):
			d.reader.Errorf(a.Place, "take it out, or write method: Anonymous", "annotation %s has no meaning where the endpoint authenticates otherwise", a.Name)
		default:
			e.MQTT.Authentication.Password = d.secretWith(meta, a.Value, UsernameKey, PasswordKey)
		}
	}
	d.set.Endpoints[meta.Key] = e
}

// mqtt reads the settings of an endpoint of that type.
func (d *decoder) mqtt(meta Meta, spec document.Object) MQTT {
	spec.Optional("hostType").Enum("LocalBroker", "EventGrid", "CustomMqtt")
	s := spec.Required("mqttSettings", "").Object("host", "authentication", "clientIdPrefix", "protocol", "keepAliveSeconds",
		"retain", "maxInflightMessages", "qos", "sessionExpirySeconds", "tls", "cloudEventAttributes")
	m := defaultMQTT()
	if s.Optional("protocol").Enum("Mqtt", "WebSockets") == "WebSockets" {
		m.WebSocket = "/mqtt"
	}
	if host := s.Optional("host"); host.Present() {
		m.host(host)
	}
	m.Authentication = d.brokerAuthentication(meta, s)
	m.ClientIDPrefix = s.Optional("clientIdPrefix").Text()
	if n := s.Optional("keepAliveSeconds"); n.Present() {
		m.KeepAlive = time.Duration(n.Int(0, 65535)) * time.Second
	}
	if n := s.Optional("sessionExpirySeconds"); n.Present() {
		m.SessionExpiry = time.Duration(n.Int(0, 1<<31-1)) * time.Second
	}
	if n := s.Optional("maxInflightMessages"); n.Present() {
		m.MaxInflight = n.Int(1, 65535)
	}
	if n := s.Optional("qos"); n.Present() {
		m.QoS = n.Int(0, 1)
	}
	m.NeverRetain = s.Optional("retain").Enum("Keep", "Never") == "Never"
	m.TLS = d.tls(meta, s, m.Authentication)
	if c := s.Optional("cloudEventAttributes").Enum("Propagate", "CreateOrRemap"); c != "" {
		m.CloudEvents = CloudEvents(c)
	}
	return m
}

// tls reads how connections are secured.
func (d *decoder) tls(meta Meta, settings document.Object, a Authentication) TLS {
	s := settings.Optional("tls").Object("mode", "trustedCaCertificateConfigMapRef")
	mode, ca := s.Optional("mode"), s.Optional("trustedCaCertificateConfigMapRef")
	t := TLS{Disabled: !enabled(mode, true), TrustedCA: ca.Text()}
	d.refer(ca, "ConfigMap", meta.Namespace, t.TrustedCA)
	if t.Disabled && a.Certificate != "" {
		mode.Errorf("write Enabled", "%s is Disabled, and nobody can show a certificate without TLS", mode.Path())
	}
	return t
}

// host reads where a broker is: HOST:PORT and, over a WebSocket, its path.
func (m *MQTT) host(n document.Node) {
	hint := "write HOST:PORT"
	m.Host = n.Text()
	if m.WebSocket != "" {
		hint += "/PATH"
		if host, path, ok := strings.Cut(m.Host, "/"); ok && host != "" && path != "" {
			m.Host, m.WebSocket = host, "/"+path
		}
	}
	if strings.Contains(m.Host, "/") || strings.ContainsAny(m.WebSocket, "?#") || strings.Contains(n.Text(), "://") {
		n.Errorf(hint, "%s can't be %q", n.Path(), n.Text())
	} else if _, _, err := net.SplitHostPort(m.Host); err != nil && strings.Contains(m.Host, ":") {
		n.Errorf(hint, "%s can't be %q: %v", n.Path(), n.Text(), err)
	}
}

// authentication reads how an endpoint is authenticated to, and returns the settings
// and the method: one of supported, or empty where there is a fault.
func (d *decoder) authentication(settings document.Object, supported ...string) (document.Object, string) {
	methods := []string{"Anonymous", "ServiceAccountToken", "X509Certificate", "SystemAssignedManagedIdentity",
		"UserAssignedManagedIdentity", "Sasl", "AccessToken", "ArtifactPullSecret"}
	a := settings.Required("authentication", "write authentication: {method: Anonymous}").Object("method", "anonymousSettings",
		"serviceAccountTokenSettings", "x509CertificateSettings", "systemAssignedManagedIdentitySettings",
		"userAssignedManagedIdentitySettings", "UserAssignedManagedIdentitySettings", "saslSettings", "accessTokenSettings",
		"artifactPullSecretSettings")
	hint := "write " + strings.Join(supported, " or ")
	n := a.Required("method", hint)
	method := n.Enum(methods...)
	if method != "" && !slices.Contains(supported, method) {
		n.Errorf(hint, "authentication by %s is not supported yet", method)
		return a, ""
	}
	return a, method
}

// brokerAuthentication reads how an MQTT broker is authenticated to.
func (d *decoder) brokerAuthentication(meta Meta, settings document.Object) Authentication {
	var result Authentication
	switch a, method := d.authentication(settings, "Anonymous", "X509Certificate", "ServiceAccountToken",
		"SystemAssignedManagedIdentity", "UserAssignedManagedIdentity"); method {
	case "X509Certificate":
		result.Certificate = d.certificate(meta, a)
	case "ServiceAccountToken":
		result.ServiceAccount = &ServiceAccount{Audience: defaultAudience}
		s := a.Optional("serviceAccountTokenSettings").Object("audience")
		if n := s.Optional("audience"); n.Present() && n.Text() != "" {
			result.ServiceAccount.Audience = n.Text()
		}
	case "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity":
		result.Identity = managedIdentity(a, method, "https://eventgrid.azure.net")
	}
	return result
}

// certificate reads which Secret has the certificate to show.
func (d *decoder) certificate(meta Meta, a document.Object) string {
	secret := a.Required("x509CertificateSettings", "write x509CertificateSettings: {secretRef: NAME}").Object("secretRef").
		Required("secretRef", "name a Secret with "+ClientCertificateKey+" and "+ClientPrivateKeyKey+" in this namespace")
	return d.secretWith(meta, secret, ClientCertificateKey, ClientPrivateKeyKey)
}

// secretWith reads the name of a Secret, which must have those keys.
func (d *decoder) secretWith(meta Meta, n document.Node, keys ...string) string {
	name := n.Text()
	d.refer(n, "Secret", meta.Namespace, name)
	d.later(func() {
		if s := d.set.Secrets[Key{meta.Namespace, name}]; s != nil {
			for _, key := range keys {
				if _, ok := s.Data[key]; !ok {
					n.Errorf("", "the Secret %s has no %s", s.Name, key)
				}
			}
		}
	})
	return name
}

// managedIdentity reads the settings of an authentication by managed identity.
// audience is what tokens are for where nothing is said.
func managedIdentity(a document.Object, method, audience string) *ManagedIdentity {
	if method == "SystemAssignedManagedIdentity" {
		s := a.Optional("systemAssignedManagedIdentitySettings").Object("audience", "extensionName", "tenantId")
		if n := s.Optional("audience"); n.Present() && n.Text() != "" {
			audience = n.Text()
		}
		return &ManagedIdentity{TenantID: s.Optional("tenantId").Text(), Scope: audience + "/.default"}
	}
	field := "userAssignedManagedIdentitySettings"
	if alias := "UserAssignedManagedIdentitySettings"; a.Optional(alias).Present() {
		field = alias // as some of the published templates have it
	}
	const hint = "write userAssignedManagedIdentitySettings: {clientId: ID, tenantId: ID}"
	s := a.Required(field, hint).Object("clientId", "tenantId", "scope")
	m := &ManagedIdentity{
		ClientID: s.Required("clientId", hint).Text(),
		TenantID: s.Required("tenantId", hint).Text(),
		Scope:    audience + "/.default",
	}
	if n := s.Optional("scope"); n.Present() && n.Text() != "" {
		m.Scope = n.Text()
	}
	return m
}

// objectRef reads a reference to a Secret or a ConfigMap: {type: Secret, secretRef: NAME}.
func (d *decoder) objectRef(meta Meta, n document.Node) (ObjectRef, bool) {
	const hint = "write {type: ConfigMap, configMapRef: NAME} or {type: Secret, secretRef: NAME}"
	o := n.Object("type", "secretRef", "configMapRef")
	ref := ObjectRef{Kind: o.Required("type", hint).Enum("Secret", "ConfigMap")}
	field := map[string]string{"Secret": "secretRef", "ConfigMap": "configMapRef"}[ref.Kind]
	if field == "" {
		return ref, false
	}
	name := o.Required(field, hint)
	ref.Name = name.Text()
	d.refer(name, ref.Kind, meta.Namespace, ref.Name)
	return ref, ref.Name != ""
}

func (d *decoder) registry(meta Meta, _ []document.Property, o document.Object) {
	spec := o.Required("spec", "").Object("host", "authentication", "trustSettings", "codeSigningCas")
	r := &RegistryEndpoint{Meta: meta, Host: spec.Required("host", "write a registry's host, file://DIR or oci-layout:DIR").Text()}
	local := strings.HasPrefix(r.Host, "file:") || strings.HasPrefix(r.Host, "oci-layout:")
	if !local || spec.Optional("authentication").Present() {
		switch a, method := d.authentication(spec, "Anonymous", "ArtifactPullSecret", "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity"); method {
		case "ArtifactPullSecret":
			secret := a.Required("artifactPullSecretSettings", "write artifactPullSecretSettings: {secretRef: NAME}").Object("secretRef").
				Required("secretRef", "name a Secret of type kubernetes.io/dockerconfigjson in this namespace")
			r.PullSecret = secret.Text()
			d.refer(secret, "Secret", meta.Namespace, r.PullSecret)
		case "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity":
			r.Identity = managedIdentity(a, method, "https://management.azure.com/")
		}
	}
	if trust := spec.Optional("trustSettings"); trust.Present() {
		keys := trust.Object("trustedSigningKeys").Required("trustedSigningKeys", "write trustedSigningKeys: {type: ConfigMap, configMapRef: NAME}")
		if ref, ok := d.objectRef(meta, keys); ok {
			r.SigningKeys = append(r.SigningKeys, ref)
		}
	}
	for _, n := range spec.Optional("codeSigningCas").List() {
		if ref, ok := d.objectRef(meta, n); ok {
			r.SigningCAs = append(r.SigningCAs, ref)
		}
	}
	if strings.HasPrefix(r.Host, "file:") && len(r.SigningCAs)+len(r.SigningKeys) > 0 {
		host := spec.Required("host", "")
		host.Errorf("keep the artifacts in a registry or an oci-layout:DIR", "files in a folder can't be signed, and this endpoint trusts only what is")
	}
	d.set.Registries[meta.Key] = r
}

func (d *decoder) profile(meta Meta, _ []document.Property, o document.Object) {
	spec := o.Optional("spec").Object("instanceCount", "diagnostics", "debuggingSettings",
		"maxInstances", "tolerations", "logFormat", "logLevel", "traces") // the last five are of old previews
	p := &DataflowProfile{Meta: meta, InstanceCount: 1, LogLevel: "info"}
	if n := spec.Optional("instanceCount"); n.Present() {
		if p.InstanceCount = n.Int(1, 20); p.InstanceCount > 1 {
			n.Errorf("write 1", "more than one instance is not supported yet")
		}
	}
	diagnostics := spec.Optional("diagnostics").Object("logs", "metrics", "debuggingSettings")
	if level := diagnostics.Optional("logs").Object("level").Optional("level"); level.Present() {
		p.LogLevel = level.Text()
	}
	diagnostics.Optional("metrics").Object("prometheusPort").Optional("prometheusPort").Int(0, 65535)
	notYet(spec, "debuggingSettings")
	notYet(diagnostics, "debuggingSettings")
	d.set.Profiles[meta.Key] = p
}

func (d *decoder) configMap(meta Meta, _ []document.Property, o document.Object) {
	c := &ConfigMap{Meta: meta, Data: map[string][]byte{}}
	texts(o.Optional("data"), c.Data)
	binaries(o.Optional("binaryData"), c.Data)
	d.set.ConfigMaps[meta.Key] = c
}

func (d *decoder) secret(meta Meta, _ []document.Property, o document.Object) {
	s := &Secret{Meta: meta, Data: map[string][]byte{}}
	binaries(o.Optional("data"), s.Data)
	texts(o.Optional("stringData"), s.Data)
	d.set.Secrets[meta.Key] = s
}

func texts(n document.Node, into map[string][]byte) {
	for _, p := range n.Map() {
		into[p.Name] = []byte(p.Value.Text())
	}
}

func binaries(n document.Node, into map[string][]byte) {
	for _, p := range n.Map() {
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(p.Value.Text()), ""))
		if err != nil {
			p.Value.Errorf("a Secret's stringData takes plain text", "%s is not base64", p.Value.Path())
			continue
		}
		into[p.Name] = data
	}
}
