// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/document"
)

// AnnotationPrefix stands before the name of an option in an object's annotations.
const AnnotationPrefix = "graphd.io/"

// Options are what is ours and has no field in a DataflowGraph: annotations there,
// --option key=value on a command line. A zero field means its default.
type Options struct {
	Limits
	// Operations are the limits of single operations, by name; a zero field means
	// the graph's.
	Operations map[string]Limits
}

// Limits bound one instance of an operator.
type Limits struct {
	Deadline time.Duration // of a call; default 1 s
	Memory   uint64        // bytes; default 256 MiB
}

// Of returns the limits of an operation.
func (o Options) Of(operation string) Limits {
	l := o.Limits
	own := o.Operations[annotationName(operation)]
	if own.Deadline != 0 {
		l.Deadline = own.Deadline
	}
	if own.Memory != 0 {
		l.Memory = own.Memory
	}
	return l
}

// annotationName writes an operation's name as annotations do, which can't have a
// second slash in their names.
func annotationName(operation string) string { return strings.ReplaceAll(operation, "/", ".") }

// ErrUnknownOption says that there is no option of that name.
var ErrUnknownOption = errors.New("unknown option")

// The options that are built, those that will be, and those of single operations.
func builtOptions() []string { return []string{"deadline", "memory"} }

func laterOptions() []string {
	return []string{"lateness", "late-policy", "max-delay", "max-stall", "drift-policy", "dead-letter",
		"durability", "on-swap", "follow-interval"}
}

func laterOperationOptions() []string { return []string{"parallelism", "allow"} }

// Set sets an option by its name, without the prefix of annotations:
// "deadline", or "operation.<name>.deadline". The error wraps ErrUnknownOption
// where there is none of that name.
func (o *Options) Set(name, value string) error {
	if rest, ok := strings.CutPrefix(name, "operation."); ok {
		i := strings.LastIndexByte(rest, '.')
		if i <= 0 {
			return fmt.Errorf("%w %s; write operation.NAME.OPTION", ErrUnknownOption, name)
		}
		operation, option := annotationName(rest[:i]), rest[i+1:]
		if slices.Contains(laterOperationOptions(), option) {
			return fmt.Errorf("option %s is not supported yet", name)
		}
		limits := o.Operations[operation]
		if err := limits.set(option, value); err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
		if o.Operations == nil {
			o.Operations = map[string]Limits{}
		}
		o.Operations[operation] = limits
		return nil
	}
	if slices.Contains(laterOptions(), name) {
		return fmt.Errorf("option %s is not supported yet", name)
	}
	if err := o.Limits.set(name, value); err != nil {
		return fmt.Errorf("option %s: %w", name, err)
	}
	return nil
}

func (l *Limits) set(name, value string) error {
	switch name {
	case "deadline":
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is no positive duration; write it as in 500ms or 2s", value)
		}
		l.Deadline = d
	case "memory":
		bytes, err := parseBytes(value)
		if err != nil {
			return err
		}
		l.Memory = bytes
	default:
		hint := document.Suggest(name, builtOptions())
		return fmt.Errorf("%w; %s", ErrUnknownOption, hint)
	}
	return nil
}

// parseBytes reads a quantity as Kubernetes writes it: bytes, or with one of the
// suffixes k, M, G, Ki, Mi, Gi.
func parseBytes(s string) (uint64, error) {
	number, unit := s, uint64(1)
	for _, u := range []struct {
		suffix string
		size   uint64
	}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}} {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = n, u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no amount of memory; write it as in 256Mi", s)
	}
	return n * unit, nil
}
