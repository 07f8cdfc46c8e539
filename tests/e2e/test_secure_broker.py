"""Every client through TLS with user and password: the whole path, and what is said where the login is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.sessions import run_offline, run_online
from tests.secure_broker import USER, SecureBroker, secure_front
from topics.connection import admin_client, producer_client
from topics.errors import BrokerUnavailable

pytestmark = [pytest.mark.e2e, pytest.mark.broker]


@pytest.fixture
def front(bootstrap_servers: str, broker_kind: str, tmp_path: Path) -> Iterator[SecureBroker]:
    if broker_kind == "given":
        pytest.skip("the front knows only brokers that tell the address that they were asked at")
    with secure_front(bootstrap_servers, tmp_path) as front:
        yield front


def set_environment(patch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        patch.setenv(name, value)


def test_ticks_become_the_same_predictions(
    front: SecureBroker, run_id: str, tmp_path: Path, broker_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, front.environment())
    embedded = broker_kind == "embedded"
    result = asyncio.run(run_online(front.bootstrap, run_id, tmp_path / "logs", embedded=embedded))
    offline = asyncio.run(run_offline())
    assert result.collected.digest.value() == offline.digest("student")
    assert set(front.logins) == {USER}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PASSWORD": "guessed"}, "wrong password"),
        ({"SASL_MECHANISM": "SCRAM-SHA-256"}, "(?i)mechanism"),
        ({"CA_FILE": ""}, "certificate verify failed"),
        ({"SECURITY": "PLAINTEXT"}, "CS3G_BROKER_SECURITY"),
    ],
)
async def test_a_wrong_login_is_told(
    front: SecureBroker, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    set_environment(monkeypatch, front.environment(**changes))
    for client in (admin_client, producer_client):
        with pytest.raises(BrokerUnavailable, match=message) as caught:
            async with client(front.bootstrap, 10):
                pass
        assert "guessed" not in str(caught.value)
    assert front.logins == []
