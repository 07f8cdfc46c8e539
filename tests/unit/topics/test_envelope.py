"""Message headers."""

from __future__ import annotations

import pytest

from topics.envelope import ARROW, DBN, JSON, ONE_TICK_JSON, UNKNOWN_COUNT, Envelope
from topics.errors import EnvelopeError, UnknownVersion

FULL = Envelope("trades", 1, DBN, run_id="r1", mode="replay", seq=7, count=3)


def test_headers_round_trip_as_pairs_and_as_mapping() -> None:
    assert Envelope.from_headers(FULL.to_headers()) == FULL
    assert Envelope.from_headers(dict(FULL.to_headers())) == FULL


def test_unknown_headers_are_ignored_and_the_last_of_a_name_wins() -> None:
    headers = [("traceparent", b"\xff\x00"), *FULL.to_headers(), ("seq", b"9")]
    assert Envelope.from_headers(headers).seq == 9


def test_json_needs_its_content_type_only() -> None:
    envelope = Envelope.from_headers([("content-type", JSON.encode())])
    assert envelope == Envelope(ONE_TICK_JSON, 1, JSON)
    assert (envelope.run_id, envelope.mode, envelope.seq, envelope.count) == (
        "", "live", UNKNOWN_COUNT, UNKNOWN_COUNT,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", None),
        ("content-type", b"text/plain"),
        ("schema", None),
        ("schema-version", None),
        ("schema-version", b"one"),
        ("schema-version", "\u0661".encode()),
        ("schema-version", b"1_0"),
        ("seq", b"-2"),
        ("seq", b"9" * 30),
        ("count", b""),
        ("mode", b"paper"),
        ("run-id", b"\xff\xfe"),
        ("run-id", b"x" * 300),
    ],
)
def test_a_missing_or_malformed_header_is_named(name: str, value: bytes | None) -> None:
    headers = dict(FULL.to_headers())
    if value is None:
        del headers[name]
    else:
        headers[name] = value
    with pytest.raises(EnvelopeError, match=f"`{name}`") as caught:
        Envelope.from_headers(headers)
    assert caught.value.field_path == name


def test_no_headers_at_all_is_an_envelope_error() -> None:
    with pytest.raises(EnvelopeError, match="content-type"):
        Envelope.from_headers(None)


def test_require_accepts_what_matches_and_names_what_does_not() -> None:
    envelope = Envelope("windows", 2, ARROW)
    envelope.require("windows", 2, ARROW)
    with pytest.raises(UnknownVersion, match="version 2 is unknown; this release reads version 1"):
        envelope.require("windows", 1, ARROW)
    with pytest.raises(UnknownVersion, match=r"'windows'\) must be 'graphs'"):
        envelope.require("graphs", 2, ARROW)
    with pytest.raises(EnvelopeError, match="content-type"):
        envelope.require("windows", 2, JSON)
