"""Broker addresses."""

from __future__ import annotations

import pytest

from topics.connection import check_bootstrap
from topics.errors import BrokerUnavailable


@pytest.mark.parametrize("address", ["localhost:9092", "127.0.0.1:1", "[::1]:9092", "a:1,b:2", "a:1, b:2"])
def test_addresses_pass(address: str) -> None:
    check_bootstrap(address)


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", ":9092", "a:0", "a:65536", "a:x", "a:1,", "a:-1"]
)
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(BrokerUnavailable, match="must be host:port") as caught:
        check_bootstrap(address)
    assert repr(address) in str(caught.value)
