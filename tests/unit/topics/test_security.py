"""How to log in at the broker, from the environment: rules, defaults, and what is never in a text."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from topics.errors import SecuritySettingError
from topics.security import BrokerSecurity, broker_security, without_security

LOGIN = {"CS3G_BROKER_USER": "u", "CS3G_BROKER_PASSWORD": "hush-hush"}


def test_nothing_set_talks_plainly() -> None:
    security = BrokerSecurity.from_environment({})
    assert security.client_options() == {"security_protocol": "PLAINTEXT", "ssl_context": None}


def test_a_login_over_tls() -> None:
    security = BrokerSecurity.from_environment({"CS3G_BROKER_SECURITY": "SASL_SSL", **LOGIN})
    options = security.client_options()
    context = options.pop("ssl_context")
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "hush-hush",
    }
    assert "hush" not in repr(security)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CS3G_BROKER_SECURITY": "TLS"}, r"`CS3G_BROKER_SECURITY` \(='TLS'\) must be one of PLAINTEXT, SSL"),
        ({"CS3G_BROKER_SASL_MECHANISM": "GSSAPI"}, "must be one of SCRAM-SHA-512"),
        ({"CS3G_BROKER_SECURITY": "SASL_SSL"}, "`CS3G_BROKER_USER` and `CS3G_BROKER_PASSWORD` must be set"),
        ({"CS3G_BROKER_CA_FILE": "/nowhere.pem"}, r"\(='/nowhere.pem'\) is no file"),
    ],
)
def test_a_broken_rule_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SecuritySettingError, match=message):
        BrokerSecurity.from_environment(environment)


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("none")
    security = BrokerSecurity.from_environment(
        {"CS3G_BROKER_SECURITY": "SSL", "CS3G_BROKER_CA_FILE": str(path)}
    )
    with pytest.raises(SecuritySettingError, match=r"ca\.pem.*PEM"):
        security.client_options()


@pytest.mark.parametrize("before", [None, "SSL"])
def test_the_embedded_broker_is_talked_to_plainly(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CS3G_BROKER_SECURITY", raising=False)
    if before is not None:
        monkeypatch.setenv("CS3G_BROKER_SECURITY", before)
    with without_security():
        assert broker_security().protocol == "PLAINTEXT"
    assert os.environ.get("CS3G_BROKER_SECURITY") == before
