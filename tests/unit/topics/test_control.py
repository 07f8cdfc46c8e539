"""Control records."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan
from typing import get_args

import msgspec
import pytest

from topics.control import (
    CONTROL_TYPES,
    ControlRecord,
    DeadLetter,
    EndOfReplay,
    Instrument,
    JobCancel,
    JobRequest,
    JobStatus,
    LatestPrediction,
    ModelAnnouncement,
    Outcome,
    Related,
    TriggerDecision,
    control_envelope,
    decode_control,
    encode_control,
)
from topics.envelope import MAX_MESSAGE_BYTES, Envelope
from topics.errors import MessageTooLarge, SchemaError, UnknownVersion

EXAMPLES: list[ControlRecord] = [
    Instrument(
        instrument_id=7, symbol="AAPL", universe="sp500", venue="XNAS", sector="Technology",
        related=(Related("supply", 9), Related("owns", 4, -0.25)),
    ),
    EndOfReplay(ts_last=10, ticks=3, total_ticks=9, digest="sha256:" + "0" * 64),
    DeadLetter(cause="late", source_topic="t", partition=1, offset=5, n_records=2, payload=b"\x00\xff"),
    JobRequest(job_id="job-1", kind="distill", universe="sp500", teacher_id="0123456789abcdef", seed=3),
    JobCancel(job_id="job-1", reason="superseded"),
    JobStatus(job_id="job-1", state="running", progress=0.5, metrics={"rank_ic": 0.03}),
    ModelAnnouncement(universe="sp500", role="student", model_id="0123456789abcdef", sha256="a" * 64),
    LatestPrediction(
        universe="sp500", role="student", model_id="0123456789abcdef", instrument_id=7, symbol="AAPL",
        ts_close=10, score=-0.25, rank=2, n_instruments=3, warmup=False,
    ),
    Outcome(
        universe="sp500", role="teacher", model_id="0123456789abcdef", ts_close=10, horizon_ns=5,
        n_instruments=3, ic=0.1,
    ),
    TriggerDecision(
        universe="sp500", ts_close=10, action="job", trigger="decay", reason="rank IC fell", job_id="job-1",
        measures={"z": -3.5},
    ),
]  # fmt: skip


def envelope_of(record: ControlRecord) -> Envelope:
    return control_envelope(record, run_id="r", mode="live")


def test_every_type_has_an_example() -> None:
    assert (
        {type(record) for record in EXAMPLES} == set(get_args(ControlRecord)) == set(CONTROL_TYPES.values())
    )


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.SCHEMA)
def test_a_record_comes_back_as_it_was(record: ControlRecord) -> None:
    decoded = decode_control(encode_control(record), envelope_of(record))
    assert type(decoded) is type(record)
    assert decoded == record


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.SCHEMA)
def test_records_are_frozen_and_later_fields_are_ignored(record: ControlRecord) -> None:
    body = json.loads(encode_control(record))
    body["from_a_later_release"] = [1]
    assert decode_control(json.dumps(body).encode(), envelope_of(record)) == record
    with pytest.raises(AttributeError):
        record.universe = "other"  # type: ignore[union-attr, misc]


def test_the_envelope_names_schema_version_and_origin() -> None:
    envelope = control_envelope(EXAMPLES[1], run_id="r9", mode="replay")
    assert (envelope.schema, envelope.version, envelope.run_id, envelope.mode) == (
        "end-of-replay",
        1,
        "r9",
        "replay",
    )


def test_unknown_schemas_and_versions_are_refused() -> None:
    value, envelope = encode_control(EXAMPLES[0]), envelope_of(EXAMPLES[0])
    with pytest.raises(UnknownVersion, match="version 2"):
        decode_control(value, replace(envelope, version=2))
    with pytest.raises(UnknownVersion, match="'ticker' is unknown"):
        decode_control(value, replace(envelope, schema="ticker"))


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (Instrument(instrument_id=0, symbol="A", universe="u"), "instrument_id"),
        (Instrument(instrument_id=1, symbol="", universe="u"), "symbol"),
        (Instrument(instrument_id=1, symbol="A", universe="u", size_unit="1e-8"), "size_unit"),
        (
            Instrument(instrument_id=1, symbol="A", universe="u", related=(Related("", 2),)),
            "related[0].relation",
        ),
        (
            Instrument(instrument_id=1, symbol="A", universe="u", related=(Related("lead", 2),)),
            "related[0].relation",
        ),
        (
            Instrument(instrument_id=1, symbol="A", universe="u", related=(Related("x", 0),)),
            "related[0].instrument_id",
        ),
        (
            Instrument(instrument_id=1, symbol="A", universe="u", related=(Related("x", 2, 1.5),)),
            "related[0].weight",
        ),
        (
            Instrument(instrument_id=1, symbol="A", universe="u", related=(Related("x", 2, nan),)),
            "related[0].weight",
        ),
        (EndOfReplay(ts_last=-1, ticks=0, total_ticks=0, digest=""), "ts_last"),
        (JobRequest(job_id="../etc", kind="distill", universe="u"), "job_id"),
        (JobRequest(job_id="a", kind="distill", universe="u", teacher_id="a b"), "teacher_id"),
        (JobRequest(job_id="a", kind="shell", universe="u"), "kind"),  # type: ignore[arg-type]
        (JobStatus(job_id="a", state="running", progress=1.5), "progress"),
        (ModelAnnouncement(universe="u", role="student", model_id="a", sha256="zz"), "sha256"),
    ],
)
def test_a_broken_field_is_refused_on_the_way_out_and_in(record: ControlRecord, field: str) -> None:
    with pytest.raises(SchemaError) as caught:
        encode_control(record)
    assert caught.value.field_path == f"$.{field}"
    with pytest.raises(SchemaError) as caught:
        decode_control(msgspec.json.encode(record), envelope_of(record))
    assert caught.value.field_path == f"$.{field}"


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"\xff"])
def test_what_is_no_record_is_refused(value: bytes | None) -> None:
    with pytest.raises(SchemaError, match="instrument"):
        decode_control(value, envelope_of(EXAMPLES[0]))


def test_a_dead_letter_holds_the_largest_message_and_nothing_else_may() -> None:
    letter = DeadLetter(
        cause="undecodable",
        source_topic="t",
        partition=0,
        offset=0,
        n_records=0,
        payload=bytes(MAX_MESSAGE_BYTES),
    )
    assert decode_control(encode_control(letter), envelope_of(letter)) == letter
    with pytest.raises(MessageTooLarge, match="'dead-letter' message holds"):
        encode_control(msgspec.structs.replace(letter, payload=bytes(MAX_MESSAGE_BYTES * 2)))
    with pytest.raises(MessageTooLarge, match="'instrument' message holds"):
        decode_control(b" " * (MAX_MESSAGE_BYTES + 1), envelope_of(EXAMPLES[0]))


def test_the_latest_of_each_universe_role_and_instrument_has_its_own_key() -> None:
    record = next(record for record in EXAMPLES if isinstance(record, LatestPrediction))
    assert record.key() == b"sp500/student/7"
