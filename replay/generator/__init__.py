"""Markets with known truth: bars and ticks around a planted lead-lag graph, and the best score that there is.

`replay.generator.market.generate_market` makes one from a `replay.generator.config.MarketConfig`;
`replay.generator.ticks` turns its bars into trades, `replay.generator.files` writes them.
"""
