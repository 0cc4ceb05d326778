// SPDX-License-Identifier: Apache-2.0

// Package mqtt moves messages between a graph and an MQTT 5 broker.
//
// A Source subscribes, a Sink publishes, each on a connection and in a session of
// its own, so that a reader held back by a busy engine cannot delay the
// acknowledgements that the writer waits for.
//
// # Delivery
//
// At QoS 1 nothing is lost between the two. A source acknowledges a PUBLISH when
// its delivery is settled, not when it arrives, and in the order of arrival. That
// is also the back-pressure: the broker keeps at most the receive maximum
// unacknowledged, and the source has room for as many, so its reader never waits
// for the engine and pings are answered however busy that is. A sink keeps a
// window of PUBLISHes in flight, written in order, and confirms them in order. At
// QoS 0 a source drops and counts what it has no room for, and a sink confirms
// what it has written.
//
// A lost connection is made again, with growing pauses, and the session resumed.
// Acknowledgements of the lost connection are void by then: the broker sends those
// messages again, and they become deliveries again. A sink sends what is
// unconfirmed again, in the old order. Only a broker that refuses us ends a Run.
//
// # Ways to a broker
//
// TCP, TLS with or without a certificate of ours, and a WebSocket over either; who we
// are is said by that certificate, by name and password, or by tokens (Authentication).
//
// # What of the client library
//
// Of paho.golang only the packets are used, for reading and writing those that are rare.
// Its Client, its session manager and its reconnecting wrapper own what matters here: when
// to acknowledge, which PUBLISH is written next, and how many goroutines a connection takes
// while nothing happens on it. Here it is one that reads and one that writes. A Source and a
// Sink make an object for each connection that is told what happens on it; the two packets
// that every message costs, PUBLISH and PUBACK, the connection takes out of its read buffer
// and gives to that object, as many at a time as have come.
package mqtt
