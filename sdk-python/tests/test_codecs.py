"""One rule for all codecs: the same is read, refused, and in the same words, by msgspec, without it, by pydantic."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import random
import struct
import typing
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import pydantic
import pytest

import cbs
from cbs import _json, _msgspec, _pydantic
from serving import serving

import vectors

PAYLOADS = vectors.read("payloads.json")


def payload_of(vector: dict[str, Any]) -> bytes:
    payload: bytes = bytes.fromhex(vector["payload"]) * vector.get("times", 1)
    return payload


def named(vectors: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", vectors, ids=lambda vector: vector["name"])


class Anything(pydantic.RootModel[Any]):
    """Pydantic's reader of whatever is JSON."""


READERS: dict[str, Callable[[bytes], Any]] = {
    "stdlib": _json.decoder(Any),
    "msgspec": _msgspec.decoder(Any),
    "pydantic": lambda payload: _pydantic.decoder(Anything, _json.decoder(Any))(payload).root,
}
readers = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


@readers
@named(PAYLOADS["accepted"] + PAYLOADS["beyond-64-bits"])
def test_json_is_read(reader: Callable[[bytes], Any], vector: dict[str, Any]) -> None:
    assert reader(payload_of(vector)) == json.loads(payload_of(vector))


@readers
@named(PAYLOADS["refused"])
def test_what_is_no_json_is_refused_in_the_same_words(reader: Callable[[bytes], Any], vector: dict[str, Any]) -> None:
    with pytest.raises(cbs.CellError) as raised:
        reader(payload_of(vector))
    assert (raised.value.code, raised.value.details) == ("bad-request", {"path": "."})
    assert str(raised.value) == str(error_of(READERS["stdlib"], payload_of(vector)))
    if "python" in vector:
        assert raised.value.message == f"the payload: {vector['python']}"


@cbs.cell("codec.echo")
async def echo(value: Any) -> Any:
    return value


async def test_a_cell_that_is_served_refuses_the_same(nats_url: str) -> None:
    async with serving(nats_url, echo) as served:
        subject = f"cbs.{served.namespace}.cell.codec.echo"
        for vector in PAYLOADS["refused"]:
            reply = await served.bus.client.request(subject, payload_of(vector), timeout=5)
            wanted = error_of(READERS["stdlib"], payload_of(vector))
            assert json.loads(reply.data) == wanted.data(), vector["name"]
        for vector in PAYLOADS["accepted"] + PAYLOADS["beyond-64-bits"]:
            reply = await served.bus.client.request(subject, payload_of(vector), timeout=5)
            assert json.loads(reply.data) == json.loads(payload_of(vector)), vector["name"]


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Mixed(enum.Enum):
    TEXT = "1"
    NUMBER = 2
    NOTHING = None


class Pair(NamedTuple):
    x: int
    y: float = 0.5


class Item(TypedDict):
    sku: str
    count: NotRequired[int]


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int = 9


@dataclass
class Dog:
    kind: Literal["dog"]
    age: int = 0


@dataclass
class Basket:
    items: list[Item]
    pets: dict[int, Cat | Dog] = dataclasses.field(default_factory=dict)
    price: decimal.Decimal | None = None
    more: Any = None


_T = typing.TypeVar("_T")


@dataclass
class Box(typing.Generic[_T]):
    x: _T
    lives: int = dataclasses.field(init=False, default=9)


SCALARS: list[Any] = [
    Any, bool, int, float, str, type(None), bytes, bytearray, uuid.UUID, decimal.Decimal,
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
    Size, Number, Mixed, Literal["a", 1], Literal[1, 2], Literal["a", None], Literal[True],
]  # fmt: skip
# Of what is made of them below, mypy wants to know nothing.
_List: Any = list
_Dict: Any = dict
_Optional: Any = typing.Optional

HINTS: list[Any] = [
    *SCALARS,
    *(_List[scalar] for scalar in SCALARS),
    *(_Optional[scalar] for scalar in SCALARS),
    *(_Dict[scalar, scalar] for scalar in SCALARS if scalar is not bytearray),
    int | float, float | int, str | int, bool | int, int | list[int] | dict[str, int], str | datetime.date,
    datetime.date | str, float | decimal.Decimal, decimal.Decimal | float, Size | Number, bytes | int,
    set[int], frozenset[str], tuple[int, str], tuple[int, ...], tuple[()], tuple, list, dict, set[Number],
    collections.abc.Sequence[int], collections.abc.Mapping[str, int], collections.abc.Set[int],
    collections.abc.MutableSequence[int], collections.abc.Iterable[int], collections.abc.MutableSet[str],
    Box[int], list[Box[Cat | Dog]],
    Cat, Dog, Cat | Dog, Cat | Dog | None, list[Cat | Dog], Cat | Item, Item, Pair, Basket, list[Basket],
]  # fmt: skip

LEAVES = [
    "null", "true", "false", "0", "1", "2", "-1", "1.0", "0.5", "-0", "1e2", "1e400", "18446744073709551616",
    "123456789012345678901234567890", "1.10", "123456789012345678901234567890.5", '""', '"a"', '"s"', '"1"', '"01"',
    '" 1 "', '"1_0"', '"1.5"', '"nan"', '"inf"', '"NaN"', '"YQ=="', '"YQ"', '"cat"', '"dog"', '"bird"',
    '"\\ud83d\\ude00"',
    '"2026-11-20T10:00:00Z"', '"2026-11-20T10:00:00.1234565+01:30"', '"2026-11-20 10:00:00z"', '"2026-11-20"',
    '"2026-W01-1"', '"10:00:00"', '"23:59:59.9999999"', '"24:00:00"', '"P1DT1.5S"', '"PT1H"', '"P1W"', '"-PT1S"',
    '"12345678-1234-1234-1234-123456789012"', '"12345678123412341234123456789012"', '"\\ud800"', "NaN", "truth", "[1,]",
]  # fmt: skip
KEYS = [
    "kind",
    "lives",
    "age",
    "sku",
    "count",
    "items",
    "pets",
    "price",
    "more",
    "x",
    "1",
    "01",
    "2",
    "a",
    "1.5",
    "nan",
    "2026-11-20",
]


def text(rng: random.Random, depth: int = 0) -> str:
    """A text that is JSON, or nearly."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind < 5:
        return rng.choice(LEAVES)
    if kind == 5:
        return f"[{','.join(text(rng, depth + 1) for _ in range(rng.randrange(4)))}]"
    entries = (f'"{rng.choice(KEYS)}":{text(rng, depth + 1)}' for _ in range(rng.randrange(5)))
    return f"{{{','.join(entries)}}}"


def fitting(rng: random.Random) -> str:
    """A text that fits one of the classes but for a part of it."""
    wild = text(rng, 2) if rng.random() < 0.5 else "1"
    item = rng.choice(['{"sku":"a"}', '{"sku":"a","count":WILD}', '{"sku":WILD}', '{"sku":"a","unknown":WILD}'])
    pet = rng.choice(['{"kind":"dog","age":WILD}', '{"kind":"cat","lives":WILD}', '{"kind":WILD}', '{"age":WILD}'])
    item, pet = item.replace("WILD", wild), pet.replace("WILD", wild)
    key = rng.choice(KEYS)
    basket = f'{{"items":[{item}],"pets":{{"{key}":{pet}}},"price":{text(rng, 3)},"more":{wild}}}'
    return rng.choice([item, pet, basket, f"[{pet}]", f"[{basket}]", f"[1,{wild}]", f'{{"{key}":{wild}}}'])


def mutated(rng: random.Random, payload: bytes) -> bytes:
    at = rng.randrange(len(payload) + 1)
    return (
        payload[:at]
        + rng.choice([b"", b"\xff", b"\xed\xa0\x80", b",", b'"', b"\\", b" "])
        + payload[at + rng.randrange(2) :]
    )


def outcome(reader: Callable[[bytes], Any], payload: bytes) -> Any:
    try:
        return repr(reader(payload))
    except cbs.CellError as error:
        return error.data()


def error_of(reader: Callable[[bytes], Any], payload: bytes) -> cbs.CellError:
    with pytest.raises(cbs.CellError) as raised:
        reader(payload)
    return raised.value


@pytest.mark.parametrize("hint", HINTS, ids=str)
def test_any_payload_is_read_alike_with_and_without_msgspec(hint: Any) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    plain, fast = _json.decoder(hint), _msgspec.decoder(hint)
    for _ in range(400):
        payload = rng.choice([text(rng), fitting(rng), rng.choice(LEAVES)]).encode()
        if rng.random() < 0.1:
            payload = mutated(rng, payload)
        found, wanted = outcome(fast, payload), outcome(plain, payload)
        if isinstance(found, str) and wanted == OUT_OF_RANGE:
            continue  # msgspec does not look into the numbers of fields that it passes over
        assert found == wanted, (seed, payload)


OUT_OF_RANGE = cbs.CellError("bad-request", "the payload: number out of range", details={"path": "."}).data()


class Whole(int):
    pass


class Half(float):
    pass


class Text(str):
    __slots__ = ()


def value_of(rng: random.Random, depth: int = 0) -> Any:
    """A value that JSON can hold, or nearly."""
    kind = rng.randrange(22 if depth < 4 else 17)
    match kind:
        case 0:
            return None
        case 1:
            return rng.random() < 0.5
        case 2:
            return rng.randrange(-(1 << rng.randrange(1, 80)), 1 << 70)
        case 3:
            return struct.unpack("<d", rng.randbytes(8))[0]
        case 4:
            return (
                rng.choice([float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e16, 1e-7])
                if rng.random() < 0.3
                else 0.5
            )
        case 5:
            return "".join(
                rng.choice(["a", "ß", "🦀", '"', "\\", "\x00", "\x7f", "null", "nan"]) for _ in range(rng.randrange(5))
            )
        case 6:
            return "\ud800" if rng.random() < 0.2 else "x"
        case 7:
            return rng.choice([b"", b"\xff", bytearray(b"a"), memoryview(b"ab")])
        case 8:
            return rng.choice([*Size, *Number, *Mixed])
        case 9:
            zone = rng.choice(
                [None, datetime.UTC, datetime.timezone(datetime.timedelta(seconds=rng.randrange(-80000, 80000)))]
            )
            moment = datetime.datetime(rng.randrange(1, 9999), 1, 2, 3, 4, 5, rng.choice([0, 5, 500_000]), tzinfo=zone)
            return rng.choice([moment, moment.date(), moment.timetz()])
        case 10:
            return datetime.timedelta(rng.randrange(-3, 3), rng.choice([0, 1, 3600]), rng.choice([0, 1, 100_000]))
        case 11:
            return rng.choice(
                [uuid.UUID(int=7), decimal.Decimal("1.10"), decimal.Decimal("NaN"), decimal.Decimal("1e9")]
            )
        case 12:
            return rng.choice([Whole(5), Half(1.5), Half("nan"), Text("x")])
        case 13:
            return object() if rng.random() < 0.3 else Cat("cat")
        case 14:
            return Pair(1, rng.choice([1.5, float("nan")]))
        case 15:
            return Anything(rng.choice([None, 1, float("nan"), [float("inf")], {"a": None}]))
        case 16:
            return rng.choice([{1, 2}, frozenset("a"), (1, 2), range(2), Cat, 1j]) if rng.random() < 0.3 else ()
        case 17 | 18:
            return {key_of(rng): value_of(rng, depth + 1) for _ in range(rng.randrange(4))}
        case 19:
            return Basket([{"sku": value_of(rng, 9)}], {}, None, value_of(rng, depth + 1))
        case _:
            return [value_of(rng, depth + 1) for _ in range(rng.randrange(4))]


def key_of(rng: random.Random) -> Any:
    if rng.random() < 0.6:
        return rng.choice(["a", "b", "c d", "nan", ""])
    key = value_of(rng, 9)
    try:
        hash(key)
    except TypeError:
        return "e"
    return key


def written(dump: Callable[[Any], bytes], value: Any) -> Any:
    try:
        return json.loads(dump(value))  # of keys that are written alike the last one counts
    except _msgspec.FAILURES as error:
        return f"refused: {error}".partition(" at 0x")[0]


def test_any_value_is_written_alike_with_and_without_msgspec() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(20_000):
        value = value_of(rng)
        assert written(_msgspec.dump, value) == written(_json.dump, value), (seed, value)
