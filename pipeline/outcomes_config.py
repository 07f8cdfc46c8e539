"""Settings of the outcomes stage, frozen; read from `CS3G_OUTCOMES_` and a field's name."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.setting_errors import setting_error
from topics.types import Mode, Role

OUTCOMES_PREFIX: Final = "CS3G_OUTCOMES_"

LIVE_PATIENCE_WINDOWS: Final = 64
"""How many windows another role may be ahead before a silent one is given up, unless it is told otherwise."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class OutcomesConfig(BaseSettings):
    """What becomes an outcome, and when; make it with `load_outcomes_config` for errors of one line.

    Attributes
    ----------
    roles
        Whose predictions are expected, as "student,teacher" in the environment; others are not looked at.
    horizon_windows
        Snapshots from a window to the one whose closes decide its label.
    patience_windows
        Live only: a role is not waited for at a window once another has predicted so many windows after it, so
        outcomes come so much later while it is silent; None for 64, 0 to wait for ever. A replay always waits,
        so that its outcomes do not depend on who was quicker.
    reference_windows
        First windows of a model, after its warm-up, against which its stream's drift is measured.
    recent_windows
        Span of what is compared with them; weights decay.
    """

    model_config = SettingsConfigDict(env_prefix=OUTCOMES_PREFIX, frozen=True, extra="forbid")

    roles: Annotated[tuple[Role, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)] = (
        "student",
        "teacher",
    )
    horizon_windows: Annotated[int, Field(ge=1, le=4096)] = 1
    patience_windows: Annotated[int | None, Field(ge=0)] = None
    reference_windows: Annotated[int, Field(ge=1, le=2**20)] = 128
    recent_windows: Annotated[int, Field(ge=2, le=2**20)] = 64

    def patience(self, mode: Mode) -> int | None:
        """Return the patience in force; None to wait for ever."""
        if mode == "replay":
            return None
        return LIVE_PATIENCE_WINDOWS if self.patience_windows is None else self.patience_windows or None


def load_outcomes_config(**settings: Any) -> OutcomesConfig:
    """Read the environment, let arguments override it, and validate.

    Parameters
    ----------
    **settings
        Fields of `OutcomesConfig`; those that are None are left to the environment and the defaults.

    Raises
    ------
    ConfigError
        A setting breaks its rule, or is none.
    """
    try:
        return OutcomesConfig(**{name: value for name, value in settings.items() if value is not None})
    except ValidationError as error:
        raise setting_error(error, OutcomesConfig) from error
