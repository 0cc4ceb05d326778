// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wasm-graph/graphd/engine"
	"github.com/wasm-graph/graphd/engine/resource"
)

// Status is how a resource is.
type Status struct {
	Kind string `json:"kind"`
	resource.Key
	Health Health `json:"healthState"`
	// Instances are those of a Dataflow or a DataflowGraph that has several, in order.
	Instances []InstanceStatus `json:"instances,omitempty"`

	// Changing says that a graph is wanted to be something else, of which nothing has come yet.
	Changing bool `json:"changing,omitempty"`
	// Disabled says that a graph is not to run.
	Disabled bool `json:"disabled,omitempty"`
}

// The kinds of resources that have a status.
const (
	DataflowKind         = "Dataflow"
	DataflowGraphKind    = "DataflowGraph"
	DataflowEndpointKind = "DataflowEndpoint"
	DataflowProfileKind  = "DataflowProfile"
	RegistryEndpointKind = "RegistryEndpoint"
)

// Runs reports whether it is the status of what runs, and not of what that uses.
func (s Status) Runs() bool { return s.Kind == DataflowKind || s.Kind == DataflowGraphKind }

// Health is how a resource is, why, and since when, in the words of its status.
type Health struct {
	State   engine.State `json:"status"`
	Reason  Reason       `json:"reasonCode,omitempty"`
	Message string       `json:"message,omitempty"`
	Since   time.Time    `json:"lastTransitionTime"` // of State
	Updated time.Time    `json:"lastUpdateTime"`     // when somebody looked
}

// InstanceStatus is how one instance of a graph is.
type InstanceStatus struct {
	Instance int    `json:"instance"` // from 0
	Retiring bool   `json:"retiring,omitempty"`
	Health   Health `json:"healthState"`
}

// Works reports whether a graph does its work. One that is degraded does, unless it
// isn't connected.
func (h Health) Works() bool {
	return h.State == engine.Available || h.State == engine.Degraded && !h.Reason.unconnected()
}

// object names a resource.
type object struct {
	kind string
	resource.Key
}

// starting is the health of an instance that nothing is known of yet.
func starting() Health { return Health{State: engine.Unknown, Message: "starting"} }

// Status returns how each resource is, by kind, namespace and name. A graph is what its
// instances are, and everything else is what the graphs that use it see of it. It may be
// called from any goroutine.
func (d *Deployment) Status() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.survey()
}

// Ready returns nil once what is wanted is known and every graph does its work: it
// runs and is connected. Otherwise the error says which one doesn't, and why. It may
// be called from any goroutine.
func (d *Deployment) Ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == nil {
		return errors.New("nothing is known yet of what is wanted")
	}
	for _, s := range d.survey() {
		if h := s.Health; s.Runs() && !s.Disabled && !h.Works() {
			return fmt.Errorf("%s: %s %s %s", s.Key, h.State, h.Reason, h.Message)
		}
	}
	return nil
}

// look asks every graph that runs how it is.
func (d *Deployment) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.survey()
}

// tell makes set what is wanted.
func (d *Deployment) tell(set *resource.Set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set = set
	d.survey()
}

// report notes how an instance is, and whom to ask and to watch from now on.
func (d *Deployment) report(i instance, c *condition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	before := d.conditions[i.Key][i.number]
	if before == nil {
		before = &condition{}
	}
	c.retiring, c.health = before.retiring, c.health.after(before.health, now)
	if d.conditions[i.Key] == nil {
		d.conditions[i.Key] = map[int]*condition{}
	}
	d.conditions[i.Key][i.number] = c
	d.ask(i, c, now)
}

// retire notes that an instance is on its way out.
func (d *Deployment) retire(i instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conditions[i.Key][i.number].retiring = true
}

// drop forgets an instance.
func (d *Deployment) drop(i instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conditions[i.Key], i.number)
	if len(d.conditions[i.Key]) == 0 {
		delete(d.conditions, i.Key)
	}
}

// after returns h as what follows before, seen now.
func (h Health) after(before Health, now time.Time) Health {
	h.Since, h.Updated = now, now
	if h.State == before.State {
		h.Since = before.Since
	}
	return h
}

// ask asks an instance that runs how it is. The caller holds mu.
func (d *Deployment) ask(i instance, c *condition, now time.Time) {
	before := c.health
	if c.health.Updated = now; c.probe == nil {
		return
	}
	h := c.probe()
	c.health = Health{State: h.State, Reason: Reason(h.Reason), Message: h.Message}.after(before, now)
	if h.State != engine.Unknown && (h.State != before.State || c.health.Reason != before.Reason) {
		if h.Reason != "" {
			d.errors[fault{i.Key, c.health.Reason}]++
		}
		d.config.Events(Event{
			Graph: i.Key, Instance: i.number, Warning: h.State != engine.Available,
			Reason: cmp.Or(h.Reason, string(h.State)), Message: h.Message,
		})
	}
}

// survey asks every instance how it is, and makes a status of each resource from that. The
// caller holds mu.
func (d *Deployment) survey() []Status {
	now := time.Now()
	for key, instances := range d.conditions {
		for number, c := range instances {
			d.ask(instance{key, number}, c, now)
		}
	}
	if d.set == nil {
		return nil
	}
	users := map[object]*summary{}
	all := make([]Status, 0, len(d.set.Graphs)+len(d.set.Endpoints)+len(d.set.Profiles)+len(d.set.Registries))
	for _, key := range d.set.GraphKeys() {
		g := d.set.Graphs[key]
		s := d.graphStatus(g)
		all = append(all, s)
		if !s.Disabled {
			d.see(users, g, s)
		}
	}
	use := func(kind string, key resource.Key) {
		all = append(all, Status{Kind: kind, Key: key, Health: users[object{kind, key}].health()})
	}
	for key := range d.set.Endpoints {
		use(DataflowEndpointKind, key)
	}
	for key := range d.set.Profiles {
		use(DataflowProfileKind, key)
	}
	for key := range d.set.Registries {
		use(RegistryEndpointKind, key)
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for n := range all {
		of := object{all[n].Kind, all[n].Key}
		all[n].Health = all[n].Health.after(d.healths[of], now)
		d.healths[of] = all[n].Health
	}
	if len(d.healths) > len(all) { // some are wanted no more
		maps.DeleteFunc(d.healths, func(_ object, h Health) bool { return !h.Updated.Equal(now) })
	}
	return all
}

// graphStatus is how a graph is by how its instances are. The caller holds mu.
func (d *Deployment) graphStatus(g *resource.DataflowGraph) Status {
	s := Status{Kind: DataflowGraphKind, Key: g.Key, Disabled: g.Disabled}
	if g.Flow {
		s.Kind = DataflowKind
	}
	if g.Disabled {
		s.Health = Health{State: engine.Unknown, Message: "its mode is Disabled"}
		return s
	}
	instances := d.conditions[g.Key]
	var of summary
	for number, c := range instances {
		if len(instances) == 1 && !c.retiring {
			s.Health, s.Changing = c.health, c.want.changing()
			return s
		}
		s.Instances = append(s.Instances, InstanceStatus{number, c.retiring, c.health})
		if !c.retiring {
			s.Changing = s.Changing || c.want.changing()
			of.add(view{number, fmt.Sprintf("instance %d", number), c.health})
		}
	}
	slices.SortFunc(s.Instances, func(a, b InstanceStatus) int { return a.Instance - b.Instance })
	if s.Health = of.health(); of.views == 0 {
		s.Health.Message = "it does not run"
	}
	return s
}

// view is what one user sees of a resource.
type view struct {
	order int
	user  string
	Health
}

// summary is what several see of a resource; nil: nobody does.
type summary struct {
	views, available, unavailable int
	worst                         view // the first, by order and user, of those where somebody has to look most
}

func (s *summary) add(v view) {
	s.views++
	switch v.State {
	case engine.Available:
		s.available++
	case engine.Unavailable:
		s.unavailable++
	}
	if s.views == 1 || cmp.Or(severity(s.worst.State)-severity(v.State), v.order-s.worst.order, cmp.Compare(v.user, s.worst.user)) < 0 {
		s.worst = v
	}
}

// health is how the resource is. What is neither well for all nor unavailable to all is
// degraded.
func (s *summary) health() Health {
	if s == nil || s.views == 0 {
		return Health{State: engine.Unknown, Message: "nothing that runs uses it"}
	}
	h := Health{State: s.worst.State, Reason: s.worst.Reason, Message: s.worst.Message}
	if h.State == engine.Unavailable && s.unavailable < s.views {
		h.State = engine.Degraded
	}
	if h.Message != "" {
		h.Message = s.worst.user + ": " + h.Message
	}
	if worse := s.views - s.available; s.views > 1 && worse > 0 {
		h.Message += fmt.Sprintf(" (%d of %d)", worse, s.views)
	}
	return h
}

// severity orders states by how much somebody has to look.
func severity(s engine.State) int {
	return slices.Index([]engine.State{engine.Available, engine.Unknown, engine.Degraded, engine.Unavailable}, s)
}

// see adds what a graph's instances see of what it uses. The caller holds mu.
func (d *Deployment) see(users map[object]*summary, g *resource.DataflowGraph, s Status) {
	add := func(kind, name, user string, h Health) {
		of := object{kind, resource.Key{Namespace: g.Namespace, Name: name}}
		if users[of] == nil {
			users[of] = &summary{}
		}
		users[of].add(view{0, user, h})
	}
	name := s.Kind + " " + g.Name
	add(DataflowProfileKind, g.Profile, name, s.Health)
	registries := map[string]bool{}
	for _, n := range g.Graphs {
		if h := s.Health; !registries[n.Registry] {
			registries[n.Registry] = true
			if h.Reason != ModuleDownloadFailed && h.State != engine.Unknown {
				h = Health{State: engine.Available} // whatever else is wrong
			}
			add(RegistryEndpointKind, n.Registry, name, h)
		}
	}
	endpoints := map[engine.EndName]string{}
	for _, n := range g.Sources {
		endpoints[engine.EndName{Operation: n.Name}] = n.Endpoint
	}
	for _, n := range g.Destinations {
		endpoints[engine.EndName{Sink: true, Operation: n.Name}] = n.Endpoint
	}
	for number, c := range d.conditions[g.Key] {
		user := name
		if len(s.Instances) > 1 {
			user += fmt.Sprintf(" instance %d", number)
		}
		switch {
		case c.graph != nil:
			for _, e := range c.graph.Ends() {
				if name, known := endpoints[e.EndName]; known {
					add(DataflowEndpointKind, name, user, d.endHealth(g, e))
				}
			}
		case c.failed != nil:
			if name, known := endpoints[c.failed.EndName]; known {
				add(DataflowEndpointKind, name, user, Health{State: engine.Unavailable, Reason: c.health.Reason, Message: c.health.Message})
			}
		}
	}
}

// endHealth is how an endpoint is as an end that is connected to it sees it.
func (d *Deployment) endHealth(g *resource.DataflowGraph, e engine.End) Health {
	switch {
	case e.Connected:
		return Health{State: engine.Available}
	case e.Connecting:
		return Health{State: engine.Unknown, Message: e.String()}
	}
	return Health{State: engine.Unavailable, Reason: reasonOf(d.set, g, e.EndName, e.Trouble), Message: e.String()}
}
