"""Fixtures that every level shares."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.broker import BrokerChoice, choose_broker, run_broker

_CHOICE = pytest.StashKey[BrokerChoice]()
_RUN_NUMBERS = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_CHOICE] = choose_broker()


def pytest_sessionstart(session: pytest.Session) -> None:
    # Not `pytest_report_header`: -q drops the header, and which broker was tested must always be seen.
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"broker of the tests: {session.config.stash[_CHOICE]}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Tests that keep to deadlines take turns; under `pytest -n 2 --dist loadgroup` the others run beside them.
    for item in items:
        if item.get_closest_marker("broker") or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group("broker"))


@pytest.fixture(scope="session", autouse=True)
def _no_data_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the registry of whoever runs the tests out of them, also in processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.delenv("CS3G_REGISTRY", raising=False)
        yield


@pytest.fixture(scope="session")
def broker_kind(pytestconfig: pytest.Config) -> str:
    """ "given", "docker" or "embedded"."""
    return pytestconfig.stash[_CHOICE].kind


@pytest.fixture(scope="session")
def bootstrap_servers(pytestconfig: pytest.Config) -> Iterator[str]:
    """Address of a real broker, one for the whole session; use a prefix or topic of your own on it."""
    with run_broker(pytestconfig.stash[_CHOICE]) as bootstrap:
        yield bootstrap


@pytest.fixture
def run_id() -> str:
    """A run id that no other test, process or earlier session on a lasting broker has used."""
    return f"test-{os.getpid()}-{next(_RUN_NUMBERS)}-{os.urandom(3).hex()}"
