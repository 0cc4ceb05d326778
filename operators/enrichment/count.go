// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strconv"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk"
)

// The number of windows with over-temperature, which several operators may count at
// once: whoever changes it holds the lock. A lock expires, should its holder die, and
// its version is the fencing token with which the number is changed, so that a holder
// that was too slow can't overwrite what the next one has written.
const (
	countKey   = "overtemp_count"
	lockKey    = "lock"
	lockHolder = "module2"
	lockLife   = 10 * time.Second
	tries      = 3
)

var errNoVersion = errors.New("the state store gave the lock no version")

// countOvertemp adds 1 to the number. That the store fails, or that others hold the
// lock, is logged; only what the store must not hold is an error.
func (o *operator) countOvertemp() error {
	for left := tries - 1; left >= 0; left-- {
		token, err := o.lock()
		if err != nil {
			return err
		}
		if token == nil {
			o.log.Warn("failed to acquire lock, retries left: " + strconv.Itoa(left))
			continue
		}
		done, err := o.increment(token)
		if _, failure := o.store.DeleteValue(lockKey, []byte(lockHolder), sdk.DeleteOptions{}); failure != nil {
			o.log.Warn("failed to release lock: " + failure.Error())
		}
		if done || err != nil {
			return err
		}
	}
	o.log.Error("failed to count over-temperature after multiple attempts")
	return nil
}

// lock takes the lock and returns its version, or nil if it can't be had.
func (o *operator) lock() (*sdk.Timestamp, error) {
	result, err := o.store.Set(lockKey, []byte(lockHolder), sdk.SetOptions{Condition: sdk.IfAbsentOrEqual, Expires: lockLife})
	switch {
	case err != nil:
		o.log.Error("failed to set lock '" + lockKey + "': " + err.Error())
		return nil, nil
	case !result.Applied:
		return nil, nil
	case result.Version == nil:
		return nil, errNoVersion
	}
	return result.Version, nil
}

// increment adds 1 to the number, with the lock held. done is false where another
// try may help.
func (o *operator) increment(token *sdk.Timestamp) (done bool, err error) {
	entry, err := o.store.Get(countKey, sdk.GetOptions{})
	if err != nil {
		o.log.Error("failed to get value for over-temperature count key '" + countKey + "': " + err.Error())
		return true, nil
	}
	count := uint64(0)
	if entry.Found {
		if count, err = strconv.ParseUint(string(entry.Value), 10, 64); err != nil {
			return false, errors.New("the state store's " + countKey + " is " + strconv.Quote(string(entry.Value)) + ", which is no count")
		}
	}
	text := strconv.FormatUint(count+1, 10)
	result, err := o.store.Set(countKey, []byte(text), sdk.SetOptions{Fencing: token})
	switch {
	case err != nil:
		o.log.Error("failed to set value for over-temperature count key '" + countKey + "': " + err.Error())
		return false, nil
	case !result.Applied:
		o.log.Warn("over-temperature count was updated by another module")
		return false, nil
	}
	o.log.Info("over-temperature count updated to " + text)
	return true, nil
}
