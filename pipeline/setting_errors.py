"""The first broken rule of a settings class in one line, with the setting, its value and where it is set."""

from __future__ import annotations

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from pipeline.errors import ConfigError


def setting_error(error: ValidationError, kind: type[BaseSettings]) -> ConfigError:
    """Return the first broken rule; a secret's value is left out.

    Parameters
    ----------
    kind
        The settings class that was not valid.
    """
    first = error.errors(include_url=False)[0]
    setting = str(first["loc"][0]) if first["loc"] else ""
    rule = first["msg"].removeprefix("Value error, ")
    if not setting:
        return ConfigError(rule)
    field = kind.model_fields.get(setting)
    secret = field is not None and field.annotation == (SecretStr | None)
    shown = "" if secret else f" (={first.get('input')!r})"
    variable = f"{kind.model_config.get('env_prefix', '')}{setting.upper()}"
    return ConfigError(f"`{setting}`{shown}: {rule}; it is set by argument or by {variable}", setting=setting)
