// SPDX-License-Identifier: Apache-2.0

package sdktest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

// step is a request to the state store and what comes of it.
type step struct {
	name string
	do   func(s *sdk.Store) (string, error)
	want string // result or error
}

func get(key string) func(*sdk.Store) (string, error) {
	return func(s *sdk.Store) (string, error) {
		e, err := s.Get(key, sdk.GetOptions{})
		if err == nil && !e.Found {
			return "none", nil
		}
		return string(e.Value), err
	}
}

func set(key, value string, o sdk.SetOptions) func(*sdk.Store) (string, error) {
	return func(s *sdk.Store) (string, error) {
		r, err := s.Set(key, []byte(value), o)
		if r.Applied {
			return "applied", err
		}
		return "not applied", err
	}
}

func removed(r sdk.DeleteResult, err error) (string, error) {
	return map[int64]string{1: "1", 0: "0", -1: "-1"}[r.Removed], err
}

func del(key string, o sdk.DeleteOptions) func(*sdk.Store) (string, error) {
	return func(s *sdk.Store) (string, error) { return removed(s.Delete(key, o)) }
}

func vdel(key, value string) func(*sdk.Store) (string, error) {
	return func(s *sdk.Store) (string, error) {
		return removed(s.DeleteValue(key, []byte(value), sdk.DeleteOptions{}))
	}
}

func TestStore(t *testing.T) {
	older, newer := &sdk.Timestamp{Secs: 1}, &sdk.Timestamp{Secs: 2}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"conditions", []step{
			{"get nothing", get("k"), "none"},
			{"if absent", set("k", "1", sdk.SetOptions{Condition: sdk.IfAbsent}), "applied"},
			{"if absent again", set("k", "2", sdk.SetOptions{Condition: sdk.IfAbsent}), "not applied"},
			{"if equal, and it is", set("k", "1", sdk.SetOptions{Condition: sdk.IfAbsentOrEqual}), "applied"},
			{"if equal, and it isn't", set("k", "3", sdk.SetOptions{Condition: sdk.IfAbsentOrEqual}), "not applied"},
			{"get", get("k"), "1"},
			{"always", set("k", "4", sdk.SetOptions{}), "applied"},
			{"get again", get("k"), "4"},
		}},
		{"deletes", []step{
			{"nothing", del("k", sdk.DeleteOptions{}), "0"},
			{"set", set("k", "1", sdk.SetOptions{}), "applied"},
			{"another value", vdel("k", "2"), "-1"},
			{"the value", vdel("k", "1"), "1"},
			{"the value again", vdel("k", "1"), "0"},
			{"set again", set("k", "1", sdk.SetOptions{}), "applied"},
			{"any value", del("k", sdk.DeleteOptions{}), "1"},
			{"get", get("k"), "none"},
		}},
		{"fencing", []step{
			{"set with token", set("k", "1", sdk.SetOptions{Fencing: newer}), "applied"},
			{"set without", set("k", "2", sdk.SetOptions{}), "state store: a fencing token is required for this request"},
			{"set with an older one", set("k", "2", sdk.SetOptions{Fencing: older}), "state store: the request fencing token is a lower version than the fencing token protecting the resource"},
			{"set with the same", set("k", "3", sdk.SetOptions{Fencing: newer}), "applied"},
			{"delete without", del("k", sdk.DeleteOptions{}), "state store: a fencing token is required for this request"},
			{"delete with the same", del("k", sdk.DeleteOptions{Fencing: newer}), "1"},
		}},
		{"empty key", []step{{"get", get(""), "state store: the key length is zero"}}},
	} {
		store := sdktest.New().Host().Store
		for _, s := range tt.steps {
			got, err := s.do(store)
			if err != nil {
				got = err.Error()
			}
			if got != s.want {
				t.Errorf("%s: %s: got %q, want %q", tt.name, s.name, got, s.want)
			}
		}
	}
}

func TestStoreExpiry(t *testing.T) {
	env := sdktest.New()
	store := env.Host().Store
	if _, err := store.Set("k", []byte("v"), sdk.SetOptions{Expires: time.Second}); err != nil {
		t.Fatal(err)
	}
	env.Advance(999 * time.Millisecond)
	if e, err := store.Get("k", sdk.GetOptions{}); !e.Found || err != nil {
		t.Errorf("before it expires: %+v, %v", e, err)
	}
	env.Advance(time.Millisecond)
	if e, err := store.Get("k", sdk.GetOptions{}); e.Found || err != nil {
		t.Errorf("after it has expired: %+v, %v", e, err)
	}
}

func TestStoreVersions(t *testing.T) {
	store := sdktest.New().Host().Store
	first, _ := store.Set("k", []byte("1"), sdk.SetOptions{})
	second, _ := store.Set("k", []byte("2"), sdk.SetOptions{})
	if second.Version.Compare(*first.Version) <= 0 {
		t.Errorf("versions %v, %v do not grow", first.Version, second.Version)
	}
	if e, _ := store.Get("k", sdk.GetOptions{}); e.Version.Compare(*second.Version) != 0 {
		t.Errorf("version %v, want %v", e.Version, second.Version)
	}
}

func TestFailStore(t *testing.T) {
	env := sdktest.New()
	store := env.Host().Store
	env.FailStore(sdk.ErrTimeout)
	_, get := store.Get("k", sdk.GetOptions{})
	_, set := store.Set("k", nil, sdk.SetOptions{})
	_, del := store.Delete("k", sdk.DeleteOptions{})
	_, vdel := store.DeleteValue("k", nil, sdk.DeleteOptions{})
	for _, err := range []error{get, set, del, vdel} {
		if !errors.Is(err, sdk.ErrTimeout) {
			t.Errorf("got %v", err)
		}
	}
	env.FailStore(nil)
	if _, err := store.Set("k", nil, sdk.SetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestConfiguration(t *testing.T) {
	env := sdktest.New(sdk.Parameter{Key: "k", Value: "v"})
	env.AddSchema(sdk.ModuleSchema{Name: "s"})
	config := env.Host().Config
	if config.Text("k", "") != "v" || len(config.Schemas) != 1 || config.Schemas[0].Name != "s" {
		t.Errorf("configuration: %+v", config)
	}
}

func TestModels(t *testing.T) {
	env := sdktest.New()
	models := env.Host().Models
	var refused *sdk.ModelError
	if _, err := models.Load([]byte("twice")); !errors.As(err, &refused) || refused.Code != sdk.ModelUnsupported {
		t.Errorf("a model without RunModels: %v", err)
	}
	env.RunModels(func(onnx []byte) (sdktest.Compute, error) {
		return func(inputs []sdk.NamedTensor) ([]sdk.NamedTensor, error) {
			return append(inputs, sdk.NamedTensor{Name: string(onnx)}), nil
		}, nil
	})
	model, err := models.Load([]byte("twice"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := model.Compute(sdk.NamedTensor{Name: "x"})
	if err != nil || len(out) != 2 || out[1].Name != "twice" || env.Models() != 1 {
		t.Errorf("Compute() = %v, %v, of %d models", out, err, env.Models())
	}
	if model.Close(); env.Models() != 0 {
		t.Errorf("%d models after Close", env.Models())
	}
}
