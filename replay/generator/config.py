"""What a generated market is made of, as one frozen value.

The defaults are a designed market, not a fitted one: see docs/generator.md for what was chosen and measured.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, get_args

from replay.errors import ConfigError

Window = Literal["1d", "1m"]

MINUTES_PER_SESSION: Final = 390
_DAYS_PER_YEAR: Final = 252


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketConfig:
    """Settings of a generated market.

    Volatilities of factors and the half spread are in units of an instrument's idiosyncratic volatility.

    Attributes
    ----------
    instruments, windows
        N (1..99,999) and T (>= 2).
    seed
        Decides every random choice (>= 0).
    window
        Length of a window: a day of Monday to Friday, or a minute of sessions of 390.
    sectors
        Number of sectors (>= 1).
    volatility
        Of idiosyncratic returns, a year of 252 days (> 0).
    volatility_spread
        Standard deviation of its logarithm between instruments.
    market_volatility, sector_volatility
        Of the common factors.
    loading_spread
        Standard deviation of the loadings on either factor around 1.
    tail
        Degrees of freedom of Student's t that all shocks have (> 2.1).
    reaction, own_reaction
        GARCH(1, 1)'s weight of the last squared shock, for factors and for an instrument's own variance.
    persistence
        Its weight of the last variance; below 1 with either reaction.
    common_volatility
        Share of the market's variance process in an instrument's own.
    half_spread
        From mid to bid or ask; median over the instruments.
    followers
        Share of the instruments that follow others; the rest are the leaders.
    leaders
        Most leaders that a follower has at a time (>= 1).
    strength
        Lowest and highest weight of an edge when it is drawn; about the lag-1 correlation it makes.
    negative
        Share of the edges with a negative weight.
    in_sector
        Share of the edges that come from the follower's own sector, where it has leaders enough.
    changes
        When the regimes change, as shares of the windows, ascending in (0, 1).
    rewired
        Share of the followers that get new leaders at each change.
    drift
        Standard deviation of an edge's slow relative change of weight; bounded at twice that.
    drift_windows
        Windows between two independent values of an edge's drift.
    drift_step
        Windows for which weights stay as they are; then they move on smoothly.

    Raises
    ------
    ConfigError
        A setting is out of range.
    """

    instruments: int = 500
    windows: int = 1500
    seed: int = 0
    window: Window = "1d"
    sectors: int = 11
    volatility: float = 0.32
    volatility_spread: float = 0.10
    market_volatility: float = 0.25
    sector_volatility: float = 0.12
    loading_spread: float = 0.15
    tail: float = 5.0
    reaction: float = 0.12
    own_reaction: float = 0.04
    persistence: float = 0.86
    common_volatility: float = 0.70
    half_spread: float = 0.03
    followers: float = 0.80
    leaders: int = 2
    strength: tuple[float, float] = (0.57, 0.66)
    negative: float = 0.20
    in_sector: float = 0.60
    changes: tuple[float, ...] = (0.40, 0.75)
    rewired: float = 1.0 / 3.0
    drift: float = 0.15
    drift_windows: int = 150
    drift_step: int = 10

    def __post_init__(self) -> None:
        _require(self.window in get_args(Window), "window", self.window, "must be 1d or 1m")
        _within(self, "instruments", 1, 99_999)
        _within(self, "windows", 2, 10_000_000)
        for name in ("sectors", "leaders", "drift_windows", "drift_step"):
            _within(self, name, 1, 1_000_000)
        _within(self, "seed", 0, 2**63 - 1)
        for name in ("common_volatility", "followers", "negative", "in_sector", "rewired"):
            _within(self, name, 0.0, 1.0)
        for name in ("volatility_spread", "market_volatility", "sector_volatility", "half_spread"):
            _within(self, name, 0.0, 10.0)
        _within(self, "volatility", 1e-6, 10.0)
        _within(self, "loading_spread", 0.0, 1.0)
        _within(self, "tail", 2.1, 1e6)
        _within(self, "drift", 0.0, 0.49)
        for name in ("reaction", "own_reaction", "persistence"):
            _within(self, name, 0.0, 1.0)
        total = max(self.reaction, self.own_reaction) + self.persistence
        _require(total < 1, "reaction + persistence", total, "must be below 1, or variance has no mean")
        _require(
            len(self.strength) == 2 and 0 <= self.strength[0] <= self.strength[1] < 1,
            "strength",
            self.strength,
            "must be two numbers, 0 <= lowest <= highest < 1",
        )
        bounds = (0.0, *self.changes, 1.0)
        _require(
            all(math.isfinite(at) for at in bounds) and all(a < b for a, b in pairwise(bounds)),
            "changes",
            self.changes,
            "must ascend between 0 and 1",
        )
        stops = [0, *self.change_windows, self.windows]
        _require(
            len(set(stops)) == len(stops),
            "changes",
            self.changes,
            f"must leave every regime a window of the {self.windows}",
        )

    @property
    def change_windows(self) -> tuple[int, ...]:
        """First window of each regime but the first."""
        return tuple(round(share * self.windows) for share in self.changes)

    @property
    def window_volatility(self) -> float:
        """Standard deviation of the median instrument's idiosyncratic return in a window."""
        a_day = 1 if self.window == "1d" else MINUTES_PER_SESSION
        return self.volatility / math.sqrt(_DAYS_PER_YEAR * a_day)


def read_market_config(path: Path | None, **changes: Any) -> MarketConfig:
    """Return the settings of a TOML file's table [market], or the defaults, with some changed.

    Parameters
    ----------
    changes
        By the names of `MarketConfig`; None leaves a setting as it is.

    Raises
    ------
    ConfigError
        No such file, no TOML, an unknown setting, a value of another type or out of range.
    """
    settings: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
        table = document.pop("market", {})
        if document or not isinstance(table, dict):
            raise ConfigError(f"{path}: holds {', '.join(document) or 'no table'}; allowed is [market]")
        settings |= table
    settings |= {name: value for name, value in changes.items() if value is not None}
    defaults = {field.name: field.default for field in fields(MarketConfig)}
    for name, value in settings.items():
        if name not in defaults:
            raise ConfigError(f"`{name}` is no setting of a market; settings are {', '.join(defaults)}")
        settings[name] = _as_type_of(defaults[name], name, value)
    return MarketConfig(**settings)


def _as_type_of(default: Any, name: str, value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, tuple):
        if isinstance(value, (list, tuple)):
            return tuple(_as_type_of(0.0, name, one) for one in value)
    elif isinstance(default, float):
        if number:
            return float(value)
    elif isinstance(value, type(default)) and (number or isinstance(default, str)):
        return value
    kind = {tuple: "a list of numbers", float: "a number", int: "a whole number", str: "a text"}
    raise ConfigError(f"`{name}` (={value!r}) must be {kind[type(default)]}")


def _within(config: MarketConfig, name: str, low: float, high: float) -> None:
    value = getattr(config, name)
    _require(low <= value <= high, name, value, f"must be in {low}..{high}")


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"`{name}` (={value}) {rule}")
