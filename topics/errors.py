"""Errors of the wire contract.

TopicError
├── SchemaError (ValueError)            bytes or fields that break a schema; `field_path` says where
│   ├── EnvelopeError                   missing or malformed message headers
│   ├── UnknownVersion                  a schema name or version that this release does not read
│   └── MessageTooLarge                 a message beyond its topic's limit
├── LiveTopicRefused (ValueError)       a replay aimed at a topic outside `replay.<run_id>.`
├── SecuritySettingError (ValueError)   how to log in at the broker is set wrongly
├── BrokerError (RuntimeError)
│   ├── BrokerUnavailable (ConnectionError)  nobody answers at the address
│   ├── BrokerStartFailed               the embedded broker ended or never answered
│   ├── PortInUse (OSError)             another process listens on the port
│   └── TopicMismatch                   a topic exists with other settings than the contract's
├── BacklogStalled (TimeoutError)       a consumer group makes no progress
└── BacklogLost (RuntimeError)          the broker deleted messages before a group consumed them
"""

from __future__ import annotations


class TopicError(Exception):
    """Root of everything that this package raises on purpose."""


class SchemaError(TopicError, ValueError):
    """Bytes or fields that break a schema.

    Attributes
    ----------
    field_path
        Where, as a JSON path such as `$.price`, or "" where no single field is to blame.
    """

    def __init__(self, message: str, *, field_path: str = "") -> None:
        super().__init__(message)
        self.field_path = field_path


class EnvelopeError(SchemaError):
    """A message header is missing or malformed."""


class UnknownVersion(SchemaError):
    """A schema, or a version of one, that this release does not read."""


class MessageTooLarge(SchemaError):
    """A message is larger than its topic accepts."""


class LiveTopicRefused(TopicError, ValueError):
    """A replay is aimed at a topic outside its own prefix."""


class SecuritySettingError(TopicError, ValueError):
    """A setting of how to log in at the broker breaks its rule."""


class BrokerError(TopicError, RuntimeError):
    """The broker cannot be used as asked."""


class BrokerUnavailable(BrokerError, ConnectionError):
    """Nobody answers at the broker's address."""


class BrokerStartFailed(BrokerError):
    """The embedded broker ended, or did not answer in time."""


class PortInUse(BrokerError, OSError):
    """Another process listens on the port."""


class TopicMismatch(BrokerError):
    """A topic exists with other settings than asked for."""


class BacklogStalled(TopicError, TimeoutError):
    """A consumer group makes no progress on its backlog."""


class BacklogLost(TopicError, RuntimeError):
    """The broker deleted messages before a consumer group consumed them."""
