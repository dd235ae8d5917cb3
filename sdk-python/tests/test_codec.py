"""Reading and writing by type: the same values and the same messages with and without msgspec."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import subprocess
import sys
import typing
import uuid
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

import cbs
from cbs import _json, _msgspec
from cbs._codec import decoder_of, encoder_of

ENGINES = [_json, _msgspec]
engines = pytest.mark.parametrize("engine", ENGINES, ids=["stdlib", "msgspec"])


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Point(NamedTuple):
    x: int
    y: int = 0


class Item(TypedDict):
    sku: str
    count: NotRequired[int]


@dataclass
class Node:
    value: int
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclass
class Order:
    items: list[Item]
    size: Size = Size.SMALL
    notes: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    unit: Literal["kg", "g"] = "kg"
    weight: float = 0.0
    by: int | str | None = None
    at: tuple[int, int] = (0, 0)


@dataclass
class Times:
    moment: datetime.datetime
    day: datetime.date
    time: datetime.time
    identity: uuid.UUID
    price: decimal.Decimal
    data: bytes
    tags: set[str]


TIMES = (
    b'{"moment":"2026-11-20T10:00:00Z","day":"2026-11-20","time":"10:00:00","identity":'
    b'"01937f00-1234-7abc-8def-0123456789ab","price":"1.10","data":"aGk=","tags":["a"]}'
)

FITTING: list[tuple[Any, bytes, Any]] = [
    (Order, b'{"items":[{"sku":"a","count":2}]}', Order([Item(sku="a", count=2)])),
    (Order, b'{"items":[],"size":"l","weight":3,"by":"x","more":1}', Order([], Size.LARGE, {}, "kg", 3.0, "x")),
    (Node, b'{"value":1,"children":[{"value":2}]}', Node(1, [Node(2)])),
    (Point, b"[1]", Point(1)),
    (Point, b"[1,2]", Point(1, 2)),
    (list[int], b"[1,2]", [1, 2]),
    (tuple[int, ...], b"[1,2]", (1, 2)),
    (dict[int, str], b'{"1":"a"}', {1: "a"}),
    (int | None, b"", None),
    (Any, b'{"a":[true,false]}', {"a": [True, False]}),
    (float, b"2", 2.0),
    (str, '"Zoë 🦀"'.encode(), "Zoë 🦀"),
    (typing.Annotated[int, "units"], b"7", 7),
]  # fmt: skip


@engines
@pytest.mark.parametrize(("hint", "payload", "value"), FITTING, ids=lambda part: str(part)[:40])
def test_what_fits_is_read(engine: ModuleType, hint: Any, payload: bytes, value: Any) -> None:
    read = engine.decoder(hint)(payload)
    assert read == value
    assert type(read) is type(value)


@engines
def test_texts_become_times_and_numbers_and_back(engine: ModuleType) -> None:
    read = engine.decoder(Times)(TIMES)
    assert read.moment == datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    assert (read.price, read.data, read.tags) == (decimal.Decimal("1.10"), b"hi", {"a"})
    assert engine.dump(read) == TIMES


MISFITS: list[tuple[Any, bytes, str, str]] = [
    (Order, b'{"items":[{"sku":1}]}', "items[0].sku", "expected `str`, got `int`"),
    (Order, b'{"items":[{}]}', "items[0]", "object missing required field `sku`"),
    (Order, b"{}", ".", "object missing required field `items`"),
    (Order, b"[]", ".", "expected `object`, got `array`"),
    (Order, b"", ".", "expected `object`, got `null`"),
    (Order, b'{"items":[],"notes":{"a":[""]}}', "notes[...][0]", "expected `int`, got `str`"),
    (Node, b'{"value":1,"children":[{"value":"x"}]}', "children[0].value", "expected `int`, got `str`"),
    (int, b"1.0", ".", "expected `int`, got `float`"),
    (int, b"true", ".", "expected `int`, got `bool`"),
    (list[str], b"{}", ".", "expected `array`, got `object`"),
    (Order, b'"\xff"', ".", ""),
    (Order, b'{"items"', ".", ""),
    (Order, b'{"items":[],"size":"x"}', "size", "invalid enum value 'x'"),
    (Order, b'{"items":[],"unit":"x"}', "unit", "invalid enum value 'x'"),
    (Order, b'{"items":[],"at":[1]}', "at", "expected `array` of length 2"),
    (Times, TIMES.replace(b"2026-11-20T10", b"yesterday"), "moment", ""),
    (Times, TIMES.replace(b"01937f00", b"x"), "identity", "invalid UUID"),
]


@engines
@pytest.mark.parametrize(("hint", "payload", "path", "what"), MISFITS, ids=lambda part: str(part)[:40])
def test_what_does_not_fit_says_where(engine: ModuleType, hint: Any, payload: bytes, path: str, what: str) -> None:
    with pytest.raises(cbs.CellError) as raised:
        engine.decoder(hint)(payload)
    error = raised.value
    place = "the payload" if path == "." else f"`{path}`"
    assert (error.code, error.details) == ("bad-request", {"path": path})
    assert error.message.startswith(f"{place}: {what}"), error.message


@engines
@pytest.mark.parametrize(
    ("hint", "payload"),
    [(Size, b'"' + b"x" * 100_000 + b'"'), (dict[str, Order], b'{"' + b"x" * 100_000 + b'":7}'), (Item, b'{"sku":[]}')],
)
def test_an_error_is_short_however_long_the_payload(engine: ModuleType, hint: Any, payload: bytes) -> None:
    with pytest.raises(cbs.CellError) as raised:
        engine.decoder(hint)(payload)
    assert len(json.dumps(raised.value.data())) < 2_000


@engines
def test_a_text_that_is_nested_without_end_is_refused(engine: ModuleType) -> None:
    with pytest.raises(cbs.CellError) as raised:
        engine.decoder(Any)(b"[" * 200_000)
    assert raised.value.code == "bad-request"


@engines
@pytest.mark.parametrize("value", [object(), {1: object()}, [lambda: None], {(1, 2): 3}], ids=str)
def test_what_json_cannot_hold_is_refused(engine: ModuleType, value: Any) -> None:
    with pytest.raises(engine.FAILURES):
        engine.dump(value)


@engines
def test_a_value_that_holds_itself_is_refused(engine: ModuleType) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(engine.FAILURES):
        engine.dump(endless)


@engines
def test_what_is_written_is_what_was_read(engine: ModuleType) -> None:
    order = Order([{"sku": "ü"}], Size.LARGE, {"a": [1]}, "g", 1.5, None, (1, 2))
    assert engine.decoder(Order)(engine.dump(order)) == order


@engines
def test_what_is_handed_on_loses_no_default(engine: ModuleType) -> None:
    read = engine.decoder(list[Order])(b'[{"items":[]}]')
    assert json.loads(engine.dump(read))[0] == {
        "items": [], "size": "s", "notes": {}, "unit": "kg", "weight": 0.0, "by": None, "at": [0, 0],
    }  # fmt: skip


def test_an_unknown_type_is_refused_when_it_is_met() -> None:
    class Custom:
        pass

    for engine in ENGINES:
        with pytest.raises(TypeError, match="Custom` is no type that JSON can be read as"):
            engine.decoder(Custom)


class Name(msgspec.Struct):
    name: str


class Person(pydantic.BaseModel):
    name: str
    tags: list[int] = []


def test_a_models_mistakes_have_the_same_form() -> None:
    read = decoder_of(Person)
    assert read(b'{"name":"Ada"}') == Person(name="Ada")
    for payload, message, path in [
        (b'{"name":1}', "`name`: input should be a valid string", "name"),
        (b'{"name":"a","tags":[1,"x"]}', "`tags[1]`: input should be a valid integer", "tags[1]"),
        (b"{}", "the payload: object missing required field `name`", "."),
        (b"{", "the payload: JSON is malformed: expecting property name", "."),
        (b'{"name":1,"tags":2}', "`name`: input should be a valid string (and 1 more)", "name"),
    ]:
        with pytest.raises(cbs.CellError) as raised:
            read(payload)
        assert raised.value.message.startswith(message), raised.value.message
        assert raised.value.details == {"path": path}


def test_models_may_stand_in_other_types() -> None:
    assert decoder_of(list[Person])(b'[{"name":"Ada"}]') == [Person(name="Ada")]
    assert encoder_of(list[Person])([Person(name="Ada")]) == (b'[{"name":"Ada","tags":[]}]', "")
    assert encoder_of(Person)(Person(name="Ada")) == (b'{"name":"Ada","tags":[]}', "")
    for engine in ENGINES:
        assert json.loads(engine.dump({"person": Person(name="Ada")})) == {"person": {"name": "Ada", "tags": []}}


class Aliased(pydantic.BaseModel):
    first_name: str = pydantic.Field(alias="firstName")


@dataclass
class Team:
    head: Aliased
    people: list[Aliased] = dataclasses.field(default_factory=list)


def test_models_are_written_as_they_are_read() -> None:
    text = b'{"firstName":"Ada"}'
    assert encoder_of(Aliased)(decoder_of(Aliased)(text)) == (text, "")


def test_models_may_stand_in_dataclasses() -> None:
    text = b'{"head":{"firstName":"Ada"},"people":[{"firstName":"Bo"}]}'
    team = decoder_of(Team)(text)
    assert (team.head.first_name, team.people[0].first_name) == ("Ada", "Bo")
    assert encoder_of(Team)(team) == (text, "")
    with pytest.raises(cbs.CellError, match=r"`people\[0\]`: object missing required field `firstName`"):
        decoder_of(Team)(b'{"head":{"firstName":"Ada"},"people":[{}]}')


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("hint", "payload", "wanted"),
    [
        (float, b"1" + b"0" * 400, "number out of range"),
        (typing.Any, b"1e400", "number out of range"),
        (typing.Any, b'["\\ud800"]', ""),
        (str, b'"\\ud83d\\ude00"', "\U0001f600"),
        (float | int, b"1", 1),
        (int | float, b"1.5", 1.5),
        (Number, b"1", Number.ONE),
        (Number, b"true", "expected `int`, got `bool`"),
        (Number, b"1.0", "expected `int`, got `float`"),
        (datetime.datetime, b'"2020-01-01"', "invalid RFC3339 encoded datetime"),
        (datetime.date, b'"2020-W01-1"', "invalid RFC3339 encoded date"),
        (datetime.date, b'"2020-01-31"', datetime.date(2020, 1, 31)),
        (datetime.time, b'"10"', "invalid RFC3339 encoded time"),
        (datetime.time, b'"10:00:01.5"', datetime.time(10, 0, 1, 500_000)),
        (uuid.UUID, b'"{12345678-1234-1234-1234-123456789012}"', "invalid UUID"),
        (uuid.UUID, b'"12345678-1234-1234-1234-123456789012"', uuid.UUID("12345678-1234-1234-1234-123456789012")),
    ],
    ids=str,
)
@engines
def test_python_takes_more_than_we_do(engine: ModuleType, hint: Any, payload: bytes, wanted: Any) -> None:
    try:
        value = engine.decoder(hint)(payload)
    except cbs.CellError as error:
        assert error.code == "bad-request"  # noqa: PT017
        assert isinstance(wanted, str)
        assert wanted in error.message  # noqa: PT017
    else:
        assert (type(value), value) == (type(wanted), wanted)


@dataclass
class Chain:
    next: Chain | None = None


@pytest.mark.parametrize("depth", [100, 300, 500, 700, 900, 5_000])
@engines
def test_a_payload_of_any_depth_is_read_or_refused(engine: ModuleType, depth: int) -> None:
    text = b'{"next":' * depth + b"null" + b"}" * depth
    try:
        assert isinstance(engine.decoder(Chain)(text), Chain)
    except cbs.CellError as error:
        assert (error.code, depth > 100) == ("bad-request", True)  # noqa: PT017


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Name, Name("Ada")),
        (Name, {"name": "Ada"}),
        (dict[str, str], {"name": "Ada"}),
        (Item, {"sku": "a"}),
        (Name | None, None),
        (None, {"any": "thing"}),
        (float, 1),
        (type(None), None),
    ],
    ids=str,
)
def test_a_result_that_fits_is_written(hint: Any, value: Any) -> None:
    payload, content_type = encoder_of(hint)(value)
    assert (json.loads(payload), content_type) == (msgspec.to_builtins(value), "")


@pytest.mark.parametrize(
    ("hint", "value", "what"),
    [
        (Name, {"nam": "Ada"}, "the result does not fit `Name`: the payload: object missing required field `name`"),
        (Name, None, "the result does not fit `Name`: the payload: expected `object`, got `null`"),
        (int, True, "the result does not fit `int`"),
        (list[int], ["x"], "the result does not fit `list"),
        (None, object(), "the result is no JSON"),
    ],
    ids=str,
)
def test_a_result_that_does_not_fit_is_refused(hint: Any, value: Any, what: str) -> None:
    with pytest.raises(cbs.EncodeError) as raised:
        encoder_of(hint)(value)
    assert str(raised.value).startswith(what)


def test_a_coroutine_that_nobody_awaited_is_told() -> None:
    async def late() -> None:
        pass

    with pytest.raises(cbs.EncodeError, match="the result is a coroutine"):
        encoder_of(None)(late())


def test_the_standard_library_is_enough() -> None:
    program = """
import sys
for missing in ("msgspec", "pydantic", "nats"):
    sys.modules[missing] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "msgspec" else found(name, *more)
import asyncio, dataclasses, cbs
from cbs.testing import TestBody

@dataclasses.dataclass
class Name:
    name: str

@cbs.cell("logic.greet")
async def greet(input: Name) -> dict[str, str]:
    return {"text": f"Hello, {input.name}!"}

async def main():
    async with TestBody(greet) as body:
        print(await body.call("logic.greet", {"name": "Ada"}))
        try:
            await body.call("logic.greet", {"name": 1})
        except cbs.CellError as error:
            print(error)
    try:
        await cbs.connect("nats://127.0.0.1:1").__aenter__()
    except ImportError as error:
        print(error)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "{'text': 'Hello, Ada!'}",
        "bad-request: `name`: expected `str`, got `int`",
        "the bus needs nats-py: pip install 'cbs-sdk[nats]'",
    ]
