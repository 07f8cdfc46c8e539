"""How to log in at the broker: the same settings, from the environment, for every client of a process.

CS3G_BROKER_SECURITY         PLAINTEXT (default), SSL, SASL_PLAINTEXT or SASL_SSL
CS3G_BROKER_CA_FILE          certificates to trust, PEM; the system's own where it is not set
CS3G_BROKER_SASL_MECHANISM   PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 (default)
CS3G_BROKER_USER, CS3G_BROKER_PASSWORD
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from topics.errors import SecuritySettingError

PREFIX: Final = "CS3G_BROKER_"
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


@dataclass(frozen=True, slots=True)
class BrokerSecurity:
    """Protocol and credentials; the password is in no text.

    Attributes
    ----------
    ca_file
        Of the certificates to trust; None for the system's.
    """

    protocol: str = "PLAINTEXT"
    mechanism: str = MECHANISMS[0]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> BrokerSecurity:
        """Read the settings.

        Raises
        ------
        SecuritySettingError
            One of them breaks its rule; it is named, and its value unless it is the password.
        """
        found = {
            name: environment.get(PREFIX + name)
            for name in ("SECURITY", "SASL_MECHANISM", "USER", "PASSWORD", "CA_FILE")
        }
        protocol = _choice("SECURITY", found["SECURITY"], PROTOCOLS)
        mechanism = _choice("SASL_MECHANISM", found["SASL_MECHANISM"], MECHANISMS)
        user, password, ca_file = found["USER"] or None, found["PASSWORD"] or None, found["CA_FILE"]
        if protocol.startswith("SASL") and not (user and password):
            raise SecuritySettingError(
                f"`{PREFIX}USER` and `{PREFIX}PASSWORD` must be set when `{PREFIX}SECURITY` is {protocol!r}"
            )
        if ca_file and not Path(ca_file).is_file():
            raise SecuritySettingError(f"`{PREFIX}CA_FILE` (={ca_file!r}) is no file that can be read")
        return cls(protocol, mechanism, user, password, Path(ca_file) if ca_file else None)

    @property
    def uses_sasl(self) -> bool:
        """Whether user and password are asked for."""
        return self.protocol.startswith("SASL")

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what verifies the broker's certificate and host name, or None where TLS is not spoken.

        Raises
        ------
        SecuritySettingError
            The file of certificates holds none.
        """
        if not self.protocol.endswith("SSL"):
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise SecuritySettingError(
                f"`{PREFIX}CA_FILE` (={str(self.ca_file)!r}) must hold certificates in PEM: {error}"
            ) from error

    def client_options(self) -> dict[str, Any]:
        """Return the arguments that every aiokafka client takes."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.ssl_context()}
        if self.uses_sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return options


def broker_security() -> BrokerSecurity:
    """Return the settings of this process' environment.

    Raises
    ------
    SecuritySettingError
        One of them breaks its rule.
    """
    return BrokerSecurity.from_environment(os.environ)


@contextmanager
def without_security() -> Iterator[None]:
    """Let this process, and those that it starts meanwhile, talk plainly: the embedded broker knows nothing else."""
    name = PREFIX + "SECURITY"
    before = os.environ.get(name)
    os.environ[name] = "PLAINTEXT"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _choice(name: str, value: str | None, allowed: tuple[str, ...]) -> str:
    if not value:
        return allowed[0]
    if value not in allowed:
        raise SecuritySettingError(f"`{PREFIX}{name}` (={value!r}) must be one of {', '.join(allowed)}")
    return value
