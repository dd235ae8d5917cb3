"""Fields of dataclasses that msgspec leaves out.

What a dataclass' plain default says, msgspec does not write into an instance that it reads: the
class' attribute answers for it, but writing the instance again passes over the field. A cell that
hands on what it was given would lose it. So it is put in, where a type has such classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec


def has_plain(hint: Any) -> bool:
    """Whether a type is, or names somewhere in it, a dataclass with a plain default."""
    info = msgspec.inspect.type_info(hint)
    return (
        first(info, lambda part: isinstance(part, msgspec.inspect.DataclassType) and bool(_plain(part.cls))) is not None
    )


def first(info: Any, fits: Callable[[Any], bool]) -> Any:
    """Return the first part of what `msgspec.inspect` tells of a type that fits, itself included, or `None`."""
    seen, ahead = set[int](), [info]
    while ahead:
        part = ahead.pop()
        if isinstance(part, tuple | list):
            ahead += reversed(part)
        elif isinstance(part, msgspec.Struct) and id(part) not in seen:
            seen.add(id(part))
            if fits(part):
                return part
            # What a field's default is, is no part of the type.
            ahead += [
                getattr(part, name) for name in part.__struct_fields__ if name not in {"default", "default_factory"}
            ]
    return None


def has_own(kind: Any) -> bool:
    """Whether a class is a dataclass with a field that nobody gives it: ``init=False``."""
    return dataclasses.is_dataclass(kind) and not all(field.init for field in dataclasses.fields(kind))


@lru_cache(maxsize=256)
def _plain(kind: type) -> tuple[tuple[str, Any], ...]:
    if not dataclasses.is_dataclass(kind):
        return ()
    fields = dataclasses.fields(kind)
    return tuple((field.name, field.default) for field in fields if field.default is not dataclasses.MISSING)


def put_in(value: Any) -> None:
    """Put the plain defaults into all dataclasses of a value that msgspec has just read."""
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return
        case list() | tuple() | set() | frozenset():
            for part in value:
                put_in(part)
        case dict():
            for part in value.values():
                put_in(part)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                put_in(getattr(value, name))
        case _ if dataclasses.is_dataclass(value):
            fields = getattr(value, "__dict__", None)
            if fields is not None:
                for name, default in _plain(value.__class__):
                    fields.setdefault(name, default)
                for part in fields.values():
                    put_in(part)
