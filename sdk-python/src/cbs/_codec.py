"""From bytes to values of a type and back: by pydantic for its models, by msgspec where it is installed, else by ours.

A payload is JSON; a parameter or a result of type ``bytes`` is the payload itself. What reads a
type is made once and kept.
"""

from __future__ import annotations

import importlib.util
import json
import typing
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

from cbs import _json, _pydantic
from cbs._errors import CellError, EncodeError

Decode = Callable[..., Any]
"""(payload, content type = "") -> value; raises `CellError` ``bad-request``."""
Encode = Callable[[Any], "tuple[bytes, str]"]
"""value -> (payload, content type; empty means JSON); raises `EncodeError`."""

BYTES_TYPE = "application/octet-stream"
"""The content type of a result that is bytes."""


def _engine() -> ModuleType:
    if importlib.util.find_spec("msgspec") is None:
        return _json
    from cbs import _msgspec

    return _msgspec


_ENGINE = _engine()
_dump: Callable[[Any], bytes] = _ENGINE.dump
_failures: tuple[type[Exception], ...] = _ENGINE.FAILURES


def decoder_of(hint: Any) -> Decode:
    """Return what reads a payload as a value of this type; `None` and `Any` mean JSON's own types.

    Raises TypeError for a hint that nobody can read.
    """
    try:
        return _kept_decoder(hint)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _decoder(hint)


def encoder_of(hint: Any) -> Encode:
    """Return what writes a value of this type, and refuses what is none.

    An instance of a hinted class is taken at its word; anything else is read back to see whether it fits.
    """
    if hint is bytes:
        return _encode_bytes
    if hint is None or hint is Any or hint is object:
        return encode_any
    exact = hint if _is_plain(hint) else None
    # Of JSON's own types a subclass is another thing: `True` is no int.
    alike = exact if exact is not None and exact.__module__ != "builtins" else ()
    read, write = decoder_of(hint), _ENGINE.writer(hint)

    def encode(value: Any) -> tuple[bytes, str]:
        try:
            payload = write(value)
        except _failures as error:
            raise _unwritable("the result", value, error) from None
        if type(value) is not exact and not isinstance(value, alike):
            try:
                read(payload)
            except CellError as error:
                raise EncodeError(f"the result does not fit `{_name(hint)}`: {error.message}") from None
        return payload, ""

    return encode


def encode_any(value: Any, what: str = "the result") -> tuple[bytes, str]:
    """Write any value that JSON can hold; bytes are the payload itself. ``what`` it is, is for the message."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), BYTES_TYPE
    try:
        return _dump(value), ""
    except _failures as error:
        raise _unwritable(what, value, error) from None


def checked(error: CellError) -> CellError:
    """Return an error as it crosses the wire, its details as JSON's own types.

    Raises EncodeError for one that cannot: its host answers ``cell-failed`` in its place.
    """
    try:
        if type(error.message) is not str or type(error.retryable) is not bool:
            raise TypeError("its message is to be a text, and `retryable` a bool")
        text = _dump(error.data())
    except Exception as wrong:  # noqa: BLE001 - its parts are whatever the cell put there
        name = getattr(error, "code", type(error).__name__)
        raise EncodeError(f"the CellError `{name}` cannot be sent: {wrong}") from error
    if error.details is not None:
        error.details = json.loads(text)["details"]
    return error


def is_json(content_type: str) -> bool:
    """Whether a content type says JSON; an empty one does."""
    return not content_type or content_type.partition(";")[0].strip().lower().endswith(("/json", "+json"))


def _encode_bytes(value: Any) -> tuple[bytes, str]:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise EncodeError(f"the result is no bytes but `{type(value).__name__}`")
    return bytes(value), BYTES_TYPE


@lru_cache(maxsize=256)
def _kept_decoder(hint: Any) -> Decode:
    return _decoder(hint)


def _decoder(hint: Any) -> Decode:
    if hint is bytes:
        return _decode_bytes
    if hint is None or hint is object:
        hint = Any
    if _pydantic.holds(hint):
        return _pydantic.decoder(hint, _ENGINE.decoder(Any))
    made: Decode = _ENGINE.decoder(hint)
    return made


def _decode_bytes(payload: bytes, _content_type: str = "") -> bytes:
    return payload


def _is_plain(hint: Any) -> bool:
    """Whether a hint is a class whose instances tell by themselves what they are."""
    return isinstance(hint, type) and not typing.is_typeddict(hint) and typing.get_origin(hint) is None


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _unwritable(what: str, value: Any, error: Exception) -> EncodeError:
    if hasattr(value, "__await__"):
        close = getattr(value, "close", None)
        if close is not None:
            close()  # else Python warns of one that nobody awaited
        return EncodeError(f"{what} is a coroutine: await it; a cell, or what decorates one, is to be an `async def`")
    return EncodeError(f"{what} is no JSON: {error}")
