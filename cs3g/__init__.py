"""The `cs3g` command: the one place that sees topics, model, pipeline and replay together."""
