"""Reading and writing by msgspec, where it is installed. Same shape as `_json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cbs import _defaults, _pydantic
from cbs._errors import bad_request

FAILURES = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)
"""What `dump` raises for what JSON cannot hold."""

dump: Callable[[Any], bytes] = msgspec.json.Encoder(enc_hook=_pydantic.dump).encode
"""Writes a value as JSON; raises one of `FAILURES`."""

_Failure = msgspec.MsgspecError


def decoder(hint: Any) -> Callable[..., Any]:
    """Return what reads JSON as this type; TypeError for a type that msgspec does not know."""
    _refuse_unknown(msgspec.inspect.type_info(hint), hint)
    read = msgspec.json.Decoder(hint).decode

    def decode(payload: bytes, _content_type: str = "") -> Any:
        try:
            return read(payload or b"null")
        except _Failure as error:
            raise bad_request(*_place(str(error))) from None
        except RecursionError:
            raise bad_request(".", "JSON is malformed: it is nested too deeply") from None

    if not _defaults.has_plain(hint):
        return decode

    def decode_all(payload: bytes, _content_type: str = "") -> Any:
        value = decode(payload)
        try:
            _defaults.put_in(value)
        except RecursionError:
            raise bad_request(".", "JSON is malformed: it is nested too deeply") from None
        return value

    return decode_all


def _refuse_unknown(info: msgspec.inspect.Type, hint: Any) -> None:
    """Say at once what msgspec would say with the first call: a class that it cannot make."""
    unknown = _defaults.first(info, lambda part: isinstance(part, msgspec.inspect.CustomType))
    if unknown is not None:
        name = getattr(unknown.cls, "__qualname__", unknown.cls)
        within = (
            "" if isinstance(info, msgspec.inspect.CustomType) else f", in `{getattr(hint, '__qualname__', hint)}`,"
        )
        raise TypeError(
            f"`{name}`{within} is no type that JSON can be read as; write a dataclass, a TypedDict, a msgspec Struct "
            "or a pydantic model"
        )


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
