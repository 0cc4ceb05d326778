// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/engine/operator"
)

// LatePolicy says what becomes of a message that is older than the frontier.
type LatePolicy string

// DriftPolicy says what becomes of a message whose stamp is too far in the future.
type DriftPolicy string

// Durability says where open windows are kept.
type Durability string

// SwapPolicy says what becomes of open windows when another version of a graph takes
// the place of the one that runs.
type SwapPolicy string

// The policies.
const (
	Carry          SwapPolicy  = "carry" // the new version goes on with them; the default
	Fire           SwapPolicy  = "fire"  // they come out before
	DiskDurability Durability  = "disk"  // outlive the process; the default where there is a data folder
	NoDurability   Durability  = "none"  // kept in memory, and their messages unacknowledged
	AdmitLate      LatePolicy  = "admit" // move it to the frontier; the default
	DropLate       LatePolicy  = "drop"
	Restamp        DriftPolicy = "stamp" // stamp it locally; the default
	DropDrift      DriftPolicy = "drop"
)

// Defaults of the options whose zero value means their default.
const (
	DefaultLateness = 5 * time.Second
	DefaultMaxDelay = 24 * time.Hour
	DefaultDeadline = time.Second
	DefaultMemory   = 256 << 20
	DefaultFollow   = time.Minute
)

// Options are what a graph can be told about how it is run, beyond what its
// resources say. The zero value of each field is its default.
type Options struct {
	Lateness    *time.Duration // how late messages may be; default 5 s
	LatePolicy  LatePolicy     // default AdmitLate
	MaxDelay    time.Duration  // the longest that a delay may hold a message; default 24 h
	MaxStall    time.Duration  // how long a silent source may hold up time; default 0: for ever
	DriftPolicy DriftPolicy    // default Restamp
	DeadLetter  string         // "<endpoint>/<topic>"; default none
	Durability  Durability     // default DiskDurability
	OnSwap      SwapPolicy     // default Carry
	Follow      time.Duration  // how often to look whether a tag was moved; default 60 s
	Deadline    time.Duration  // of a call; default 1 s
	Memory      uint64         // bytes for an instance; default 256 MiB
	// Operations are the options of single operations, by name with "/" written ".".
	Operations map[string]OperationOptions
}

// OperationOptions are the options of one operation. The zero value of each field
// is what holds for the graph.
type OperationOptions struct {
	Deadline    time.Duration
	Memory      uint64
	Parallelism int // instances of a map, filter or branch; default 1
	Allow       operator.Grant
}

// MaxParallelism is how many instances an operation may have. Each has a memory of
// its own.
const MaxParallelism = 64

// OptionError says that an option doesn't fit the definition. Whoever knows where
// the option was written can say so.
type OptionError struct {
	Option string // its name, as given to Set, or the beginning of it up to a dot
	Err    error
}

// Error implements error.
func (e *OptionError) Error() string { return "plan: option " + e.Option + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OptionError) Unwrap() error { return e.Err }

// Concerns reports whether the option of that name is the one that doesn't fit.
func (e *OptionError) Concerns(name string) bool {
	return name == e.Option || strings.HasPrefix(name, e.Option+".")
}

// optionNames lists the names that Set knows.
func optionNames() []string {
	return []string{
		"lateness", "late-policy", "max-delay", "max-stall", "drift-policy", "dead-letter",
		"deadline", "memory", "durability", "on-swap", "follow-interval",
		"operation.<name>.deadline", "operation.<name>.memory", "operation.<name>.parallelism", "operation.<name>.allow",
	}
}

// Set sets the option of that name from its text, as in an annotation
// graphd.io/<name> or --option <name>=<value>.
func (o *Options) Set(name, value string) error {
	if err := o.set(name, value); err != nil {
		if strings.HasPrefix(err.Error(), "plan: ") {
			return err
		}
		return fmt.Errorf("plan: set option %s to %q: %w", name, value, err)
	}
	return nil
}

func (o *Options) set(name, value string) (err error) {
	if rest, ok := strings.CutPrefix(name, "operation."); ok {
		return o.setOperation(rest, value)
	}
	switch name {
	case "lateness":
		var d time.Duration
		d, err = duration(value, 0)
		o.Lateness = &d
	case "late-policy":
		o.LatePolicy, err = oneOf(value, AdmitLate, DropLate)
	case "max-delay":
		o.MaxDelay, err = duration(value, 1)
	case "max-stall":
		if value == "off" {
			o.MaxStall = 0
		} else {
			o.MaxStall, err = duration(value, 1)
		}
	case "drift-policy":
		o.DriftPolicy, err = oneOf(value, Restamp, DropDrift)
	case "dead-letter":
		endpoint, topic, ok := strings.Cut(value, "/")
		if !ok || endpoint == "" || topic == "" {
			return errors.New(`want "<endpoint>/<topic>"`)
		}
		o.DeadLetter = value
	case "deadline":
		o.Deadline, err = duration(value, 1)
	case "memory":
		o.Memory, err = quantity(value)
	case "durability":
		o.Durability, err = oneOf(value, DiskDurability, NoDurability)
	case "on-swap":
		o.OnSwap, err = oneOf(value, Carry, Fire)
	case "follow-interval":
		o.Follow, err = duration(value, 1000)
	default:
		return fmt.Errorf("plan: %w", unknown("option", name, optionNames()))
	}
	return err
}

func (o *Options) setOperation(rest, value string) (err error) {
	dot := strings.LastIndexByte(rest, '.')
	if dot <= 0 {
		return errors.New("want operation.<name>.<option>")
	}
	operation, field := rest[:dot], rest[dot+1:]
	op := o.Operations[operation]
	switch field {
	case "deadline":
		op.Deadline, err = duration(value, 1)
	case "memory":
		op.Memory, err = quantity(value)
	case "parallelism":
		op.Parallelism, err = strconv.Atoi(value)
		if err != nil || op.Parallelism < 1 || op.Parallelism > MaxParallelism {
			err = fmt.Errorf("want a number from 1 to %d", MaxParallelism)
		}
	case "allow":
		op.Allow, err = grant(value)
	default:
		return fmt.Errorf("plan: %w", unknown("option of an operation", field, []string{"deadline", "memory", "parallelism", "allow"}))
	}
	if err != nil {
		return err
	}
	if o.Operations == nil {
		o.Operations = map[string]OperationOptions{}
	}
	o.Operations[operation] = op
	return nil
}

// grant reads what an operation is allowed: items with commas between them.
func grant(value string) (operator.Grant, error) {
	var g operator.Grant
	names := map[string]bool{}
	for item := range strings.SplitSeq(value, ",") {
		kind, rest, _ := strings.Cut(strings.TrimSpace(item), ":")
		left, right, equals := strings.Cut(rest, "=")
		switch kind {
		case "dir", "dir-write":
			d := operator.Directory{Path: left, Name: right, Write: kind == "dir-write"}
			if !equals {
				d.Name = d.Path
			}
			switch {
			case !filepath.IsAbs(d.Path):
				return g, fmt.Errorf("directory %q: want an absolute path", d.Path)
			case d.Name == "":
				return g, fmt.Errorf("directory %q: want a name after the =", d.Path)
			case names[kind[:3]+d.Name]:
				return g, fmt.Errorf("two directories are called %q", d.Name)
			}
			names[kind[:3]+d.Name] = true
			g.Directories = append(g.Directories, d)
		case "env":
			switch {
			case left == "":
				return g, errors.New("variable without a name")
			case names[kind+left]:
				return g, fmt.Errorf("two variables are called %q", left)
			}
			names[kind+left] = true
			g.Variables = append(g.Variables, operator.Variable{Name: left, Value: right, Inherit: !equals})
		default:
			return g, errors.New("want dir:PATH, dir-write:PATH, either with =NAME for the guest, env:NAME or env:NAME=VALUE, with commas between them")
		}
	}
	return g, nil
}

// operations returns each of the operations that has a module, by name, with its limits
// and its parallelism. An option names an operation as the plan does or, where no
// other definition has one of that name, as its definition does.
func (o *Options) operations(vertices []vertex) (map[string]Node, error) {
	general := Limits{Deadline: DefaultDeadline, Memory: DefaultMemory}
	if o.Deadline > 0 {
		general.Deadline = o.Deadline
	}
	if o.Memory > 0 {
		general.Memory = o.Memory
	}
	nodes := map[string]Node{}
	known := map[string]*vertex{} // by dotted name; ambiguous ones nil
	var dotted []string
	for i := range vertices {
		v := &vertices[i]
		if !v.operation.Kind.HasModule() {
			continue
		}
		nodes[v.name] = Node{Limits: general, Parallelism: 1}
		for _, name := range []string{v.name, v.operation.Name} {
			dots := strings.ReplaceAll(name, "/", ".")
			if other, taken := known[dots]; taken && other != v {
				known[dots] = nil
				continue
			}
			known[dots] = v
			dotted = append(dotted, dots)
		}
	}
	for _, dots := range slices.Sorted(maps.Keys(o.Operations)) {
		option := o.Operations[dots]
		v, ok := known[dots]
		if !ok {
			return nil, &OptionError{"operation." + dots, unknown("operation", dots, dotted)}
		}
		if v == nil {
			return nil, &OptionError{"operation." + dots, errors.New("it may mean several operations; write the name of the graph node before it")}
		}
		n := nodes[v.name]
		if option.Deadline > 0 {
			n.Limits.Deadline = option.Deadline
		}
		if option.Memory > 0 {
			n.Limits.Memory = option.Memory
		}
		n.Allow = option.Allow
		if option.Parallelism > 0 {
			n.Parallelism = option.Parallelism
		}
		if n.Parallelism > 1 && (v.kind == operator.Delay || v.kind == operator.Accumulate) {
			return nil, &OptionError{"operation." + dots + ".parallelism", fmt.Errorf("operation %q is of the kind %s, which has one instance: "+
				"only map, filter and branch can have several", v.name, v.kind)}
		}
		nodes[v.name] = n
	}
	return nodes, nil
}

func oneOf[T ~string](value string, allowed ...T) (T, error) {
	if slices.Contains(allowed, T(value)) {
		return T(value), nil
	}
	texts := make([]string, len(allowed))
	for i, a := range allowed {
		texts[i] = string(a)
	}
	return "", fmt.Errorf("want %s", strings.Join(texts, " or "))
}

// duration reads a duration of at least least milliseconds.
func duration(value string, least int64) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Duration(least)*time.Millisecond {
		return 0, errors.New("want a duration such as 500ms, 5s or 24h")
	}
	return d, nil
}

// quantity reads a number of bytes as Kubernetes writes them.
func quantity(value string) (uint64, error) {
	number, unit := value, uint64(1)
	for _, u := range []struct {
		suffix string
		bytes  uint64
	}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}} {
		if rest, ok := strings.CutSuffix(value, u.suffix); ok {
			number, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64/unit {
		return 0, errors.New("want a number of bytes such as 65536, 64Ki, 256Mi or 1Gi")
	}
	return n * unit, nil
}
