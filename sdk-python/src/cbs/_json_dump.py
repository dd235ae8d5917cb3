"""JSON writing on the standard library, and the rule of what can be written: what has a form in JSON, and no more.

Where msgspec is installed it writes, and this says why something cannot be written, with the place.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import re
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from cbs import _json_texts, _pydantic

FAILURES = (TypeError, ValueError, RecursionError)
"""What `dump` raises for what JSON cannot hold."""

_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class UnwritableError(TypeError):
    """A value that JSON cannot hold: where it stands, and why."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(what, place)
        self.what = what
        self.place = place

    def __str__(self) -> str:
        place = self.place.removeprefix(".")
        return f"`{place}`: {self.what}" if place else self.what

    def within(self, place: str) -> UnwritableError:
        """Return it as what holds the value sees it."""
        return UnwritableError(self.what, place + self.place)


def dump(value: Any) -> bytes:
    """Write a value as JSON; raises one of `FAILURES`, which names the field."""
    try:
        plain = _plain(value)
        try:
            return _write(plain).encode()
        except UnicodeEncodeError:
            _refuse_halves(plain)
            raise
    except RecursionError:
        raise UnwritableError("it is nested too deeply, or holds itself") from None


def writer(_hint: Any) -> Any:
    """Return `dump`, which is the same for all types."""
    return dump


def _plain(value: Any) -> Any:
    match value:
        case enum.Enum():
            return _plain(value.value)
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
                raise UnwritableError(f"{name} is no number of JSON")
            return value
        case Mapping():
            return _entries((_key(key), entry) for key, entry in value.items())
        case list() | tuple() | set() | frozenset():
            return _items(value)
    text = _text(value)
    if text is not None:
        return text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _entries((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return _plain(_foreign(value))


def _entries(entries: Any) -> dict[str, Any]:
    plain = {}
    for key, entry in entries:
        try:
            plain[key] = _plain(entry)
        except UnwritableError as error:
            raise error.within(f".{key}") from None
    return plain


def _items(items: Any) -> list[Any]:
    plain = []
    for index, item in enumerate(items):
        try:
            plain.append(_plain(item))
        except UnwritableError as error:
            raise error.within(f"[{index}]") from None
    return plain


def _text(value: Any) -> str | None:
    """Return the text that stands for a value; `None` where it is nothing of the kind."""
    match value:
        case datetime.datetime() | datetime.date() | datetime.time():
            return _json_texts.write_time(value)
        case datetime.timedelta():
            return _json_texts.write_duration(value)
        case uuid.UUID() | decimal.Decimal():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
    return None


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__repr__(key)
    if isinstance(key, float):
        return _float_key(float(key))
    text = _text(key)
    if text is None:
        said = str(key) if isinstance(key, bool | None) else f"a `{type(key).__name__}`"
        raise UnwritableError(f"a map's keys are texts: {said} cannot be one")
    return text


def _float_key(key: float) -> str:
    """Write a number as msgspec does: as a key its spelling counts."""
    text = float.__repr__(key)
    if 1e-5 <= abs(key) < 1e-4:
        return f"{decimal.Decimal(text):f}"
    return re.sub(r"e([+-])0*", lambda sign: "e-" if sign[1] == "-" else "e", text)


def _foreign(value: Any) -> Any:
    """Turn what pydantic and msgspec know into JSON's own types."""
    if _pydantic.is_model(type(value)):
        return _pydantic.dump(value)
    if "msgspec" in sys.modules:
        import msgspec

        if isinstance(value, msgspec.Struct) or hasattr(value, "__attrs_attrs__"):
            return msgspec.to_builtins(value, enc_hook=_pydantic.dump)
    raise UnwritableError(_pydantic.unwritable(value))


def _refuse_halves(plain: Any) -> None:
    """Find the text that is none: half of a surrogate pair cannot be written."""
    match plain:
        case str():
            try:
                plain.encode()
            except UnicodeEncodeError:
                raise UnwritableError("a text holds half of a surrogate pair") from None
        case dict():
            for key, entry in plain.items():
                _refuse_halves(key)
                try:
                    _refuse_halves(entry)
                except UnwritableError as error:
                    raise error.within(f".{key}") from None
        case list():
            for index, item in enumerate(plain):
                try:
                    _refuse_halves(item)
                except UnwritableError as error:
                    raise error.within(f"[{index}]") from None
