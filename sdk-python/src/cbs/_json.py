"""A small typed JSON reader on the standard library: what cells use where msgspec is not installed.

It takes dataclasses, TypedDict, NamedTuple, enums, Literal, unions, lists, sets, tuples and maps of
these, JSON's own types, and as texts: datetime, date, time, UUID, Decimal and bytes (base64). Its
messages are msgspec's, so that a caller cannot tell.
"""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import math
import re
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from cbs._errors import CellError, bad_request
from cbs._json_dump import FAILURES, dump

__all__ = ["FAILURES", "decoder", "dump"]

Convert = Callable[[Any, str], Any]
"""Turns what `json` read into a value of a type; the path is for the message."""


class _MisfitError(Exception):
    """A value that does not fit: its path, and why."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what


def decoder(hint: Any) -> Callable[[bytes], Any]:
    """Return what reads JSON as this type; TypeError for a type that it does not know."""
    convert = _Types().of(hint)

    def decode(payload: bytes, _content_type: str = "") -> Any:
        try:
            return convert(_parse(payload), "")
        except _MisfitError as misfit:
            raise bad_request(misfit.path.removeprefix(".") or ".", misfit.what) from None
        except RecursionError:
            raise _too_deep() from None

    return decode


def _parse(payload: bytes) -> Any:
    if not payload:
        return None
    try:
        return _whole(_read(payload.decode()), payload)
    except UnicodeEncodeError:
        raise bad_request(".", "JSON is malformed: half of a surrogate pair") from None
    except UnicodeDecodeError:
        raise bad_request(".", "it is not UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise bad_request(".", f"JSON is malformed: {str(error)[:1].lower()}{str(error)[1:]}") from None


def _whole(value: Any, payload: bytes) -> Any:
    """Refuse half of a surrogate pair: it is no text, and nobody could write it again."""
    if b"\\ud" in payload or b"\\uD" in payload:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _MisfitError("", "number out of range")
    return number


def _too_deep() -> CellError:
    return bad_request(".", "JSON is malformed: it is nested too deeply")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_read = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite).decode

_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "array",
    dict: "object",
}


def _expected(wanted: str, value: Any, path: str) -> _MisfitError:
    return _MisfitError(path, f"expected `{wanted}`, got `{_NAMES.get(type(value), type(value).__name__)}`")


class _Types:
    """The converters of one hint; those of classes are kept, for a class may hold itself."""

    def __init__(self) -> None:
        self.classes: dict[Any, Convert] = {}

    def of(self, hint: Any) -> Convert:  # one case a kind of type
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is not None and origin in _WRAPPERS:
            return self.of(arguments[0])
        if origin in {typing.Union, types.UnionType}:
            return self._union(arguments)
        if origin is typing.Literal:
            return _literal(arguments)
        if isinstance(hint, typing.NewType):
            return self.of(hint.__supertype__)
        simple = _SIMPLE.get(hint)
        if simple is not None:
            return simple
        container = origin or hint
        if container in _SEQUENCES:
            return self._sequence(_SEQUENCES[container], arguments)
        if container in _MAPPINGS:
            return self._mapping(arguments)
        if isinstance(hint, type):
            return self._class(hint)
        raise TypeError(f"`{hint}` is no type that can be read; msgspec or pydantic, installed, know more types")

    def _class(self, hint: type) -> Convert:
        known = self.classes.get(hint)
        if known is not None:
            return known
        made: list[Convert] = []
        # It may hold itself, and is not made yet: looked up when a value comes.
        self.classes[hint] = lambda value, path: made[0](value, path)  # noqa: PLW0108
        if issubclass(hint, enum.Enum):
            made.append(_enumeration(hint))
        elif dataclasses.is_dataclass(hint):
            made.append(self._dataclass(hint))
        elif typing.is_typeddict(hint):
            made.append(self._typed_dict(hint))
        elif issubclass(hint, tuple) and hasattr(hint, "_fields"):
            made.append(self._named_tuple(hint))
        else:
            raise TypeError(
                f"`{hint.__qualname__}` is no type that JSON can be read as; write a dataclass or a TypedDict, or "
                "install msgspec or pydantic"
            )
        return made[0]

    def _dataclass(self, hint: type) -> Convert:
        hints = typing.get_type_hints(hint, include_extras=True)
        fields = [field for field in dataclasses.fields(hint) if field.init]
        converts = {field.name: self.of(hints[field.name]) for field in fields}
        missing = dataclasses.MISSING
        required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
        return _object(hint, converts, required)

    def _typed_dict(self, hint: type) -> Convert:
        hints = typing.get_type_hints(hint, include_extras=True)
        converts = {name: self.of(kind) for name, kind in hints.items()}
        # Hints that are texts (`from __future__ import annotations`) hide NotRequired from Python's own list.
        said = {typing.Required: True, typing.NotRequired: False}
        listed: frozenset[str] = getattr(hint, "__required_keys__", frozenset())
        required = [n for n, kind in hints.items() if said.get(typing.get_origin(kind), n in listed)]
        return _object(dict, converts, required)

    def _named_tuple(self, hint: Any) -> Convert:
        hints = typing.get_type_hints(hint)
        converts = [self.of(hints.get(name, Any)) for name in hint._fields]

        def convert(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise _expected("array", value, path)
            least, most = len(converts) - len(hint._field_defaults), len(converts)
            if not least <= len(value) <= most:
                raise _MisfitError(path, f"expected `array` of length {most}")
            return hint(
                *(convert(v, f"{path}[{i}]") for i, (convert, v) in enumerate(zip(converts, value, strict=False)))
            )

        return convert

    def _sequence(self, make: Callable[[Any], Any], arguments: tuple[Any, ...]) -> Convert:
        if make is tuple and arguments and arguments[-1] is not Ellipsis:
            return _fixed([self.of(argument) for argument in arguments])
        item = self.of(arguments[0]) if arguments else _any

        def convert(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise _expected("array", value, path)
            return make(item(entry, f"{path}[{index}]") for index, entry in enumerate(value))

        return convert

    def _mapping(self, arguments: tuple[Any, ...]) -> Convert:
        key_of, value_of = (_key_of(arguments[0], self), self.of(arguments[1])) if arguments else (_any, _any)

        def convert(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise _expected("object", value, path)
            return {key_of(key, path): value_of(entry, f"{path}[...]") for key, entry in value.items()}

        return convert

    def _union(self, arguments: tuple[Any, ...]) -> Convert:
        # An `int` is a `float` too: asked first, it stays one.
        members = [self.of(argument) for argument in sorted(arguments, key=lambda argument: argument is float)]

        def convert(value: Any, path: str) -> Any:
            deepest: _MisfitError | None = None
            for member in members:
                try:
                    return member(value, path)
                except _MisfitError as misfit:
                    if deepest is None or len(misfit.path) > len(deepest.path):
                        deepest = misfit
            assert deepest is not None  # noqa: S101 - a union has members
            if len(deepest.path) > len(path):
                raise deepest
            names = " | ".join(_name_of(argument) for argument in arguments)
            raise _expected(names, value, path)

        return convert


def _object(make: Callable[..., Any], converts: Mapping[str, Convert], required: list[str]) -> Convert:
    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _expected("object", value, path)
        found: dict[str, Any] = {}
        for key, entry in value.items():
            field = converts.get(key)
            if field is not None:
                found[key] = field(entry, f"{path}.{key}")
        for name in required:
            if name not in found:
                raise _MisfitError(path, f"object missing required field `{name}`")
        try:
            return make(**found)
        except (TypeError, ValueError) as error:  # a `__post_init__` that refuses
            raise _MisfitError(path, str(error)) from None

    return convert


def _any(value: Any, _: str) -> Any:
    return value


def _exact(wanted: type) -> Convert:
    name = _NAMES[wanted]

    def convert(value: Any, path: str) -> Any:
        if type(value) is not wanted:
            raise _expected(name, value, path)
        return value

    return convert


def _float(value: Any, path: str) -> Any:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise _MisfitError(path, "number out of range") from None
    raise _expected("float", value, path)


def _text(name: str, read: Callable[[str], Any], form: str = ".*") -> Convert:
    """Read a text of this form, a pattern: Python's own readers take more than others do."""
    matches = re.compile(form, re.ASCII | re.DOTALL).fullmatch

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise _expected(name, value, path)
        if matches(value) is None:
            raise _MisfitError(path, f"invalid {name}")
        try:
            return read(value)
        except (ValueError, ArithmeticError):
            raise _MisfitError(path, f"invalid {name}") from None

    return convert


def _decimal(value: Any, path: str) -> Any:
    if type(value) in {int, float}:
        return decimal.Decimal(str(value))
    return _text("decimal", decimal.Decimal)(value, path)


def _literal(values: tuple[Any, ...]) -> Convert:
    def convert(value: Any, path: str) -> Any:
        for wanted in values:
            if type(value) is type(wanted) and value == wanted:
                return value
        raise _MisfitError(path, f"invalid enum value {value!r}")

    return convert


def _enumeration(hint: type[enum.Enum]) -> Convert:
    def convert(value: Any, path: str) -> Any:
        try:
            found = hint(value)
        except ValueError:
            raise _MisfitError(path, f"invalid enum value {value!r}") from None
        if isinstance(value, bool | float) and type(value) is not type(found.value):
            # Python says that `True` and `1.0` are 1.
            raise _expected(_NAMES.get(type(found.value), "enum"), value, path)
        return found

    return convert


def _fixed(items: list[Convert]) -> Convert:
    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _expected("array", value, path)
        if len(value) != len(items):
            raise _MisfitError(path, f"expected `array` of length {len(items)}")
        return tuple(item(entry, f"{path}[{i}]") for i, (item, entry) in enumerate(zip(items, value, strict=True)))

    return convert


def _key_of(hint: Any, kinds: _Types) -> Convert:
    if hint in {int, float}:
        return _text(_NAMES[hint], hint)
    return kinds.of(hint)


def _name_of(hint: Any) -> str:
    if isinstance(hint, type):
        return _NAMES.get(
            hint, "object" if dataclasses.is_dataclass(hint) or typing.is_typeddict(hint) else hint.__name__
        )
    return str(hint)


_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)?"
_UUID = r"[0-9A-Fa-f]{8}(-?)[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{4}\1[0-9A-Fa-f]{12}"

_SIMPLE: dict[Any, Convert] = {
    Any: _any,
    object: _any,
    None: _exact(type(None)),
    type(None): _exact(type(None)),
    bool: _exact(bool),
    int: _exact(int),
    float: _float,
    str: _exact(str),
    bytes: _text("base64 encoded string", lambda text: base64.b64decode(text, validate=True)),
    datetime.datetime: _text("RFC3339 encoded datetime", datetime.datetime.fromisoformat, f"{_DATE}[Tt ]{_TIME}"),
    datetime.date: _text("RFC3339 encoded date", datetime.date.fromisoformat, _DATE),
    datetime.time: _text("RFC3339 encoded time", datetime.time.fromisoformat, _TIME),
    uuid.UUID: _text("UUID", uuid.UUID, _UUID),
    decimal.Decimal: _decimal,
}

_SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: frozenset,
}

_WRAPPERS = {typing.Annotated, typing.Required, typing.NotRequired, typing.Final, getattr(typing, "ReadOnly", None)}

_MAPPINGS = {dict, collections.abc.Mapping, collections.abc.MutableMapping}
