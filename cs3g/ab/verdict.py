"""One sentence that says what a comparison shows, with its uncertainty."""

from __future__ import annotations

from typing import Any

__all__ = ["verdict"]


def verdict(names: tuple[str, ...], values: dict[str, Any] | None, reason: str = "") -> str:
    """Return the sentence.

    Parameters
    ----------
    names
        Models, in order.
    values
        As of `compare`; None where nothing could be compared.
    reason
        Why nothing could.
    """
    if values is None:
        return f"Nothing could be compared: {reason}"
    windows = values["windows"]
    if len(names) == 1:
        found = values["models"][names[0]]
        owner = _owner(names[0])
        return (
            f"{owner[0].upper()}{owner[1:]} rank IC is {found['RankIC']:+.4f} [{found['RankIC_lo']:+.4f},"
            f" {found['RankIC_hi']:+.4f}] over {windows:,} windows; no other model ran beside it."
        )
    pair = values["pairs_of_models"][0]
    difference = pair["difference"]
    interval = f"{difference['diff']:+.4f} [{difference['lo']:+.4f}, {difference['hi']:+.4f}]"
    a, b = _the(names[0]), _the(names[1])
    found = pair["equivalence"]
    equivalent = f"{a} {'is' if found['equivalent'] else 'is not shown to be'} equivalent to {b}"
    sentence = (
        f"Over {windows:,} windows {a}'s rank IC minus {_owner(names[1])} is {interval} (95 % CI): "
        f"{equivalent} within ±{found['margin']:g} (TOST, {100 * found['alpha']:g} %)"
    )
    if difference["lo"] > 0 or difference["hi"] < 0:
        sentence += f", and is {'better' if difference['diff'] > 0 else 'worse'} by an interval clear of zero"
    if "confidence_set" in values:
        kept = values["confidence_set"]
        sentence += (
            f"; the model confidence set at {100 * (1 - kept['size']):g} % holds {', '.join(kept['included'])}"
            f" of {len(names)} models"
        )
    return sentence + "."


def _the(name: str) -> str:
    return f"the {name}" if name in ("student", "teacher") else name


def _owner(name: str) -> str:
    return f"the {name}'s" if name in ("student", "teacher") else f"{name}'s"
