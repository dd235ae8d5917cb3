"""Fields of dataclasses that msgspec leaves out.

What a dataclass' plain default says, msgspec does not write into an instance that it reads: the
class' attribute answers for it, but writing the instance again passes over the field. A cell that
hands on what it was given would lose it. So it is put in, where a type has such classes.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import msgspec


def has_plain(hint: Any) -> bool:
    """Whether a type is, or names somewhere in it, a dataclass with a plain default."""
    return _search(msgspec.inspect.type_info(hint), set())


def _search(info: Any, seen: set[int]) -> bool:
    if isinstance(info, tuple | list):
        return any(_search(part, seen) for part in info)
    if not isinstance(info, msgspec.Struct) or id(info) in seen:
        return False
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.DataclassType) and _plain(info.cls):
        return True
    return any(_search(getattr(info, name), seen) for name in info.__struct_fields__)


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
