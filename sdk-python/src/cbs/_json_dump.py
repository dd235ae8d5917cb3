"""A small JSON writer on the standard library: values as msgspec writes them, where it is not installed."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from cbs import _pydantic

FAILURES = (TypeError, ValueError, RecursionError)
"""What `dump` raises for what JSON cannot hold."""

_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dump(value: Any) -> bytes:
    """Write a value as JSON; raises one of `FAILURES`."""
    return _write(_plain(value)).encode()


def _plain(value: Any) -> Any:
    match value:
        case enum.Enum():
            return _plain(value.value)
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_key(key): _plain(entry) for key, entry in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(entry) for entry in value]
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat().replace("+00:00", "Z")
        case uuid.UUID() | decimal.Decimal():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _plain(_pydantic.dump(value))


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return key
    if isinstance(key, int | uuid.UUID | decimal.Decimal | datetime.date) and not isinstance(key, bool):
        return str(key)
    raise TypeError(f"a map's keys are texts, not `{type(key).__name__}`")
