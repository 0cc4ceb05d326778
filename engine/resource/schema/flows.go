// SPDX-License-Identifier: Apache-2.0

package schema

// profileRef, mode and requestDiskPersistence are of Dataflows and DataflowGraphs.
func flowHead() []*Field {
	profile := text("profileRef", "The DataflowProfile that it belongs to. It exists undeclared as default.").refers("DataflowProfile")
	profile.Default = "default"
	return []*Field{
		profile,
		switched("mode", "Enabled", "Whether it runs. Disabled keeps the declaration and stops the work."),
		switched("requestDiskPersistence", "Disabled", "Asks an MQTT broker to keep on disk what it queues for us, by the user property aio-persistence=true. The session must outlive the connection (sessionExpirySeconds)."),
	}
}

func endpointRef() *Field {
	return text("endpointRef", "The DataflowEndpoint. The one called default exists undeclared: the cluster's broker.").
		refers("DataflowEndpoint").required("the endpoint default always exists")
}

func schemaRef(doc string) *Field {
	return text("schemaRef", doc).matches(`^aio-sr://[^/:]+(/[^/:]+)?:[^/:]+$`, "aio-sr://NAMESPACE/NAME:VERSION")
}

// dataSources are the topics of a source.
func dataSources() *Field {
	return list("dataSources", "The topics that messages come from: of MQTT, filters in which + stands for a level and # for all that follow, "+
		"$share/GROUP/ (or $shared/GROUP/) before one shares it with others; of Kafka, names of topics.", text("", "One topic or filter.").required("write a topic, or take it out")).
		required("write the topics to subscribe to").items(1, 0)
}

func headers() *Field {
	return list("headers", "What is done to the user properties (of Kafka: headers) of each message before it is sent, one after another.",
		object("", "One action.",
			enum("actionType", "", "What to do with the key.",
				Value{Name: "AddIfNotPresent", Doc: "add it where the message has none"},
				Value{Name: "Remove", Doc: "take out all of that key"},
				Value{Name: "AddOrReplace", Doc: "put one in the place of all of that key"}).
				required("write AddIfNotPresent, AddOrReplace or Remove"),
			text("key", "The name of the property.").required("write the name of a header"),
			text("value", "Its value. Required unless the action is Remove."),
		))
}

const destinationDoc = "Where messages go: a topic of MQTT or Kafka. "

func dataflow() *Kind {
	return kind("Dataflow", "df",
		"Takes messages from one endpoint to another. It becomes a graph of a source and a destination.",
		ownName(3, 63),
		object("spec", "What is wanted.", append(flowHead(),
			list("operations", "What is done: two or three operations, exactly one of them a Source and one a Destination, in any order.",
				object("", "One operation.",
					enum("operationType", "", "What the operation does.",
						Value{Name: "Source", Doc: "takes messages from an endpoint"},
						Value{Name: "BuiltInTransformation", Doc: "enriches, filters and maps them", NotYet: true, Instead: "take the operation out, or use a DataflowGraph"},
						Value{Name: "Destination", Doc: "sends them to an endpoint"}).
						required("write Source or Destination"),
					text("name", "A name, for people.").longest(64),
					object("sourceSettings", "Where messages come from.",
						endpointRef(), dataSources(),
						text("assetRef", "The asset that the topics belong to. Assets are not looked up."),
						enum("serializationFormat", "Json", "How payloads are written. They are not looked at without a transformation.", Value{Name: "Json"}),
						schemaRef("The schema of the payloads. It is not checked at run time."),
					).with("Source").required("write sourceSettings: with an endpointRef and dataSources"),
					transformation().with("BuiltInTransformation"),
					object("destinationSettings", "Where messages go.",
						endpointRef(),
						text("dataDestination", destinationDoc+"For MQTT, ${inputTopic} in it is the message's topic and ${inputTopic.N} its Nth level, counted from 1.").
							required("write the topic to publish to"),
						headers(),
					).with("Destination").required("write destinationSettings: with an endpointRef and a dataDestination"),
				).selectedBy("operationType"),
			).required("write operations: with a Source and a Destination").items(2, 3),
		)...).required("write spec: with what is wanted"))
}

// transformation are the settings of the mapping language.
func transformation() *Field {
	description := func() *Field { return text("description", "What it is for.").longest(256) }
	inputs := func() *Field {
		return list("inputs", "The fields that are $1, $2 ... in the expression.", text("", "A path.")).required("write the paths of the inputs")
	}
	return object("builtInTransformationSettings", "How messages are enriched, filtered and mapped, in this order.",
		enum("serializationFormat", "Json", "How the results are written.", Value{Name: "Json"}, Value{Name: "Parquet"}, Value{Name: "Delta"}),
		schemaRef("The schema of the results."),
		list("datasets", "Data of the state store that messages are enriched with.", object("", "One dataset.",
			text("key", "The key in the state store, or \"KEY as ALIAS\".").required("write the key").longest(64),
			description(), schemaRef("The schema of the data."), inputs(),
			text("expression", "The condition that the record to join meets."))),
		list("filter", "Conditions for messages that are dropped.", object("", "One condition.",
			enum("type", "Filter", "The kind of condition.", Value{Name: "Filter"}),
			description(), inputs(), text("expression", "The condition.").required("write a condition"))),
		list("map", "Fields of the result.", object("", "One rule.",
			enum("type", "", "A hint for editors.", Value{Name: "NewProperties"}, Value{Name: "Rename"}, Value{Name: "Compute"}, Value{Name: "PassThrough"}, Value{Name: "BuiltInFunction"}),
			description(), inputs(), text("expression", "The value; nothing copies the input."),
			text("output", "The path that is written; empty removes the inputs."))),
	)
}

func dataflowGraph() *Kind {
	return kind("DataflowGraph", "graph",
		"Binds graph definitions to the endpoints that their messages come from and go to: nodes, and connections between them.",
		ownName(3, 63),
		object("spec", "What is wanted.", append(flowHead(),
			list("nodes", "Sources, graphs and destinations: at least one Source and one Destination.", object("", "One node.",
				text("name", "The name that connections know the node by; no two are equal.").required("give it a name that connections know it by").
					matches(`^[a-zA-Z0-9_-]+$`, "letters, digits, '_' and '-'"),
				enum("nodeType", "", "What the node does.",
					Value{Name: "Source", Doc: "takes messages from an endpoint"},
					Value{Name: "Graph", Doc: "processes them by a graph definition"},
					Value{Name: "Destination", Doc: "sends them to an endpoint"}).required("write Source, Graph or Destination"),
				object("sourceSettings", "Where messages come from.",
					endpointRef(), dataSources(),
					text("assetRef", "The asset that the topics belong to. Assets are not looked up."),
				).with("Source").required("write sourceSettings: with an endpointRef and dataSources"),
				object("graphSettings", "What processes messages.",
					text("registryEndpointRef", "The RegistryEndpoint that has the definition and its modules. The one called default exists undeclared: mcr.microsoft.com.").
						refers("RegistryEndpoint").required("the registry endpoint default always exists"),
					text("artifact", "The definition's reference in the registry: NAME:TAG or NAME@DIGEST.").required("write NAME:TAG"),
					list("configuration", "Values of parameters. Each reaches every operation whose definition declares its key.", object("", "One value.",
						text("key", "The name of the parameter.").required("write the name of a parameter").matches(`^[a-zA-Z0-9_-]+$`, "letters, digits, '_' and '-'"),
						text("value", "Its value, which is text."))),
				).with("Graph").required("write graphSettings: with a registryEndpointRef and an artifact"),
				object("destinationSettings", "Where messages go.",
					endpointRef(),
					text("dataDestination", destinationDoc+"For MQTT, ${outputTopic} in it is the topic that the message has when it leaves the graph, and ${outputTopic.N} its Nth level, counted from 1.").
						required("write the topic to publish to"),
					headers(),
					object("outputSchemaSettings", "How payloads are written.",
						enum("serializationFormat", "", "The format.", Value{Name: "Parquet"}, Value{Name: "Delta"}),
						schemaRef("The schema of the payloads.")).notYet(),
				).with("Destination").required("write destinationSettings: with an endpointRef and a dataDestination"),
			).selectedBy("nodeType")).required("write nodes: with a Source and a Destination, at least").items(2, 0),
			list("nodeConnections", "The ways of messages from node to node. They form no cycle.", object("", "One connection.",
				object("from", "The node that messages leave.",
					text("name", "A Source or a Graph. Where a definition has several sinks: NODE.SINK.").required("write the name of a node"),
					object("schema", "What messages look like.",
						enum("serializationFormat", "Json", "How payloads are written.", Value{Name: "Json"},
							Value{Name: "Delta", NotYet: true}, Value{Name: "Parquet", NotYet: true}, Value{Name: "Avro", NotYet: true}),
						schemaRef("The schema of the payloads. It is not checked at run time."))).required("write from: {name: NODE}"),
				object("to", "The node that messages reach.",
					text("name", "A Graph or a Destination. Where a definition has several sources: NODE.SOURCE.").required("write the name of a node")).
					required("write to: {name: NODE}"),
			)).required("write nodeConnections: that lead from the source to the destination"),
			list("fileStores", "Volumes that operators may read or write.", object("", "One volume.",
				text("persistentVolumeClaimRef", "The volume's claim.").required(""),
				text("subPath", "A folder in it, relative, without \"..\"."),
				text("id", "The name that operators know it by.").required(""),
				boolean("readOnly", "true", "Whether operators may only read."))).notYet(),
		)...).required("write spec: with what is wanted"))
}
