"""The Faust shell: each agent decodes, calls the pure core, publishes, checkpoints, acknowledges."""
