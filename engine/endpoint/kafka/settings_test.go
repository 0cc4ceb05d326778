// SPDX-License-Identifier: Apache-2.0

package kafka_test

// Which test holds which setting of kafkaSettings, and which rule of the documentation of
// Azure IoT Operations. "services" are those against Apache Kafka itself, in
// conformance/services/kafka, samples/kafka and cmd/internal/wiring; what the YAML says is
// read by engine/resource (TestKafka, TestKafkaRefused) and translated by
// cmd/internal/wiring (TestKafkaConfig).
//
//	host, ports, several brokers             TestConfig
//	consumerGroupId                          TestSource, TestMembers; required: TestConfig
//	tls, trustedCaCertificateConfigMapRef    TestAuthentication; services: TestKafkaKnowsTheDevice
//	Sasl Plain, ScramSha256, ScramSha512     TestAuthentication; services: TestKafkaKnowsTheDevice
//	X509Certificate, with intermediates      services: TestKafkaKnowsTheDevice
//	managed identity (OAUTHBEARER)           TestAuthentication; services: TestKafkaKnowsTheDevice
//	batching mode, latencyMs, maxBytes,
//	  maxMessages                            TestBatching; a record too large: TestTooLarge
//	compression, kafkaAcks                   TestBatching; services: TestDriver
//	partitionStrategy, partitionKeyProperty  TestPartitioning
//	copyMqttProperties: Disabled             TestEncode, "without headers", TestOmitsStamp
//	  user properties to headers             TestEncode
//	  Payload Format Indicator, Response
//	  Topic, Correlation Data, Content Type  TestEncode, TestDecode
//	  Message Expiry Interval, reduced       TestEncode; dropped at zero: TestEncode
//	  headers of the same name               TestDecode, "key and timestamp": all are kept, in order
//	  Key, Timestamp                         TestDecode
//	  not UTF-8, null characters, 64 KiB     TestDecode, FuzzDecode; services: TestHeaders
//	cloudEventAttributes, ce_ and ce-        TestEncode, TestDecode; engine/cloudevent
//	offsets after delivery                   TestSource, TestRebalance; services: TestDriver
//	rebalance without loss                   TestRebalance, TestMembers; services: TestUnderLoad
//	a broker killed, or not there yet        TestDownAtStart; services: TestUnderLoad, TestThroughKafka
//	graphd killed                            services: TestThroughKafka
//	a producer id that is refused            TestProducerForgotten
