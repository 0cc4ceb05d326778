// SPDX-License-Identifier: Apache-2.0

package resource

import "strings"

// local reports whether the endpoint needs no registry.
func (r *RegistryEndpoint) local() bool {
	return strings.HasPrefix(r.Host, "file:") || strings.HasPrefix(r.Host, "oci-layout:")
}

func (d *decoder) registry(meta Meta, spec value) {
	host, a := spec.at("host"), spec.at("authentication")
	r := &RegistryEndpoint{Meta: meta, Host: host.text}
	switch {
	case !host.ok:
	case r.local():
		if _, dir, _ := strings.Cut(r.Host, ":"); strings.Trim(dir, "/") == "" && dir != "/" && dir != "///" {
			host.Errorf("write file://DIR or oci-layout:DIR", "%s names no folder", host.Path())
		}
	default:
		d.checkRegistryHost(host)
		if !a.Present() {
			spec.Errorf(a.field.Hint, "property %s.authentication is missing", spec.Path())
		}
	}
	switch method := a.at("method").text; method {
	case "ArtifactPullSecret":
		ref := a.at("artifactPullSecretSettings").at("secretRef")
		r.PullSecret = d.secretWith(meta, ref.Node, ref.text, DockerConfigKey)
	case "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity":
		r.Identity = managedIdentity(a, "https://management.azure.com/")
	}
	if ref, ok := d.objectRef(meta, spec.at("trustSettings").at("trustedSigningKeys")); ok {
		r.SigningKeys = append(r.SigningKeys, ref)
	}
	for _, v := range spec.at("codeSigningCas").items {
		if ref, ok := d.objectRef(meta, v); ok {
			r.SigningCAs = append(r.SigningCAs, ref)
		}
	}
	if strings.HasPrefix(r.Host, "file:") && len(r.SigningCAs)+len(r.SigningKeys) > 0 {
		host.Errorf("keep the artifacts in a registry or an oci-layout:DIR", "files in a folder can't be signed, and this endpoint trusts only what is")
	}
	d.set.Registries[meta.Key] = r
}

// Bounds of the host of a registry, in characters.
const minRegistryHost, maxRegistryHost = 3, 63

// checkRegistryHost checks [http://|https://]HOST[:PORT][/PREFIX].
func (d *decoder) checkRegistryHost(v value) {
	rest := v.text
	for _, scheme := range []string{"https://", "http://"} {
		rest = strings.TrimPrefix(rest, scheme)
	}
	address, _, _ := strings.Cut(rest, "/")
	const hint = "write HOST[:PORT][/PREFIX]"
	switch {
	case strings.Contains(rest, "://"), strings.ContainsAny(rest, " \t\n?#"):
		v.Errorf(hint, "%s can't be %s", v.Path(), quoted(v.text))
	case !checkHost(v, address, hint):
	case len(address) < minRegistryHost || len(address) > maxRegistryHost:
		v.Errorf(hint, "the host in %s has %d characters; it may have from %d to %d", v.Path(), len(address), minRegistryHost, maxRegistryHost)
	}
}

// objectRef reads a reference to a Secret or a ConfigMap; false where there is none.
func (d *decoder) objectRef(meta Meta, v value) (ObjectRef, bool) {
	ref := ObjectRef{Kind: v.at("type").text}
	field := "secretRef"
	if ref.Kind == "ConfigMap" {
		field = "configMapRef"
	}
	ref.Name = d.refer(meta.Namespace, v.at(field))
	return ref, ref.Kind != "" && ref.Name != ""
}
