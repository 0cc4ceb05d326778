// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
)

// credentials is the annotation of an MQTT endpoint that names the Secret with a user
// name and a password: its settings have no field for them.
const credentials = AnnotationPrefix + "credentials"

// hostTypes are the hostTypes of each endpointType.
func hostTypes(endpointType string) []string {
	if endpointType == "Kafka" {
		return []string{"Eventhub", "CustomKafka", "FabricRT"}
	}
	return []string{"LocalBroker", "EventGrid", "CustomMqtt"}
}

// offered returns the methods that the service we are compatible with offers where
// hostType is stated; nil means all.
func offered(hostType string) []string {
	managed := []string{"SystemAssignedManagedIdentity", "UserAssignedManagedIdentity"}
	switch hostType {
	case "LocalBroker":
		return []string{"ServiceAccountToken", "X509Certificate", "Anonymous"}
	case "EventGrid":
		return append(managed, "X509Certificate")
	case "Eventhub", "FabricRT":
		return append(managed, "Sasl")
	}
	return nil
}

// shares reports whether the broker knows shared subscriptions; Event Grid is known not
// to.
func (e *DataflowEndpoint) shares() bool {
	host, _, _ := strings.Cut(e.MQTT.Host, ":")
	return !strings.HasSuffix(host, ".eventgrid.azure.net")
}

func (d *decoder) endpoint(meta Meta, root value) {
	spec := root.at("spec")
	kind := spec.at("endpointType").text
	if !spec.at("endpointType").ok {
		return
	}
	if h := spec.at("hostType"); h.ok && !slices.Contains(hostTypes(kind), h.text) {
		h.Errorf(document.Suggest(h.text, hostTypes(kind)), "%s can't be %q where endpointType is %s", h.Path(), h.text, kind)
	}
	e := &DataflowEndpoint{Meta: meta}
	settings := spec.at("mqttSettings")
	if kind == "Kafka" {
		settings = spec.at("kafkaSettings")
		e.Kafka = d.kafka(meta, spec)
	} else {
		e.MQTT = d.mqtt(meta, settings)
	}
	for _, a := range root.at("metadata").at("annotations").pairs {
		switch {
		case a.Name != credentials:
		case kind == "Kafka":
			a.Errorf("authenticate by Sasl", "annotation %s has no meaning for an endpoint of type Kafka", a.Name)
		case settings.at("authentication").at("method").text != "Anonymous":
			a.Errorf("take it out, or write method: Anonymous", "annotation %s has no meaning where the endpoint authenticates otherwise", a.Name)
		default:
			e.MQTT.Authentication.Password = d.secretWith(meta, a.Value, a.Value.Text(), UsernameKey, PasswordKey)
		}
	}
	checkSecrecy(e, settings.at("tls").at("mode"))
	method := settings.at("authentication").at("method")
	if known := offered(spec.at("hostType").text); method.ok && known != nil && !slices.Contains(known, method.text) && slices.Contains(hostTypes(kind), spec.at("hostType").text) {
		method.Warnf("there it is one of "+strings.Join(known, ", "), "Azure IoT Operations doesn't offer %s where hostType is %s", method.text, spec.at("hostType").text)
	}
	if group := settings.field.Field("consumerGroupId"); !settings.ok || group != nil && settings.at(group.Name).Present() && !settings.at(group.Name).ok {
		return // nobody can tell what flows with it lack
	}
	d.set.Endpoints[meta.Key] = e
}

// checkSecrecy checks what is shown over connections that anybody on the way can read.
func checkSecrecy(e *DataflowEndpoint, mode value) {
	a := e.Authentication()
	if !e.TLS().Disabled {
		return
	}
	shown := ""
	switch {
	case a.Certificate != "":
		mode.Errorf("write Enabled", "%s is Disabled, and nobody can show a certificate without TLS", mode.Path())
	case a.ServiceAccount != nil || a.Identity != nil:
		shown = "a token"
	case a.Password != "" || a.SASL != nil && a.SASL.Type == SASLPlain:
		shown = "a password"
	}
	if shown != "" {
		mode.Warnf("write Enabled", "%s is Disabled, and %s is shown to the endpoint: whoever is on the way can read it", mode.Path(), shown)
	}
}

// mqtt reads the settings of an endpoint of that type.
func (d *decoder) mqtt(meta Meta, s value) MQTT {
	m := MQTT{
		ClientIDPrefix: s.at("clientIdPrefix").text,
		KeepAlive:      time.Duration(s.at("keepAliveSeconds").number) * time.Second,
		SessionExpiry:  time.Duration(s.at("sessionExpirySeconds").number) * time.Second,
		MaxInflight:    s.at("maxInflightMessages").number,
		QoS:            s.at("qos").number,
		NeverRetain:    s.at("retain").is("Never"),
		CloudEvents:    CloudEvents(s.at("cloudEventAttributes").text),
	}
	if s.at("protocol").is("WebSockets") {
		m.WebSocket = "/mqtt"
	}
	m.host(s.at("host"))
	m.Authentication = d.authentication(meta, s, "https://eventgrid.azure.net")
	m.TLS = d.tls(meta, s)
	return m
}

// tls reads how connections are secured.
func (d *decoder) tls(meta Meta, settings value) TLS {
	s := settings.at("tls")
	ca := s.at("trustedCaCertificateConfigMapRef")
	d.later(func() {
		if m := d.set.ConfigMaps[Key{meta.Namespace, ca.text}]; m != nil && len(m.Data) == 0 {
			ca.Errorf("put certificates of authorities into it, PEM", "the ConfigMap %s is empty", m.Name)
		}
	})
	return TLS{Disabled: s.at("mode").is("Disabled"), TrustedCA: d.refer(meta.Namespace, ca)}
}

// host reads where a broker is: HOST:PORT and, over a WebSocket, its path.
func (m *MQTT) host(v value) {
	hint := "write HOST:PORT"
	m.Host = v.text
	if m.WebSocket != "" {
		hint += "/PATH"
		if host, path, ok := strings.Cut(m.Host, "/"); ok && host != "" && path != "" {
			m.Host, m.WebSocket = host, "/"+path
		}
	}
	switch {
	case !v.ok:
	case strings.Contains(v.text, "://"), strings.ContainsAny(m.WebSocket, "?#"):
		v.Errorf(hint, "%s can't be %s", v.Path(), quoted(v.text))
	default:
		checkHost(v, m.Host, hint)
	}
}

// checkHost reports what is wrong with an address in a field. Credentials are not
// repeated.
func checkHost(v value, address, hint string) bool {
	err := checkAddress(address)
	switch {
	case err == nil:
		return true
	case strings.Contains(address, "@"):
		v.Errorf(hint, "%s has credentials in it, which belong into a Secret", v.Path())
	default:
		v.Errorf(hint, "%s can't be %s: %v", v.Path(), quoted(v.text), err)
	}
	return false
}

// What addresses lack.
var (
	errNoHost = errors.New("that is not the name of a host")
	errScheme = errors.New("it has a scheme")
	errColons = errors.New("it has several colons; an address of IPv6 stands in brackets")
	errNoPort = errors.New("a port is a number from 1 to 65535")
)

// checkAddress checks a HOST[:PORT].
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil && !strings.Contains(address, ":") {
		host, port, err = address, "1", nil
	}
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case strings.Contains(address, "://"):
		return errScheme
	case err != nil:
		return errColons
	case host == "" || strings.ContainsAny(host, "/?#@ \t\n\x00"):
		return errNoHost
	case portErr != nil || n == 0:
		return errNoPort
	}
	return nil
}

// authentication reads how an endpoint is authenticated to. audience is what a managed
// identity's tokens are for where nothing is said.
func (d *decoder) authentication(meta Meta, settings value, audience string) Authentication {
	a := settings.at("authentication")
	var result Authentication
	switch method := a.at("method").text; method {
	case "X509Certificate":
		ref := a.at("x509CertificateSettings").at("secretRef")
		result.Certificate = d.secretWith(meta, ref.Node, ref.text, ClientCertificateKey, ClientPrivateKeyKey)
	case "ServiceAccountToken":
		result.ServiceAccount = &ServiceAccount{Audience: defaultAudience}
		if t := a.at("serviceAccountTokenSettings").at("audience").text; t != "" {
			result.ServiceAccount.Audience = t
		}
	case "Sasl":
		s := a.at("saslSettings")
		ref := s.at("secretRef")
		result.SASL = &SASL{Type: SASLType(s.at("saslType").text), Secret: d.secretWith(meta, ref.Node, ref.text, UsernameKey, PasswordKey)}
	case "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity":
		result.Identity = managedIdentity(a, audience)
	}
	return result
}

// managedIdentity reads the settings of an authentication by managed identity.
func managedIdentity(a value, audience string) *ManagedIdentity {
	if a.at("method").is("SystemAssignedManagedIdentity") {
		s := a.at("systemAssignedManagedIdentitySettings")
		if t := s.at("audience").text; t != "" {
			audience = t
		}
		return &ManagedIdentity{TenantID: s.at("tenantId").text, Scope: audience + "/.default"}
	}
	s := a.at("userAssignedManagedIdentitySettings")
	m := &ManagedIdentity{ClientID: s.at("clientId").text, TenantID: s.at("tenantId").text, Scope: s.at("scope").text}
	if m.Scope == "" {
		m.Scope = audience + "/.default"
	}
	return m
}
