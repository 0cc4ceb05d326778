// SPDX-License-Identifier: Apache-2.0

package progress

import "fmt"

// Epoch is the sequence number of a message of one source, from 0.
type Epoch uint64

// Ledger counts the outstanding descendants of each message of one source, and
// hands the messages back by prefix: in order, each once it and all before it have
// none left. Each message has a value of type T, which is what there is to do when
// it is done. The zero Ledger is empty and ready for use. Not safe for concurrent
// use.
type Ledger[T any] struct {
	rows  []row[T] // a ring; epoch e is at e % len(rows), which is a power of two
	first Epoch    // the oldest that Pop has not returned
	next  Epoch    // the next to open
}

type row[T any] struct {
	outstanding int
	value       T
}

// Open begins the next epoch, with one descendant: the message itself.
func (l *Ledger[T]) Open(value T) Epoch {
	if int(l.next-l.first) == len(l.rows) {
		l.grow()
	}
	e := l.next
	l.next++
	*l.row(e) = row[T]{outstanding: 1, value: value}
	return e
}

// Hold adds n descendants to e, which must have one that its holder still keeps.
func (l *Ledger[T]) Hold(e Epoch, n int) {
	r := l.open(e)
	r.outstanding += n
}

// Release takes one descendant from e: it is safe, or came to nothing.
func (l *Ledger[T]) Release(e Epoch) {
	r := l.open(e)
	r.outstanding--
}

// Pop returns the value of the oldest epoch if nothing of it is outstanding, and
// forgets it. It is called until ok is false after a Release.
func (l *Ledger[T]) Pop() (value T, ok bool) {
	if l.first == l.next {
		return value, false
	}
	r := l.row(l.first)
	if r.outstanding > 0 {
		return value, false
	}
	value = r.value
	*r = row[T]{}
	l.first++
	return value, true
}

// Len returns how many epochs are open: not yet returned by Pop.
func (l *Ledger[T]) Len() int { return int(l.next - l.first) }

func (l *Ledger[T]) row(e Epoch) *row[T] { return &l.rows[uint64(e)&uint64(len(l.rows)-1)] }

// open returns the row of e. An epoch that is not open, or has nothing outstanding,
// has been released too often: acknowledging it again, or late, could lose
// messages, so that is not survived.
func (l *Ledger[T]) open(e Epoch) *row[T] {
	if e < l.first || e >= l.next {
		panic(fmt.Sprintf("progress: epoch %d is not open (open are %d to %d)", e, l.first, l.next))
	}
	r := l.row(e)
	if r.outstanding <= 0 {
		panic(fmt.Sprintf("progress: epoch %d has nothing outstanding", e))
	}
	return r
}

func (l *Ledger[T]) grow() {
	rows := make([]row[T], max(16, 2*len(l.rows)))
	for e := l.first; e < l.next; e++ {
		rows[uint64(e)&uint64(len(rows)-1)] = *l.row(e)
	}
	l.rows = rows
}
