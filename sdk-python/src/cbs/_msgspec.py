"""Reading and writing by msgspec, where it is installed: what `_json` does, ten times as fast.

`_json` is the rule. What msgspec refuses is asked there again, so that both take the same and say the
same. Types that only msgspec knows (`Struct`, constraints) are msgspec's alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from cbs import _defaults, _json, _json_dump, _pydantic
from cbs._errors import bad_request
from cbs._json_parse import parse, too_deep

FAILURES = (msgspec.MsgspecError, *_json_dump.FAILURES)
"""What `dump` raises for what JSON cannot hold."""

_write = msgspec.json.Encoder(enc_hook=_pydantic.dump).encode
_pack = msgspec.msgpack.Encoder(enc_hook=_pydantic.dump).encode

_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""A double of MessagePack that is NaN or infinite; other bytes may look like one, and cost only time."""

_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")


def dump(value: Any) -> bytes:
    """Write a value as JSON; raises one of `FAILURES`."""
    try:
        payload = _write(value)
        # For a number that JSON has not, msgspec writes null. (`in` takes twice the time of `find`.)
        if payload.find(b"null") < 0 or _NOT_FINITE.search(_pack(value)) is None:
            return payload
    except (*FAILURES, OverflowError):  # MessagePack has no integer beyond 64 bits
        pass
    return _json_dump.dump(value)


def writer(hint: Any) -> Callable[[Any], bytes]:
    """Return the `dump` for values of a type: msgspec passes over a field that a dataclass itself has set."""
    try:
        info = msgspec.inspect.type_info(hint)
    except TypeError:
        return dump
    has_own = _defaults.first(info, lambda part: _defaults.has_own(getattr(part, "cls", None)))
    return dump if has_own is None else _json_dump.dump


def decoder(hint: Any) -> Callable[..., Any]:
    """Return what reads JSON as this type; TypeError for a type that neither msgspec nor `_json` knows."""
    slow, unknown = _slow(hint)
    try:
        info = msgspec.inspect.type_info(hint)
        _refuse_unknown(info, hint)
        read = msgspec.json.Decoder(hint).decode
    except TypeError as error:
        if slow is None:
            raise error from unknown
        return slow
    if slow is not None and _defaults.first(info, _is_loose) is not None:
        return slow
    again = None if slow is None or _defaults.first(info, _is_constrained) is not None else slow

    def decode(payload: bytes, _content_type: str = "") -> Any:
        try:
            if not payload.isascii():
                payload.decode()  # msgspec does not look into what it passes over
            return read(payload or b"null")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            if again is not None:
                return again(payload)
            parse(payload)
            raise bad_request(*_place(str(error))) from None
        except RecursionError:
            raise too_deep() from None

    if not _defaults.has_plain(hint):
        return decode

    def decode_all(payload: bytes, _content_type: str = "") -> Any:
        value = decode(payload)
        try:
            _defaults.put_in(value)
        except RecursionError:
            raise too_deep() from None
        return value

    return decode_all


def _slow(hint: Any) -> tuple[Callable[..., Any] | None, Exception | None]:
    try:
        return _json.decoder(hint), None
    except (TypeError, NameError) as error:
        return None, error


def _is_constrained(part: Any) -> bool:
    return any(getattr(part, name, None) is not None for name in _CONSTRAINTS)


def _is_loose(part: Any) -> bool:
    """Whether msgspec takes more for a type than `_json` does: "nan" as a key, a field that nobody may give."""
    if isinstance(part, msgspec.inspect.DictType):
        return isinstance(part.key_type, msgspec.inspect.FloatType)
    return isinstance(part, msgspec.inspect.DataclassType) and _defaults.has_own(part.cls)


def _refuse_unknown(info: msgspec.inspect.Type, hint: Any) -> None:
    """Say at once what msgspec would say with the first call: a class that it cannot make."""
    unknown = _defaults.first(info, lambda part: isinstance(part, msgspec.inspect.CustomType))
    if unknown is not None:
        raise _json.unknown_type(unknown.cls, hint)


def _place(text: str) -> tuple[str, str]:
    """Split msgspec's message, ``Expected … - at `$.items[0].count` ``, into path and reason."""
    what, at, place = text.rpartition(" - at `")
    if not at:
        return ".", _lower(text)
    path = place.removesuffix("`")
    # Of a map's key it says: at `key` in `$.map`.
    _, of, container = path.partition("` in `")
    path = (container if of else path).removeprefix("$").removeprefix(".")
    return path or ".", f"a key: {_lower(what)}" if of else _lower(what)


def _lower(text: str) -> str:
    # A word of capitals, such as JSON, stays as it is.
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
