// SPDX-License-Identifier: Apache-2.0

package schema

// tls is how connections are secured.
func tls() *Field {
	return object("tls", "How connections are secured.",
		switched("mode", "Enabled", "Whether connections go over TLS."),
		text("trustedCaCertificateConfigMapRef", "The ConfigMap with the certificates of the authorities to trust, PEM. Without it, those of the system are.").refers("ConfigMap"))
}

// authentication is how we say who we are, by one of methods.
func authentication(methods ...string) *Field {
	settings := map[string]*Field{
		"Anonymous": object("anonymousSettings", "Nothing is to be set."),
		"ServiceAccountToken": object("serviceAccountTokenSettings", "The token of the account in Kubernetes that the process runs with.",
			text("audience", "Whom the token is for. The volume that it comes from must say the same.")),
		"X509Certificate": object("x509CertificateSettings", "A client's certificate.",
			text("secretRef", "The Secret with client_cert.pem, client_key.pem and, where there are authorities between it and the one that the server knows, client_intermediate_certs.pem.").
				refers("Secret").required("name a Secret with client_cert.pem and client_key.pem in this namespace")).
			required("write x509CertificateSettings: {secretRef: NAME}"),
		"SystemAssignedManagedIdentity": object("systemAssignedManagedIdentitySettings", "The identity that the machine or the workload has in Microsoft Entra ID.",
			text("audience", "What tokens are for. Without it, the service that the endpoint is usually of."),
			text("extensionName", "Of a cluster's extension; it is not read here."),
			text("tenantId", "The tenant of the identity.")),
		"UserAssignedManagedIdentity": object("userAssignedManagedIdentitySettings", "One of the identities that were assigned to the machine or the workload in Microsoft Entra ID.",
			text("clientId", "The identity.").required("write userAssignedManagedIdentitySettings: {clientId: ID, tenantId: ID}"),
			text("tenantId", "Its tenant.").required("write userAssignedManagedIdentitySettings: {clientId: ID, tenantId: ID}"),
			text("scope", "What tokens are for, as in https://eventgrid.azure.net/.default.")).
			alias("UserAssignedManagedIdentitySettings").
			required("write userAssignedManagedIdentitySettings: {clientId: ID, tenantId: ID}"),
		"Sasl": object("saslSettings", "A name and a password.",
			enum("saslType", "", "The mechanism.", Value{Name: "Plain"}, Value{Name: "ScramSha256"}, Value{Name: "ScramSha512"}).
				required("write saslSettings: {saslType: Plain, secretRef: NAME}"),
			text("secretRef", "The Secret with both, by the keys username and password. For Event Hubs the name is $ConnectionString, and the password the connection string.").
				refers("Secret").required("name a Secret with username and password in this namespace")).
			required("write saslSettings: {saslType: Plain, secretRef: NAME}"),
		"AccessToken": object("accessTokenSettings", "A shared access signature.",
			text("secretRef", "The Secret with it, by the key accessToken, without the ? that it begins with.").refers("Secret").required("name a Secret with accessToken in this namespace")).
			required("write accessTokenSettings: {secretRef: NAME}"),
		"ArtifactPullSecret": object("artifactPullSecretSettings", "The registry's credentials.",
			text("secretRef", "A Secret of type kubernetes.io/dockerconfigjson.").refers("Secret").
				required("name a Secret of type kubernetes.io/dockerconfigjson in this namespace")).
			required("write artifactPullSecretSettings: {secretRef: NAME}"),
	}
	docs := map[string]string{
		"Anonymous": "nothing is shown", "ServiceAccountToken": "a token of the service account", "X509Certificate": "a client certificate, over TLS",
		"SystemAssignedManagedIdentity": "a token of the machine's identity", "UserAssignedManagedIdentity": "a token of an assigned identity",
		"Sasl": "a name and a password", "AccessToken": "a shared access signature", "ArtifactPullSecret": "a name and a password of the registry",
	}
	a := object("authentication", "How the other side is shown who we are.").selectedBy("method").required("write authentication: {method: " + methods[0] + "}")
	method := enum("method", "", "What is shown.").required("write method: " + methods[0])
	a.Fields = []*Field{method}
	for _, m := range methods {
		method.Enum = append(method.Enum, Value{Name: m, Doc: docs[m]})
		a.Fields = append(a.Fields, settings[m].with(m))
	}
	return a
}

func cloudEventAttributes() *Field {
	return enum("cloudEventAttributes", "Propagate", "What is done about the attributes of CloudEvents of the messages that are sent.",
		Value{Name: "Propagate", Doc: "those that a message has go on"},
		Value{Name: "CreateOrRemap", Doc: "those that it lacks are made"})
}

// secondsBatching is how storage endpoints collect messages.
func secondsBatching() *Field {
	return object("batching", "How many messages are written together: until one of the limits is reached.",
		integer("latencySeconds", 0, 65535, "60", "How long the first may wait."),
		integer("maxMessages", 1, 1<<31-1, "100000", "How many there are at most."))
}

const (
	managed     = "SystemAssignedManagedIdentity"
	userManaged = "UserAssignedManagedIdentity"
)

func dataflowEndpoint() *Kind {
	return kind("DataflowEndpoint", "endpoint",
		"A service that messages come from or go to, and how to reach it. The endpoint default, which exists undeclared, is the cluster's broker at aio-broker:18883.",
		ownName(3, 63),
		object("spec", "What is wanted.",
			enum("endpointType", "", "What the service is.",
				Value{Name: "Mqtt", Doc: "a broker of MQTT 5: source and destination"},
				Value{Name: "Kafka", Doc: "Apache Kafka, Event Hubs: source and destination"},
				Value{Name: "OpenTelemetry", Doc: "a collector of metrics and logs", NotYet: true},
				Value{Name: "LocalStorage", Doc: "a volume of the cluster", NotYet: true},
				Value{Name: "DataLakeStorage", Doc: "Azure Data Lake Storage", NotYet: true},
				Value{Name: "FabricOneLake", Doc: "Microsoft Fabric OneLake", NotYet: true},
				Value{Name: "DataExplorer", Doc: "Azure Data Explorer", NotYet: true},
			).required("write Mqtt or Kafka"),
			enum("hostType", "", "Which service of that type it is. It is a hint for people: graphd treats all alike.",
				Value{Name: "LocalBroker"}, Value{Name: "EventGrid"}, Value{Name: "CustomMqtt"},
				Value{Name: "Eventhub"}, Value{Name: "CustomKafka"}, Value{Name: "FabricRT"}),
			mqttSettings().with("Mqtt").required("write mqttSettings: with an authentication"),
			kafkaSettings().with("Kafka").required("write kafkaSettings: with a host and an authentication"),
			text("host", "A spelling of kafkaSettings.host that is in use, too.").with("Kafka"),
			object("openTelemetrySettings", "Of a collector.",
				text("host", "HOST:PORT, or a URL.").required(""),
				authentication("ServiceAccountToken", "X509Certificate", "Anonymous"),
				object("batching", "How many messages are sent together.",
					integer("latencySeconds", 0, 65535, "5", "How long the first may wait."),
					integer("maxMessages", 1, 1<<31-1, "100000", "How many there are at most.")),
				tls()).with("OpenTelemetry").required(""),
			object("localStorageSettings", "Of a volume.",
				text("persistentVolumeClaimRef", "The volume's claim.").required("")).with("LocalStorage").required(""),
			object("dataLakeStorageSettings", "Of Data Lake Storage.",
				text("host", "As in https://ACCOUNT.blob.core.windows.net.").required(""),
				authentication(managed, userManaged, "AccessToken"), secondsBatching()).
				alias("datalakeStorageSettings").with("DataLakeStorage").required(""),
			object("fabricOneLakeSettings", "Of OneLake.",
				text("host", "As in https://onelake.dfs.fabric.microsoft.com.").required(""),
				object("names", "Where in OneLake.",
					text("workspaceName", "The workspace.").required(""), text("lakehouseName", "The lakehouse.").required("")).required(""),
				enum("oneLakePathType", "Tables", "What is written.", Value{Name: "Tables"}, Value{Name: "Files"}),
				authentication(managed, userManaged), secondsBatching()).with("FabricOneLake").required(""),
			object("dataExplorerSettings", "Of Data Explorer.",
				text("host", "As in https://CLUSTER.REGION.kusto.windows.net.").required(""),
				text("database", "The database.").required(""),
				authentication(managed, userManaged), secondsBatching()).with("DataExplorer").required(""),
		).selectedBy("endpointType").required("write spec: with what is wanted"))
}

func mqttSettings() *Field {
	host := text("host", "HOST:PORT of the broker. Over WebSockets a path may follow; /mqtt is assumed.")
	host.Default = "aio-broker:18883"
	return object("mqttSettings", "Of a broker.",
		host,
		authentication("Anonymous", "ServiceAccountToken", "X509Certificate", managed, userManaged),
		text("clientIdPrefix", "Begins the client ids of all connections. Changing it gives up what the broker has queued for them."),
		enum("protocol", "Mqtt", "What MQTT goes over.", Value{Name: "Mqtt", Doc: "TCP"}, Value{Name: "WebSockets"}),
		integer("keepAliveSeconds", 0, 65535, "60", "How often a silent connection is tested; 0 is never."),
		enum("retain", "Keep", "The retain flag of what is published. Event Grid refuses retained messages.",
			Value{Name: "Keep", Doc: "that of the message that came"}, Value{Name: "Never", Doc: "none"}),
		integer("maxInflightMessages", 1, 65535, "100", "How many messages may be unacknowledged, each way: the receive maximum of a source, the publish window of a destination."),
		integer("qos", 0, 1, "1", "0: at most once, 1: at least once."),
		integer("sessionExpirySeconds", 0, 1<<31-1, "600", "How long the broker keeps a session, and what it queues for it, while we are away."),
		tls(),
		cloudEventAttributes(),
	)
}

func kafkaSettings() *Field {
	return object("kafkaSettings", "Of Kafka. All but host, authentication, consumerGroupId and tls is for destinations.",
		text("host", "HOST:PORT of a broker, or several with commas between. Required.").hint("write host: HOST:PORT"),
		authentication("Anonymous", "Sasl", "X509Certificate", managed, userManaged),
		text("consumerGroupId", "The consumer group that sources read as. Sources need one."),
		object("batching", "How many messages are sent together: until one of the limits is reached.",
			switched("mode", "Enabled", "Disabled sends each alone."),
			boolean("enabled", "", "A spelling of mode that is in use, too."),
			integer("latencyMs", 0, 65535, "5", "How long the first may wait, in milliseconds."),
			integer("maxMessages", 1, 1<<31-1, "100000", "How many there are at most."),
			integer("maxBytes", 1, 1<<30, "1000000", "How many bytes they have at most.")),
		switched("copyMqttProperties", "Enabled", "Whether what MQTT messages have beside their payload becomes headers."),
		enum("compression", "None", "The codec of batches.", Value{Name: "None"}, Value{Name: "Gzip"}, Value{Name: "Snappy"}, Value{Name: "Lz4"}),
		enum("kafkaAcks", "All", "Which brokers must have a message before it counts as delivered.",
			Value{Name: "All", Doc: "all replicas that are in sync"}, Value{Name: "One", Doc: "the partition's leader"}, Value{Name: "Zero", Doc: "none"},
			Value{Name: "None", Doc: "another name of Zero", Means: "Zero"}),
		enum("partitionStrategy", "Default", "How the partition of a message is chosen.",
			Value{Name: "Default", Doc: "one after another"}, Value{Name: "Static", Doc: "always the same"},
			Value{Name: "Topic", Doc: "by the message's topic"}, Value{Name: "Property", Doc: "by a user property"}),
		text("partitionKeyProperty", "The user property to partition by. Required with partitionStrategy: Property, and without meaning otherwise."),
		tls(),
		cloudEventAttributes(),
	)
}

func registryEndpoint() *Kind {
	ref := func(name, doc string) *Field {
		return object(name, doc,
			enum("type", "", "What has it.", Value{Name: "Secret"}, Value{Name: "ConfigMap"}).
				required("write {type: ConfigMap, configMapRef: NAME} or {type: Secret, secretRef: NAME}"),
			text("secretRef", "The Secret.").refers("Secret").with("Secret").required("write {type: Secret, secretRef: NAME}"),
			text("configMapRef", "The ConfigMap.").refers("ConfigMap").with("ConfigMap").required("write {type: ConfigMap, configMapRef: NAME}"),
		).selectedBy("type")
	}
	a := authentication("Anonymous", "ArtifactPullSecret", managed, userManaged)
	a.Required = false
	a.Doc += " Required unless the host is a folder or a layout."
	return kind("RegistryEndpoint", "registry",
		"Where graph definitions and their modules are. The endpoint default, which exists undeclared, is mcr.microsoft.com.",
		ownName(3, 63),
		object("spec", "What is wanted.",
			text("host", "A registry, HOST[:PORT][/PREFIX] (the host of 3 to 63 characters), or, which needs no registry, file://DIR or oci-layout:DIR; DIR is relative to the file of the object.").
				required("write a registry's host, file://DIR or oci-layout:DIR"),
			a,
			object("trustSettings", "Whose signatures count.",
				ref("trustedSigningKeys", "What has the public keys.").required("write trustedSigningKeys: {type: ConfigMap, configMapRef: NAME}")),
			list("codeSigningCas", "The authorities whose certificates sign artifacts. What neither they nor the keys vouch for is refused; without any, everything is taken.",
				ref("", "What has certificates of authorities, PEM.")),
		).required("write spec: with what is wanted"))
}
