// SPDX-License-Identifier: Apache-2.0

package sdk

import (
	"strconv"
	"time"
)

// Config is what a graph definition and its deployment say to one operator.
type Config struct {
	Parameters []Parameter // in the definition's order
	Schemas    []ModuleSchema
}

// Parameter is a configuration parameter.
type Parameter struct{ Key, Value string }

// ModuleSchema is a schema that the graph definition hands to its operators.
type ModuleSchema struct{ Name, ContentType, Content string }

// ParameterError says what is wrong with a parameter.
type ParameterError struct {
	Key   string
	Value string // empty where the parameter is missing
	Want  string // what it should have been
}

func (e *ParameterError) Error() string {
	if e.Value == "" {
		return "parameter " + strconv.Quote(e.Key) + " is missing: want " + e.Want
	}
	return "parameter " + strconv.Quote(e.Key) + " is " + strconv.Quote(e.Value) + ": want " + e.Want
}

// Lookup returns the value of a parameter. Of several of one key it is the first.
func (c Config) Lookup(key string) (value string, found bool) {
	for i := range c.Parameters {
		if c.Parameters[i].Key == key {
			return c.Parameters[i].Value, true
		}
	}
	return "", false
}

// Required returns the value of a parameter, or a *ParameterError if it is missing
// or empty.
func (c Config) Required(key string) (string, error) {
	if v, _ := c.Lookup(key); v != "" {
		return v, nil
	}
	return "", &ParameterError{Key: key, Want: "a value"}
}

// Text returns the value of a parameter, or otherwise if it is missing.
func (c Config) Text(key, otherwise string) string {
	if v, found := c.Lookup(key); found {
		return v
	}
	return otherwise
}

// Float returns a parameter's value as a number, or otherwise if it is missing.
// With a *ParameterError it returns otherwise too.
func (c Config) Float(key string, otherwise float64) (float64, error) {
	return parse(c, key, otherwise, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// Int returns a parameter's value as an integer, or otherwise if it is missing.
// With a *ParameterError it returns otherwise too.
func (c Config) Int(key string, otherwise int64) (int64, error) {
	return parse(c, key, otherwise, "an integer", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
}

// Bool returns whether a parameter is true, or otherwise if it is missing. It knows
// the spellings of strconv.ParseBool. With a *ParameterError it returns otherwise too.
func (c Config) Bool(key string, otherwise bool) (bool, error) {
	return parse(c, key, otherwise, "true or false", strconv.ParseBool)
}

// Duration returns a parameter's value, such as "1m30s", or otherwise if it is
// missing. With a *ParameterError it returns otherwise too.
func (c Config) Duration(key string, otherwise time.Duration) (time.Duration, error) {
	return parse(c, key, otherwise, `a duration such as "1m30s"`, time.ParseDuration)
}

func parse[T any](c Config, key string, otherwise T, want string, f func(string) (T, error)) (T, error) {
	s, found := c.Lookup(key)
	if !found {
		return otherwise, nil
	}
	v, err := f(s)
	if err != nil {
		return otherwise, &ParameterError{Key: key, Value: s, Want: want}
	}
	return v, nil
}
