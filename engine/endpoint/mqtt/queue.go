// SPDX-License-Identifier: Apache-2.0

package mqtt

// queue holds values first in, first out, and uses its memory again. The zero queue is
// empty.
type queue[T any] struct {
	ring []T // as many as a power of two, or none
	head int // of the first
	size int
}

// len returns how many values there are.
func (q *queue[T]) len() int { return q.size }

// at returns the i-th value from the front, which stays there until the next push or
// pop.
func (q *queue[T]) at(i int) *T { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// push adds a value at the end.
func (q *queue[T]) push(v T) {
	if q.size == len(q.ring) {
		ring := make([]T, max(16, 2*len(q.ring)))
		for i := range q.size {
			ring[i] = *q.at(i)
		}
		q.ring, q.head = ring, 0
	}
	q.size++
	*q.at(q.size - 1) = v
}

// pop removes the first value, which must be there.
func (q *queue[T]) pop() T {
	var none T
	first := q.at(0)
	v := *first
	*first = none
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.size--
	return v
}
