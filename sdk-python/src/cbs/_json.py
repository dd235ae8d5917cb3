"""A small typed JSON reader on the standard library: what cells use where msgspec is not installed.

It takes dataclasses, TypedDict, NamedTuple, enums, Literal, unions, lists, sets, tuples and maps of
these, JSON's own types, and as texts: datetime, date, time, timedelta, UUID, Decimal and bytes
(base64). It is the rule where msgspec is installed too, which only reads what it takes faster.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import math
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from cbs import _json_texts as _texts
from cbs._errors import bad_request
from cbs._json_dump import FAILURES, dump, writer
from cbs._json_parse import ExactFloat, parse, too_deep

__all__ = ["FAILURES", "decoder", "dump", "writer"]

Convert = Callable[[Any, str], Any]
"""Turns what `json` read into a value of a type; the path is for the message."""


class _MisfitError(Exception):
    """A value that does not fit: its path, and why; ``alien`` where it is of another kind of JSON altogether."""

    def __init__(self, path: str, what: str, *, alien: bool = False) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what
        self.alien = alien


def decoder(hint: Any) -> Callable[..., Any]:
    """Return what reads JSON as this type; TypeError for a type that it does not know."""
    kinds = _Types(hint)
    convert = kinds.of(hint)

    def decode(payload: bytes, _content_type: str = "") -> Any:
        try:
            return convert(parse(payload, exact=kinds.exact), "")
        except _MisfitError as misfit:
            raise bad_request(misfit.path.removeprefix(".") or ".", misfit.what) from None
        except RecursionError:
            raise too_deep() from None

    return decode


def unknown_type(kind: Any, hint: Any) -> TypeError:
    """Make the error for a type in a hint that nobody can read: its module is loaded, and says so at once."""
    name, whole = (getattr(part, "__qualname__", str(part)) for part in (kind, hint))
    within = "" if kind is hint else f", in `{whole}`,"
    return TypeError(
        f"`{name}`{within} is no type that JSON can be read as; write a dataclass, a TypedDict, a msgspec Struct or a "
        "pydantic model"
    )


_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    ExactFloat: "float",
    str: "str",
    list: "array",
    dict: "object",
}


def _expected(wanted: str, value: Any, path: str) -> _MisfitError:
    name = _NAMES.get(type(value), type(value).__name__)
    return _MisfitError(path, f"expected `{wanted}`, got `{name}`", alien=True)


class _Types:
    """The converters of one hint; those of classes are kept, for a class may hold itself."""

    def __init__(self, hint: Any) -> None:
        self.hint = hint
        self.classes: dict[Any, Convert] = {}
        self.exact = False
        """Whether a number's digits count: a `Decimal` keeps them all."""

    def of(self, hint: Any) -> Convert:  # one case a kind of type
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        self.exact = self.exact or hint is decimal.Decimal
        if origin is not None and origin in _WRAPPERS:
            return self.of(arguments[0])
        if origin in {typing.Union, types.UnionType}:
            return self._union(arguments)
        if origin is typing.Literal:
            return _literal(arguments)
        if isinstance(hint, typing.NewType):
            return self.of(hint.__supertype__)
        if hint is Any or hint is object:
            return self._any
        simple = _SIMPLE.get(hint)
        if simple is not None:
            return simple
        if origin is tuple and not arguments:
            return _fixed([])
        if isinstance(hint, typing.TypeVar):
            return self.of(Any if hint.__bound__ is None else hint.__bound__)
        container = origin or hint
        if container in _SEQUENCES:
            return self._sequence(_SEQUENCES[container], arguments)
        if container in _MAPPINGS:
            return self._mapping(arguments)
        if isinstance(container, type):
            return self._class(container, hint)
        raise unknown_type(container, self.hint)

    def _any(self, value: Any, path: str) -> Any:
        return _settle(value, path) if self.exact else value

    def _class(self, hint: type, whole: Any) -> Convert:
        """Return what makes a class; of a generic one, ``whole`` has its arguments."""
        known = self.classes.get(whole)
        if known is not None:
            return known
        made: list[Convert] = []
        # It may hold itself, and is not made yet: looked up when a value comes.
        self.classes[whole] = lambda value, path: made[0](value, path)  # noqa: PLW0108
        if issubclass(hint, enum.Enum):
            made.append(_enumeration(hint))
        elif dataclasses.is_dataclass(hint):
            made.append(self._dataclass(hint, whole))
        elif typing.is_typeddict(hint):
            made.append(self._typed_dict(hint, whole))
        elif issubclass(hint, tuple) and hasattr(hint, "_fields"):
            made.append(self._named_tuple(hint, whole))
        else:
            raise unknown_type(hint, self.hint)
        return made[0]

    def _dataclass(self, hint: type, whole: Any) -> Convert:
        hints = _hints(hint, whole)
        fields = [field for field in dataclasses.fields(hint) if field.init]
        converts = {field.name: self.of(hints[field.name]) for field in fields}
        missing = dataclasses.MISSING
        required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
        return _object(hint, converts, required)

    def _typed_dict(self, hint: type, whole: Any) -> Convert:
        hints = _hints(hint, whole)
        converts = {name: self.of(kind) for name, kind in hints.items()}
        # Hints that are texts (`from __future__ import annotations`) hide NotRequired from Python's own list.
        said = {typing.Required: True, typing.NotRequired: False}
        listed: frozenset[str] = getattr(hint, "__required_keys__", frozenset())
        required = [n for n, kind in hints.items() if said.get(typing.get_origin(kind), n in listed)]
        return _object(dict, converts, required)

    def _named_tuple(self, hint: Any, whole: Any) -> Convert:
        hints = _hints(hint, whole)
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
        item = self.of(arguments[0]) if arguments else self._any

        def convert(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise _expected("array", value, path)
            return make(item(entry, f"{path}[{index}]") for index, entry in enumerate(value))

        return convert

    def _mapping(self, arguments: tuple[Any, ...]) -> Convert:
        key_of, value_of = (
            (_key_of(arguments[0], self), self.of(arguments[1])) if arguments else (_exact(str), self._any)
        )

        def convert(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise _expected("object", value, path)
            return {key_of(key, path): value_of(entry, f"{path}[...]") for key, entry in value.items()}

        return convert

    def _union(self, arguments: tuple[Any, ...]) -> Convert:
        # An `int` is a `float` too, and both are a `Decimal`: asked first, they stay what they are.
        ordered = sorted(arguments, key=lambda argument: (argument is decimal.Decimal, argument is float))
        members = [(self.of(argument), _tags(argument)) for argument in ordered]
        names = " | ".join(_name_of(argument) for argument in arguments)

        def convert(value: Any, path: str) -> Any:
            misfits: list[_MisfitError] = []
            for member, tags in members:
                try:
                    return member(value, path)
                except _MisfitError as misfit:
                    if tags and _is_tagged(value, tags):
                        raise  # it says of itself that it is this one
                    misfits.append(misfit)
            near = [misfit for misfit in misfits if len(misfit.path) > len(path) or not misfit.alien]
            raise max(near, key=lambda misfit: len(misfit.path)) if near else _expected(names, value, path)

        return convert


def _hints(hint: type, whole: Any) -> dict[str, Any]:
    """Return the types of a class' fields; those of a generic class with its arguments put in."""
    hints = typing.get_type_hints(hint, include_extras=True)
    given = dict(zip(getattr(hint, "__parameters__", ()), typing.get_args(whole), strict=False))
    return {name: _filled(kind, given) for name, kind in hints.items()} if given else hints


def _filled(hint: Any, given: dict[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    open_ones = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(one, one) for one in open_ones)] if open_ones and typing.get_origin(hint) else hint


def _tags(hint: Any) -> dict[str, tuple[Any, ...]]:
    """Return the fields of a class by which it is told from others: those of one literal."""
    if not (dataclasses.is_dataclass(hint) or typing.is_typeddict(hint)):
        return {}
    hints = typing.get_type_hints(hint)
    return {name: typing.get_args(kind) for name, kind in hints.items() if typing.get_origin(kind) is typing.Literal}


def _is_tagged(value: Any, tags: dict[str, tuple[Any, ...]]) -> bool:
    return isinstance(value, dict) and all(name in value and value[name] in wanted for name, wanted in tags.items())


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


def _settle(value: Any, path: str) -> Any:
    """Make floats of the numbers that were read with all their digits."""
    match value:
        case ExactFloat():
            return _float(value, path)
        case list():
            return [_settle(entry, f"{path}[{index}]") for index, entry in enumerate(value)]
        case dict():
            return {key: _settle(entry, f"{path}[...]") for key, entry in value.items()}
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
    if type(value) in {int, ExactFloat}:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            raise _MisfitError(path, "number out of range")
        return number
    raise _expected("float", value, path)


def _text(name: str, form: str, read: Callable[[str], Any]) -> Convert:
    """Read a text: what it is to be, and what to call its form."""

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise _expected(name, value, path)
        try:
            return read(value)
        except (ValueError, ArithmeticError):
            raise _MisfitError(path, f"invalid {form}") from None

    return convert


def _decimal(value: Any, path: str) -> Any:
    if type(value) is int:
        return decimal.Decimal(value)
    if type(value) is ExactFloat:
        return decimal.Decimal(value.text)
    return _decimal_text(value, path)


def _key_of(hint: Any, kinds: _Types) -> Convert:
    """Read a map's key: a text, or what a text can stand for."""
    origin, inner = typing.get_origin(hint), hint
    while origin is typing.Annotated:
        inner = typing.get_args(inner)[0]
        origin = typing.get_origin(inner)
    read = _KEYS.get(inner)
    if read is None:
        read = kinds.of(inner)
        if origin is typing.Literal or (isinstance(inner, type) and issubclass(inner, enum.Enum)):
            read = _or_integer(read)

    def convert(key: Any, path: str) -> Any:
        try:
            return read(key, path)
        except _MisfitError as misfit:
            raise _MisfitError(misfit.path, f"a key: {misfit.what}", alien=misfit.alien) from None

    return convert


def _or_integer(read: Convert) -> Convert:
    def convert(key: Any, path: str) -> Any:
        try:
            return read(key, path)
        except _MisfitError:
            try:
                return read(_texts.read_integer(key), path)
            except (ValueError, _MisfitError):
                pass
            raise

    return convert


def _number_key(name: str, read: Callable[[str], Any]) -> Convert:
    def convert(key: Any, path: str) -> Any:
        try:
            number = read(key)
        except ValueError:
            raise _expected(name, key, path) from None
        if isinstance(number, float) and math.isinf(number):
            raise _MisfitError(path, "number out of range")
        return number

    return convert


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


def _name_of(hint: Any) -> str:
    """Return what a member of a union is called: by its kind of JSON, or the form of its text."""
    kind = typing.get_origin(hint) or hint
    if kind in _SEQUENCES:
        return "array"
    if kind in _MAPPINGS or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return "object"
    if kind in {typing.Annotated, typing.Literal, typing.Union, types.UnionType}:
        inner = typing.get_args(hint)[:1] if kind is typing.Annotated else typing.get_args(hint)
        literal = kind is typing.Literal
        return " | ".join(
            dict.fromkeys(_NAMES.get(type(part), "enum") if literal else _name_of(part) for part in inner)
        )
    name = getattr(kind, "__name__", str(hint))
    return _NAMES.get(kind) or _FORMS.get(name, name)


_FORMS = {"timedelta": "duration", "UUID": "uuid", "Decimal": "decimal", "bytearray": "bytes", "memoryview": "bytes"}

_decimal_text = _text("decimal", "decimal", decimal.Decimal)
_base64 = "base64 encoded string"

_SIMPLE: dict[Any, Convert] = {
    None: _exact(type(None)),
    type(None): _exact(type(None)),
    bool: _exact(bool),
    int: _exact(int),
    float: _float,
    str: _exact(str),
    bytes: _text("bytes", _base64, _texts.read_bytes),
    bytearray: _text("bytes", _base64, lambda text: bytearray(_texts.read_bytes(text))),
    memoryview: _text("bytes", _base64, lambda text: memoryview(_texts.read_bytes(text))),
    datetime.datetime: _text("datetime", "RFC3339 encoded datetime", _texts.read_datetime),
    datetime.date: _text("date", "RFC3339 encoded date", _texts.read_date),
    datetime.time: _text("time", "RFC3339 encoded time", _texts.read_time),
    datetime.timedelta: _text("duration", "ISO8601 duration", _texts.read_duration),
    uuid.UUID: _text("uuid", "UUID", _texts.read_uuid),
    decimal.Decimal: _decimal,
}

_KEYS: dict[Any, Convert] = {
    int: _number_key("int", _texts.read_integer),
    float: _number_key("float", _texts.read_float),
}

_SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
    collections.abc.MutableSequence: list,
}

_WRAPPERS = {typing.Annotated, typing.Required, typing.NotRequired, typing.Final, getattr(typing, "ReadOnly", None)}

_MAPPINGS = {dict, collections.abc.Mapping, collections.abc.MutableMapping}
