"""Pydantic's models as input and output, where pydantic is installed. It is imported only when a model is met."""

from __future__ import annotations

import dataclasses
import math
import sys
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from cbs._errors import CellError, bad_request


def holds(hint: Any) -> bool:
    """Whether a hint is, or names somewhere in it, a model of pydantic."""
    return "pydantic" in sys.modules and _search(hint, set())


def _search(hint: Any, seen: set[Any]) -> bool:
    if not isinstance(hint, type) or typing.get_origin(hint) is not None:
        return any(_search(part, seen) for part in typing.get_args(hint))
    if is_model(hint):
        return True
    if hint in seen or not (dataclasses.is_dataclass(hint) or typing.is_typeddict(hint) or hasattr(hint, "_fields")):
        return False
    seen.add(hint)
    try:
        parts = typing.get_type_hints(hint)
    except Exception:  # noqa: BLE001 - whoever is to read the type says what is wrong with it
        return False
    return any(_search(part, seen) for part in parts.values())


def is_model(hint: type) -> bool:
    """Whether a class is one that pydantic reads and writes."""
    # A model brings pydantic with it: whoever has none installed has none of these either.
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and (issubclass(hint, pydantic.BaseModel) or hasattr(hint, "__pydantic_core_schema__"))


def decoder(hint: Any, check: Callable[[bytes], Any]) -> Callable[..., Any]:
    """Return what reads JSON as this type; ``check`` refuses what is no JSON, of which pydantic takes more."""
    import pydantic

    read: Callable[[bytes], Any] = pydantic.TypeAdapter(hint).validate_json

    def decode(payload: bytes, _content_type: str = "") -> Any:
        check(payload)
        try:
            return read(payload or b"null")
        except pydantic.ValidationError as error:
            raise _first(error.errors(include_url=False, include_context=False, include_input=False)) from None

    return decode


def _first(errors: list[Any]) -> CellError:
    first = errors[0]
    location, what = list(first["loc"]), first["msg"]
    if first["type"] == "missing" and location:
        # As the other readers say it: the place is the object that lacks the field.
        what = f"object missing required field `{location.pop()}`"
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    what = what if what[1:2].isupper() else what[:1].lower() + what[1:]
    return bad_request(path.removeprefix(".") or ".", what + more)


@lru_cache(maxsize=256)
def _adapter(model: Any) -> Any:
    import pydantic

    return pydantic.TypeAdapter(model)


def dump(value: Any) -> Any:
    """Turn a model into what JSON has types for; TypeError for anything else."""
    kind: Any = type(value)
    if not is_model(kind):
        raise TypeError(unwritable(value))
    # By alias, for that is how it is read.
    written = _adapter(kind).dump_python(value, mode="json", by_alias=True)
    if _holds(written, lambda part: part is None):
        # Pydantic makes null of a NaN that stands deep in it. Whoever writes the values as they are refuses it.
        values = _adapter(kind).dump_python(value, by_alias=True)
        if _holds(values, lambda part: isinstance(part, float) and not math.isfinite(part)):
            return values
    return written


def _holds(value: Any, fits: Callable[[Any], bool]) -> bool:
    """Whether a value is such a one, or has one in it."""
    if isinstance(value, Mapping):
        return any(_holds(part, fits) for part in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_holds(part, fits) for part in value)
    return fits(value)


def unwritable(value: object) -> str:
    """Say why a value cannot be written, and what to write in its place."""
    text = f"`{type(value).__name__}` is nothing that JSON can hold"
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        # Of numpy, pandas, PyTorch and their kin.
        method = "tolist" if getattr(value, "shape", ()) else "item"
        text += f"; write the `.{method}()` of it"
    return text
