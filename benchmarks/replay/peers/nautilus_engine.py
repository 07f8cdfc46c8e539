"""NautilusTrader: the backtest engine hands quotes to a strategy that counts; prints JSON.

Runs in the peers' environment. The quotes are a Parquet file's trades of one symbol, with an ask a cent above;
making them is not in the time.
"""

import json
import sys
import time

import pandas as pd
import polars as pl
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import TraderId, Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.persistence.wranglers import QuoteTickDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

ROWS = 1_000_000

price = pl.col("price").cast(pl.Float64)
size = pl.lit(100.0)
frame = (
    pl.scan_parquet(sys.argv[1])
    .sort("ts_event")
    .head(ROWS)
    .select("ts_event", bid_price=price, ask_price=price + 0.01, bid_size=size, ask_size=size)
    .collect()
    .to_pandas()
)
frame.index = pd.to_datetime(frame.pop("ts_event"), unit="ns", utc=True)
instrument = TestInstrumentProvider.equity("BAC", "XNYS")
ticks = QuoteTickDataWrangler(instrument).process(frame)


class Counter(Strategy):
    """Counts quotes."""

    seen = 0

    def on_start(self) -> None:
        """Subscribe."""
        self.subscribe_quote_ticks(instrument.id)

    def on_quote_tick(self, tick: object) -> None:
        """Count a quote."""
        Counter.seen += 1


logging = LoggingConfig(log_level="ERROR")
engine = BacktestEngine(BacktestEngineConfig(trader_id=TraderId("T-1"), logging=logging))
engine.add_venue(
    venue=Venue("XNYS"),
    oms_type=OmsType.NETTING,
    account_type=AccountType.CASH,
    base_currency=USD,
    starting_balances=[Money(1_000_000, USD)],
)
engine.add_instrument(instrument)
engine.add_data(ticks)
engine.add_strategy(Counter())
started = time.perf_counter()
engine.run()
print(json.dumps({"ticks": Counter.seen, "wall_s": time.perf_counter() - started}))
