// SPDX-License-Identifier: Apache-2.0

// Package kafka moves messages between a graph and Apache Kafka, or what speaks its
// protocol.
//
// A Source is a member of a consumer group and shares its topics' partitions with the
// other members; a Sink produces to one topic. Each has a client of its own.
//
// # Delivery
//
// Nothing is lost between the two. A source commits the offset up to which everything
// of a partition is settled, some times a second, when a partition is taken from it and
// at its end; what is not committed comes again, to it or to another member. A group
// that is new to a partition starts at its beginning, and commits that place before it
// delivers anything, so that a later start knows what may have been delivered before.
// What a partition holds is delivered in order. No more than Window offsets of a
// partition are delivered and not committed: that bounds what may come again, and the
// slots of positions.
//
// A sink confirms records in the order in which they were sent to it, once the brokers
// have done what Acks asks for. In a partition, they are in that order, too. Only what
// one record is to blame for refuses that record: it is too large, for one. Anything
// else that does not pass by itself ends the sink, and nothing is lost by that: a topic
// that does not exist and is not made by the brokers, or one that we may not write to.
//
// # Headers
//
// Kafka has headers, a key and a timestamp where MQTT has properties. From MQTT to
// Kafka, each user property becomes a header of its name, and what else an MQTT message
// says about itself becomes the header "Content Type", "Response Topic", "Correlation
// Data", "Payload Format Indicator" (0 or 1) or "Message Expiry Interval" (seconds
// left). On the way back, those headers become again what they were, and the others
// user properties; the record's key becomes the property "Key", and its timestamp, in
// milliseconds, "Timestamp". What can't be a user property, because it is not UTF-8, has
// a null character or is 64 KiB or longer, is left out, and counted; the message goes on
// without it. A record without a value, which in a compacted topic says that its key is
// deleted, is a message with an empty payload.
//
// Attributes of CloudEvents are user properties without a prefix and headers with the
// prefix "ce_", as in the CloudEvents Kafka binding; "ce-" is read as well.
package kafka
