"""The wire contract: record types, codecs, topics, the embedded broker, and the client for strategies.

Import from the modules: a strategy needs `topics.client`, a producer `topics.tick_builders` and
`topics.messages`; nothing here pulls in a Kafka client or Arrow before it is asked for.
"""
