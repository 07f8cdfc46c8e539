"""The contract hangs together: every schema has a codec, errors have one root, old bytes stay readable."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from importlib.metadata import version

import pytest

from tests.golden import topics_regenerate as golden
from topics import errors
from topics.asyncapi import asyncapi_document
from topics.control import CONTROL_TYPES, decode_control
from topics.envelope import ARROW, Envelope
from topics.graphs_codec import GRAPHS_SCHEMA, decode_graphs
from topics.predictions_codec import PREDICTIONS_SCHEMA, decode_predictions
from topics.specs import SPECS, TICK_SCHEMAS, TopicNames
from topics.ticks import SCHEMAS, decode_ticks
from topics.windows_codec import WINDOWS_SCHEMA, decode_windows

DECODERS = {
    **dict.fromkeys(SCHEMAS, decode_ticks),
    **dict.fromkeys(CONTROL_TYPES, decode_control),
    WINDOWS_SCHEMA: decode_windows,
    GRAPHS_SCHEMA: decode_graphs,
    PREDICTIONS_SCHEMA: decode_predictions,
}


def test_every_topic_has_a_name_and_every_name_a_topic() -> None:
    assert [field.name for field in fields(TopicNames)] == list(SPECS)
    assert len({spec.name for spec in SPECS.values()}) == len(SPECS)


def test_every_schema_of_a_topic_is_decodable_and_every_decoder_has_a_topic() -> None:
    carried = {schema for spec in SPECS.values() for schema in spec.schemas}
    assert carried == set(DECODERS)
    assert tuple(SCHEMAS) == TICK_SCHEMAS


def test_errors_have_one_root_and_each_is_a_builtin_too() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    leaves = [kind for kind in kinds if kind is not errors.TopicError]
    assert len(leaves) > 8
    for kind in leaves:
        assert issubclass(kind, errors.TopicError)
        assert issubclass(kind, ValueError | OSError | RuntimeError)
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("name", sorted(golden.read_wire()))
def test_stored_messages_stay_readable(name: str) -> None:
    stored = golden.read_wire()[name]
    envelope = Envelope.from_headers({key: text.encode() for key, text in stored["headers"].items()})
    decoded = DECODERS[envelope.schema](base64.b64decode(stored["value"]), envelope)
    assert golden.as_json(decoded) == stored["decoded"]


def test_golden_messages_cover_every_codec() -> None:
    schemas = {stored["headers"]["schema"] for stored in golden.read_wire().values()}
    assert {WINDOWS_SCHEMA, GRAPHS_SCHEMA, PREDICTIONS_SCHEMA, *CONTROL_TYPES} <= schemas
    assert schemas & set(SCHEMAS)


def test_dbn_and_json_are_written_as_they_were() -> None:
    # Arrow streams are left out: another Arrow or lz4 may lay out equal content otherwise.
    written = {
        name: stored
        for name, stored in golden.make_wire().items()
        if stored["headers"]["content-type"] != ARROW
    }
    assert {name: golden.read_wire()[name] for name in written} == written


def test_the_asyncapi_document_is_the_reviewed_one() -> None:
    expected = json.loads(golden.ASYNCAPI.read_text())
    found = asyncapi_document(version("cs3g"))
    # The distribution's version is not the contract's.
    expected["info"].pop("version")
    found["info"].pop("version")
    assert found == expected, "run `python -m tests.golden.topics_regenerate` and review the difference"


def test_the_asyncapi_document_refers_only_to_what_it_holds() -> None:
    document = asyncapi_document("0")
    references = set(_references(document))
    assert len(references) > 40
    for reference in references:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []
