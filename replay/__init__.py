"""The replay tool: recorded ticks, bars and panels into the live path, in event order, to the tick accounted for.

Import from the modules: `replay.sources.open` finds readers, `replay.runner` runs a replay into a sink of
`replay.sinks` or `replay.kafka_sink`; nothing here pulls in a reader or a Kafka client before it is asked for.
"""
