// SPDX-License-Identifier: Apache-2.0

package wiring

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wasm-graph/graphd/engine/resource"
)

// Counts is deploy.Counts in a file of the data folder: JSON, the number of instances by
// "<namespace>/<name>" of the graph.
type Counts struct{ file string }

// NewCounts returns the counts in the data folder.
func NewCounts(dataDir string) *Counts { return &Counts{filepath.Join(dataDir, "instances.json")} }

// Load implements deploy.Counts.
func (c *Counts) Load() (map[resource.Key]int, error) {
	counts := map[resource.Key]int{}
	text, err := os.ReadFile(c.file)
	if errors.Is(err, os.ErrNotExist) {
		return counts, nil
	}
	var named map[string]int
	if err == nil {
		err = json.Unmarshal(text, &named)
	}
	if err != nil {
		return nil, fmt.Errorf("wiring: read %s: %w", c.file, err)
	}
	for name, count := range named {
		namespace, name, _ := strings.Cut(name, "/")
		counts[resource.Key{Namespace: namespace, Name: name}] = count
	}
	return counts, nil
}

// Store implements deploy.Counts.
func (c *Counts) Store(counts map[resource.Key]int) error {
	named := make(map[string]int, len(counts))
	for key, count := range counts {
		named[key.String()] = count
	}
	text, err := json.Marshal(named)
	if err == nil {
		err = replace(c.file, text)
	}
	if err != nil {
		return fmt.Errorf("wiring: write %s: %w", c.file, err)
	}
	return nil
}

// replace writes a file that has its old content or the new, whatever happens.
func replace(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(content)
	err = errors.Join(err, next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}
