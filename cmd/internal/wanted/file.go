// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
	"github.com/wasm-graph/graphd/engine/resource"
)

// separator is the line before a document; what follows on it belongs to the document.
var separator = regexp.MustCompile(`^---(?:[ \t].*)?$`)

// part is a document's text, as it was written, and the number of lines before it.
type part struct {
	text string
	line int
}

// parts takes text apart at the lines between documents. The first part is what is before
// the first such line.
func parts(text string) []part {
	all := []part{{}}
	var b strings.Builder
	line := 0
	for rest := strings.TrimPrefix(text, "\ufeff"); rest != ""; line++ {
		next, after, _ := strings.Cut(rest, "\n")
		whole := rest[:len(rest)-len(after)]
		rest = after
		if !separator.MatchString(strings.TrimSuffix(next, "\r")) {
			b.WriteString(whole)
			continue
		}
		all[len(all)-1].text = b.String()
		b.Reset()
		all = append(all, part{line: line + 1})
		if content := strings.TrimSpace(next[3:]); content != "" && content[0] != '#' {
			all[len(all)-1].line = line
			b.WriteString("   " + whole[3:])
		}
	}
	all[len(all)-1].text = b.String()
	return all
}

// Refs returns what a document declares. The error may be a *FaultError.
func Refs(d Document) ([]Ref, error) {
	objects, err := split(d)
	var refs []Ref
	for _, o := range objects {
		refs = append(refs, o.Ref)
	}
	return refs, err
}

// split returns the objects of a document, which may be several. What has no kind or no name
// is left out: it is for others to find fault with it.
func split(d Document) ([]*Object, error) {
	reader := document.NewReader(d.Name)
	nodes := reader.Documents(d.Text)
	if err := reader.Problems().Err(); err != nil {
		return nil, &FaultError{reader.Problems()}
	}
	var all []*Object
	found := 0
	for _, p := range parts(string(d.Text)) {
		in := document.NewReader(d.Name).Documents([]byte(p.text))
		if found += len(in); len(in) == 0 {
			continue
		} else if len(in) > 1 {
			found = -1
			break
		}
		items := objectsOf(in)
		for _, n := range items {
			o, ok := objectOf(n)
			if !ok {
				continue
			}
			o.text = strings.TrimSuffix(p.text, "\n") + "\n"
			if len(items) > 1 || n != in[0] { // of a List
				o.text = string(o.JSON) + "\n"
			}
			o.File, o.Applied = d.Path, true
			all = append(all, o)
		}
	}
	if found != len(nodes) {
		return nil, &FaultError{document.Problems{{
			Severity: document.Error, File: d.Name, Position: document.Position{Line: 1, Column: 1},
			Message: "can't tell where one document ends and the next begins", Hint: "separate them by lines with nothing but ---",
		}}}
	}
	return all, nil
}

// objectsOf returns the objects among documents: themselves, and the items of Lists.
func objectsOf(nodes []document.Node) []document.Node {
	var all []document.Node
	for _, n := range nodes {
		if n.Peek("kind").Text() == "List" {
			all = append(all, objectsOf(n.Peek("items").List())...)
			continue
		}
		all = append(all, n)
	}
	return all
}

// objectOf returns the object that n is; false where it has no kind or name.
func objectOf(n document.Node) (*Object, bool) {
	meta := n.Peek("metadata")
	o := &Object{Ref: Ref{Kind: n.Peek("kind").Text(), Namespace: resource.DefaultNamespace, Name: meta.Peek("name").Text()}}
	if namespace := meta.Peek("namespace"); namespace.Present() && !namespace.IsNull() {
		o.Namespace = namespace.Text()
	}
	if o.Kind == "" || o.Name == "" || o.Namespace == "" {
		return nil, false
	}
	var err error
	o.JSON, err = n.JSON()
	return o, err == nil
}

// applied is the line before a document that was applied.
var applied = regexp.MustCompile(`^# applied (\S+) from (/.*)$`)

const head = "# Kept by graphd. Change it with graphctl apply and delete.\n"

// write writes the applied objects to their file, and notes the lines that they begin at.
func (s *Store) write(objects []*Object) (err error) {
	var b strings.Builder
	b.WriteString(head)
	line := 1
	for _, o := range objects {
		fmt.Fprintf(&b, "# applied %s from %s\n---\n", o.Since.Format(time.RFC3339), o.File)
		line += 2
		o.line = line
		b.WriteString(o.text)
		line += strings.Count(o.text, "\n")
	}
	if err := replaceFile(s.config.File, []byte(b.String())); err != nil {
		return fmt.Errorf("wanted: keep what is applied: %w", err)
	}
	return nil
}

// replaceFile has a file contain data, or leaves it as it was.
func replaceFile(name string, data []byte) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(name)+".*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil // where folders can't be opened they need not be synced
	}
	return errors.Join(d.Sync(), d.Close())
}

// read returns the applied objects that the file has.
func (s *Store) read() ([]*Object, error) {
	text, err := os.ReadFile(s.config.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wanted: read what is applied: %w", err)
	}
	objects, err := parseApplied(s.config.File, text)
	if err != nil {
		return nil, fmt.Errorf("wanted: read what is applied: %w; mend the file, or remove it and apply everything again", err)
	}
	return objects, nil
}

// parseApplied reads what write has written.
func parseApplied(name string, text []byte) ([]*Object, error) {
	all := parts(string(text))
	if len(all) == 1 && string(text) != head {
		return nil, fmt.Errorf("%s: it has no objects, and not the line that begins it", name)
	}
	var objects []*Object
	for i, p := range all[1:] {
		// The line about a document is the last of the part before.
		before := strings.TrimSuffix(all[i].text, "\n")
		said := applied.FindStringSubmatch(before[strings.LastIndex(before, "\n")+1:])
		if said == nil {
			return nil, fmt.Errorf("%s:%d: there is no line that says from where it was applied", name, p.line)
		}
		since, err := time.Parse(time.RFC3339, said[1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line-1, err)
		}
		if i+2 < len(all) {
			cut := strings.TrimSuffix(p.text, "\n")
			p.text = p.text[:strings.LastIndex(cut, "\n")+1]
		}
		reader := document.NewReader(name)
		nodes := reader.Documents(bytes.Join([][]byte{bytes.Repeat([]byte("\n"), p.line), []byte(p.text)}, nil))
		if err := reader.Problems().Err(); err != nil {
			return nil, err
		}
		if len(nodes) != 1 {
			return nil, fmt.Errorf("%s:%d: want one object, found %d", name, p.line+1, len(nodes))
		}
		o, ok := objectOf(nodes[0])
		if !ok {
			return nil, fmt.Errorf("%s:%d: it has no kind or no name", name, p.line+1)
		}
		o.File, o.Applied, o.Since, o.text, o.line = said[2], true, since, p.text, p.line
		objects = append(objects, o)
	}
	return objects, nil
}
