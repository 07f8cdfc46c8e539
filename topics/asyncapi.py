"""The contract as an AsyncAPI 3.0 document, made from the specs and record types."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from topics.control import CONTROL_TYPES
from topics.envelope import ARROW, DBN, JSON
from topics.graphs_codec import GRAPHS_SCHEMA, GRAPHS_VERSION
from topics.json_ticks import JSON_TICK_TYPES
from topics.predictions_codec import PREDICTIONS_SCHEMA, PREDICTIONS_VERSION
from topics.runs import WINDOW_ROW_DTYPE
from topics.specs import SPECS, TICK_SCHEMAS, TopicSpec
from topics.ticks import SCHEMAS, TICKS_VERSION, TickSchema
from topics.windows_codec import WINDOWS_SCHEMA, WINDOWS_VERSION

ASYNCAPI_VERSION: Final = "3.0.0"
_KAFKA_BINDING: Final = "0.5.0"

_GRAPH_COLUMNS: Final = {
    "ts_close": "int64, ns since the UNIX epoch",
    "instrument_id": "uint32",
    "symbol": "dictionary<int32, utf8>",
    "present": "bool",
    "close": "int64, 1e-9, 2^63-1 where absent",
    "features": "fixed_size_list<float32>[F]",
    "neighbors": "fixed_size_list<int32>[K], positions in the universe, -1 for none; metadata `relations` shares K",
    "neighbor_weights": "fixed_size_list<float32>[K], in -1..1",
}
_PREDICTION_COLUMNS: Final = {
    "ts_close": "int64, ns since the UNIX epoch",
    "instrument_id": "uint32",
    "symbol": "dictionary<int32, utf8>",
    "score": "float32",
    "rank": "int32, 1 is the highest score",
    "warmup": "bool, do not trade",
}


def asyncapi_document(version: str) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the contract.

    Parameters
    ----------
    version
        Of the distribution.
    """
    messages = _messages()
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "cs3g topics",
            "version": version,
            "description": (
                "Ticks in, return predictions out. Every message carries the envelope in its Kafka headers."
                " A replay writes to the same topics under the prefix `replay.<run_id>.`."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": ARROW,
        "channels": {attribute: _channel(spec) for attribute, spec in SPECS.items()},
        "operations": {
            f"receive_{attribute}": _operation(attribute, spec) for attribute, spec in SPECS.items()
        },
        "components": {
            "messages": messages,
            "schemas": _control_schemas(),
            "messageTraits": {"envelope": _envelope_trait()},
        },
    }


def _channel(spec: TopicSpec) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "cleanup.policy": [spec.cleanup],
        "retention.ms": spec.retention_ms,
        "max.message.bytes": spec.max_bytes,
    }
    binding: dict[str, Any] = {"topicConfiguration": settings, "bindingVersion": _KAFKA_BINDING}
    if spec.partitions != "ticks":
        binding["partitions"] = spec.partition_count(0)
    return {
        "address": spec.name,
        "description": spec.summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(spec)},
        "bindings": {"kafka": binding},
        "x-key": spec.key,
    }


def _operation(attribute: str, spec: TopicSpec) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{attribute}"},
        "summary": spec.summary,
        "messages": [{"$ref": f"#/channels/{attribute}/messages/{name}"} for name in _message_names(spec)],
    }


def _message_names(spec: TopicSpec) -> list[str]:
    is_tick = any(name in SCHEMAS for name in spec.schemas)
    return [*spec.schemas, *(["tick-json"] if is_tick else [])]


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {}
    for name in TICK_SCHEMAS:
        messages[name] = _message(name, TICKS_VERSION, DBN, _dbn_payload(SCHEMAS[name]))
    one_tick = {"oneOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in JSON_TICK_TYPES]}
    messages["tick-json"] = _message("tick-json", TICKS_VERSION, JSON, one_tick)
    windows = {name: str(WINDOW_ROW_DTYPE[name]) for name in WINDOW_ROW_DTYPE.names or ()}
    for name, version, columns in (
        (WINDOWS_SCHEMA, WINDOWS_VERSION, windows),
        (GRAPHS_SCHEMA, GRAPHS_VERSION, _GRAPH_COLUMNS),
        (PREDICTIONS_SCHEMA, PREDICTIONS_VERSION, _PREDICTION_COLUMNS),
    ):
        messages[name] = _message(name, version, ARROW, {"type": "string", "x-arrow-columns": columns})
    for name, kind in CONTROL_TYPES.items():
        payload = {"$ref": f"#/components/schemas/{kind.__name__}"}
        messages[name] = _message(name, kind.VERSION, JSON, payload)
    return messages


def _message(name: str, version: int, content_type: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": content_type,
        "traits": [{"$ref": "#/components/messageTraits/envelope"}],
        "payload": payload,
        "x-schema-version": version,
    }


def _dbn_payload(schema: TickSchema) -> dict[str, Any]:
    fields = {name: str(schema.dtype[name]) for name in schema.dtype.names or ()}
    return {
        "type": "string",
        "x-dbn-record": {"bytes": schema.dtype.itemsize, "rtype": schema.rtype, "fields": fields},
    }


def _control_schemas() -> dict[str, Any]:
    kinds = [*CONTROL_TYPES.values(), *JSON_TICK_TYPES]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        # Only the summary: the sections below it are for readers of the source.
        if "description" in schema:
            summary = re.split(r"\n\s*\n", schema["description"])[0]
            schema["description"] = " ".join(summary.split())
    # Of JSON types only: a default of a record may be a tuple.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(sorted(schemas.items()))))
    return plain


def _envelope_trait() -> dict[str, Any]:
    text = {"type": "string"}
    integer = {"type": "string", "pattern": "^-?[0-9]+$"}
    return {
        "headers": {
            "type": "object",
            "required": ["schema", "schema-version", "content-type"],
            "properties": {
                "schema": text,
                "schema-version": integer,
                "content-type": {"type": "string", "enum": [DBN, JSON, ARROW]},
                "run-id": text,
                "mode": {"type": "string", "enum": ["live", "replay"]},
                "seq": integer,
                "count": integer,
            },
        }
    }
