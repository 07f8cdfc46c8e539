"""Every loss that a recipe may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cs3g_model.distillation.explanation_terms import AligningTerm, DecouplingTerm, DistinguishingTerm
from cs3g_model.distillation.graph_terms import AttentionTerm, MixingTerm
from cs3g_model.distillation.score_terms import GaussianTerm, ICTerm, LabelTerm, SoftTerm
from cs3g_model.distillation.state_terms import ContrastiveTerm, GlobalTerm, HintTerm, LocalTerm
from cs3g_model.distillation.term import Term, TermSettings
from cs3g_model.errors import ConfigError

__all__ = ["TERMS", "read_losses"]

TERMS: Final[dict[str, type[Term]]] = {
    "labels": LabelTerm,
    "ic": ICTerm,
    "soft": SoftTerm,
    "gaussian": GaussianTerm,
    "hint": HintTerm,
    "mixing": MixingTerm,
    "attention": AttentionTerm,
    "local_structure": LocalTerm,
    "global_structure": GlobalTerm,
    "contrastive": ContrastiveTerm,
    "distinguishing": DistinguishingTerm,
    "decoupling": DecouplingTerm,
    "aligning": AligningTerm,
}


def read_losses(losses: Mapping[str, Any]) -> dict[str, TermSettings]:
    """Read a stage's table of losses: name to weight, or to a table of settings with the weight among them.

    Raises
    ------
    ConfigError
        If a loss or setting is unknown or breaks its rule, or no loss has a weight above 0.
    """
    found: dict[str, TermSettings] = {}
    for name, value in losses.items():
        if name not in TERMS:
            raise ConfigError(f"unknown loss {name!r}: known are {', '.join(TERMS)}")
        table = value if isinstance(value, Mapping) else {"weight": value}
        try:
            found[name] = msgspec.convert(dict(table), TERMS[name].Settings)
        except msgspec.ValidationError as error:
            raise ConfigError(f"loss {name!r}: {error}") from error
    if not any(settings.weight for settings in found.values()):
        raise ConfigError("a stage must have a loss whose weight is above 0")
    return found
