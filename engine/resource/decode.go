// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource/schema"
)

// decoder turns documents into a Set.
type decoder struct {
	set      *Set
	declared map[declaration]Meta
	problems document.Problems
	checks   []func() // what can be checked once everything is read
	reader   *document.Reader
	flows    map[Key]int // Dataflows of each profile so far
}

// declaration identifies an object among all.
type declaration struct {
	kind string
	key  Key
}

func newDecoder() *decoder {
	return &decoder{set: newSet(), declared: map[declaration]Meta{}, flows: map[Key]int{}}
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
	d.problems = append(d.problems, findCircles(d.set)...)
	d.problems.Sort()
	return d.set, d.problems
}

// later defers a check until all objects are read.
func (d *decoder) later(check func()) { d.checks = append(d.checks, check) }

// decode turns an object of a kind, which root is, into what it means.
func (d *decoder) decode(kind string, meta Meta, root value) {
	switch kind {
	case "Dataflow":
		d.flow(meta, root)
	case "DataflowGraph":
		d.graph(meta, root)
	case "DataflowEndpoint":
		d.endpoint(meta, root)
	case "DataflowProfile":
		d.profile(meta, root.at("spec"))
	case "RegistryEndpoint":
		d.registry(meta, root.at("spec"))
	case "ConfigMap":
		if data, ok := contents(root.at("binaryData"), root.at("data")); ok {
			d.set.ConfigMaps[meta.Key] = &ConfigMap{Meta: meta, Data: data}
		}
	case "Secret":
		if data, ok := contents(root.at("data"), root.at("stringData")); ok {
			d.set.Secrets[meta.Key] = &Secret{Meta: meta, Data: data}
		}
	default:
		panic("resource: nobody decodes " + kind)
	}
}

// object reads one object, or the items of a List.
func (d *decoder) object(file File, n document.Node) {
	name, apiVersion := n.Peek("kind"), n.Peek("apiVersion")
	if !name.Present() || name.IsNull() || !apiVersion.Present() || apiVersion.IsNull() {
		if n.Peek("moduleRequirements").Present() {
			n.Errorf("check it with graphctl validate and its name alone, and have the artifact of a DataflowGraph refer to it", "this is a graph definition, not a resource")
			return
		}
		o := n.Open()
		o.Required("kind", "write kind: DataflowGraph, for one")
		o.Required("apiVersion", "write apiVersion: "+Group+"/v1, or v1 for a ConfigMap or Secret")
		return
	}
	if !name.IsText() || !apiVersion.IsText() {
		name.Text() // both report it
		apiVersion.Text()
		return
	}
	if name.Text() == "List" && apiVersion.Text() == "v1" {
		for _, item := range n.Object("kind", "apiVersion", "metadata", "items").Required("items", "write items: with objects").List() {
			d.object(file, item)
		}
		return
	}
	kinds := schema.Kinds()
	i := slices.IndexFunc(kinds, func(k *schema.Kind) bool { return k.Name == name.Text() })
	if i < 0 {
		name.Errorf(document.Suggest(name.Text(), schema.KindNames()), "unknown kind %s", quoted(name.Text()))
		return
	}
	k := kinds[i]
	if v := apiVersion.Text(); !slices.Contains(k.Versions(), v) {
		apiVersion.Errorf("write "+k.Versions()[0], "%s is not of %s", k.Name, quoted(v))
	}
	if k.Name == "Secret" {
		n = n.Hidden()
	}
	root := read(n, k.Root)
	if meta, ok := d.meta(file, k.Name, root); ok {
		d.decode(k.Name, meta, root)
	}
}

// meta reads an object's metadata and notes the declaration. It returns false where the
// object is of no use.
func (d *decoder) meta(file File, kind string, root value) (Meta, bool) {
	metadata := root.at("metadata")
	name, namespace := metadata.at("name"), metadata.at("namespace")
	if !name.ok || namespace.Present() && !namespace.ok {
		return Meta{}, false
	}
	m := Meta{Key: Key{namespace.text, name.text}, File: file.Name, Dir: file.Dir, Place: root.Position()}
	id := declaration{kind, m.Key}
	if first, ok := d.declared[id]; ok {
		name.Errorf("rename or remove one", "%s %s is already declared in %s:%s", kind, m.Name, first.File, first.Place)
		return Meta{}, false
	}
	d.declared[id] = m
	d.checkAnnotations(kind, metadata.at("annotations"))
	return m, true
}

// checkAnnotations checks that the annotations that are ours are known, and have a
// meaning on objects of the kind.
func (d *decoder) checkAnnotations(kind string, annotations value) {
	for _, a := range annotations.pairs {
		if !strings.HasPrefix(a.Name, AnnotationPrefix) {
			continue
		}
		switch known, ok := schema.FindAnnotation(a.Name); {
		case !ok:
			a.Errorf(document.Suggest(a.Name, schema.AnnotationNames(kind)), "unknown annotation %s", a.Name)
		case !slices.Contains(known.Kinds, kind):
			a.Errorf("move it to a "+known.Kinds[0], "annotation %s has no meaning on a %s", a.Name, kind)
		}
	}
}

// options returns the annotations that are options of graphs.
func options(annotations value) []Option {
	var all []Option
	for _, a := range annotations.pairs {
		if _, known := schema.FindAnnotation(a.Name); known {
			all = append(all, Option{Name: strings.TrimPrefix(a.Name, AnnotationPrefix), Value: a.Value.Text(), Place: a.Place})
		}
	}
	return all
}

// refer checks, once all is read, that the object exists that a field names, and returns
// its name. The kind is that of the table.
func (d *decoder) refer(namespace string, v value) string {
	d.referTo(namespace, v.field.Refers, v.Node, v.text)
	return v.text
}

// referTo is refer for a name that is no field's.
func (d *decoder) referTo(namespace, kind string, n document.Node, name string) {
	if !n.Present() || name == "" {
		return
	}
	d.later(func() {
		known := d.names(kind, namespace)
		if slices.Contains(known, name) || name == DefaultName && kind != "Secret" && kind != "ConfigMap" {
			return
		}
		if _, ok := d.declared[declaration{kind, Key{namespace, name}}]; ok {
			return // declared, and faulty: that is said elsewhere
		}
		n.Errorf(d.elsewhere(kind, name, document.Suggest(name, known)), "there is no %s %q in namespace %s", kind, name, namespace)
	})
}

// elsewhere is a hint to an object of that name of another kind or in another namespace;
// other is the hint where there is none.
func (d *decoder) elsewhere(kind, name, other string) string {
	for id := range d.declared {
		if id.key.Name == name && id.kind == kind {
			return "there is one in namespace " + id.key.Namespace + ", and objects see only those of their own"
		}
	}
	for id := range d.declared {
		if id.key.Name == name && (id.kind == "Secret" && kind == "ConfigMap" || id.kind == "ConfigMap" && kind == "Secret") {
			return "there is a " + id.kind + " of that name"
		}
	}
	return other
}

// names returns the names of the objects of a kind in a namespace.
func (d *decoder) names(kind, namespace string) []string {
	switch kind {
	case "DataflowEndpoint":
		return names(d.set.Endpoints, namespace)
	case "RegistryEndpoint":
		return names(d.set.Registries, namespace)
	case "DataflowProfile":
		return names(d.set.Profiles, namespace)
	case "ConfigMap":
		return names(d.set.ConfigMaps, namespace)
	case "Secret":
		return names(d.set.Secrets, namespace)
	}
	panic("resource: nobody refers to a " + kind)
}

// secretWith reads the name of a Secret, which must have those keys.
func (d *decoder) secretWith(meta Meta, n document.Node, name string, keys ...string) string {
	d.referTo(meta.Namespace, "Secret", n, name)
	d.later(func() {
		s := d.set.Secrets[Key{meta.Namespace, name}]
		if s == nil {
			return
		}
		var missing []string
		for _, key := range keys {
			if data, ok := s.Data[key]; !ok {
				missing = append(missing, key)
			} else if len(data) == 0 {
				n.Errorf("give it a value", "%s of the Secret %s is empty", key, s.Name)
			}
		}
		hint := "add " + strings.Join(missing, " and ")
		if len(s.Data) > 0 {
			hint += "; it has " + strings.Join(s.keys(), ", ")
		}
		if len(missing) > 0 {
			n.Errorf(hint, "the Secret %s has no %s", s.Name, strings.Join(missing, " and no "))
		}
	})
	return name
}

func (d *decoder) profile(meta Meta, spec value) {
	level := spec.at("diagnostics").at("logs").at("level")
	levels := []string{"trace", "debug", "info", "warn", "error"}
	if !slices.Contains(levels, strings.ToLower(level.text)) {
		level.Warnf(document.Suggest(level.text, levels), "%s is none of the documented levels", level.Path())
	}
	d.set.Profiles[meta.Key] = &DataflowProfile{Meta: meta, InstanceCount: spec.at("instanceCount").number, LogLevel: level.text}
}

// contents returns the data of a ConfigMap or a Secret, of which some is in base64 and
// some is text, which wins; false where there is a fault in it.
func contents(encoded, text value) (map[string][]byte, bool) {
	data := map[string][]byte{}
	ok := (encoded.ok || !encoded.Present()) && (text.ok || !text.Present())
	for _, p := range encoded.pairs {
		bytes, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(p.Value.Text()), ""))
		if err != nil {
			p.Value.Errorf("write it in base64; a Secret's stringData and a ConfigMap's data take plain text", "%s is not base64", p.Value.Path())
			ok = false
		}
		data[p.Name] = bytes
	}
	for _, p := range text.pairs {
		data[p.Name] = []byte(p.Value.Text())
	}
	return data, ok
}
