"""What a function's signature makes of it as a cell."""

from __future__ import annotations

import asyncio
import functools
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cbs
from cbs._cell import Definition, definition, definitions


@dataclass
class Name:
    name: str


@dataclass
class Greeting:
    text: str


@cbs.cell("logic.greet")
async def greet(input: Name) -> Greeting:
    return Greeting(f"Hello, {input.name}!")


def answer_of(found: Definition, payload: bytes, context: object = None) -> bytes:
    """One call of a cell that is a ``def``, or that never waits."""
    value = found.invoke(context, found.decode(payload, ""))
    if found.is_async:
        with pytest.raises(StopIteration) as ended:
            value.send(None)
        value = ended.value.value
    return found.encode(value)[0]


def test_a_decorated_function_is_still_the_function() -> None:
    assert asyncio.run(greet(Name("Ada"))) == Greeting("Hello, Ada!")


def test_a_definition_says_what_the_function_is() -> None:
    found = definition(greet)
    assert (found.name, found.function, found.is_async) == ("logic.greet", greet, True)
    assert (found.takes_input, found.wants_context, found.never_suspends) == (True, False, True)
    assert answer_of(found, b'{"name":"Ada"}') == b'{"text":"Hello, Ada!"}'


def test_a_definition_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        definition(greet).name = "logic.other"  # type: ignore[misc]


def test_the_context_may_stand_anywhere() -> None:
    context = object()

    def first(ctx: cbs.Context, input: Name) -> list[Any]:
        return [input.name, ctx is context]

    def last(input: Name, ctx: Any) -> list[Any]:
        return [input.name, ctx is context]

    def named(input: Name, *, ctx: Any) -> list[Any]:
        return [input.name, ctx is context]

    def hinted(input: Name, call: cbs.Context | None = None) -> list[Any]:
        return [input.name, call is context]

    functions: list[Callable[..., Any]] = [first, last, named, hinted]
    for function in functions:
        found = definition(function)
        assert found.wants_context
        assert answer_of(found, b'{"name":"Ada"}', context) == b'["Ada",true]', function


def test_a_cell_without_input_takes_any_payload() -> None:
    def only(ctx: cbs.Context) -> bool:
        return ctx is not None

    def nothing() -> str:
        return "here"

    assert not definition(nothing).takes_input
    assert answer_of(definition(nothing), b"\xff no json") == b'"here"'
    assert answer_of(definition(only), b"", context=1) == b"true"


def test_an_absent_input_is_the_default() -> None:
    def hello(input: Name = Name("world")) -> str:  # noqa: B008 - it is not changed
        return input.name

    assert answer_of(definition(hello), b"") == b'"world"'
    assert answer_of(definition(hello), b'{"name":"Ada"}') == b'"Ada"'


def test_bytes_are_the_payload_itself() -> None:
    def turn(input: bytes) -> bytes:
        return input[::-1]

    found = definition(turn)
    assert found.encode(found.invoke(None, found.decode(b"abc", "text/plain"))) == (b"cba", "application/octet-stream")
    with pytest.raises(cbs.EncodeError, match="the result is no bytes but `str`"):
        found.encode("text")


def test_without_hints_json_has_its_own_types() -> None:
    def echo(input):  # type: ignore[no-untyped-def]
        return input

    assert answer_of(definition(echo), b'{"a":[1,2.5,null,"x"]}') == b'{"a":[1,2.5,null,"x"]}'


def test_types_of_the_function_that_a_cell_stands_in_are_found() -> None:
    @dataclass
    class Inner:
        count: int

    @cbs.cell("logic.inner")
    def inner(input: Inner) -> int:
        return input.count

    assert answer_of(definition(inner), b'{"count":3}') == b"3"


def test_only_what_cannot_wait_never_suspends() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    async def loops(input: Any) -> list[Any]:
        return [item async for item in input]

    async def enters(input: Any) -> None:
        async with input:
            pass

    async def straight(input: list[int]) -> list[int]:
        return [item for item in input for _ in range(2)]

    def plain() -> None:
        pass

    functions: list[Callable[..., Any]] = [waits, loops, enters, straight, plain]
    found = {function.__name__: definition(function).never_suspends for function in functions}
    assert found == {"waits": False, "loops": False, "enters": False, "straight": True, "plain": False}


def test_a_decorator_of_ones_own_stays_in_force() -> None:
    def loud(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def louder(*arguments: Any) -> Any:
            made = await function(*arguments)
            return Greeting(made.text.upper())

        return louder

    @cbs.cell("logic.loud")
    @loud
    async def whisper(input: Name) -> Greeting:
        return Greeting(input.name)

    found = definition(whisper)
    assert (found.takes_input, found.is_async, found.never_suspends) == (True, True, False)
    assert asyncio.run(found.invoke(None, Name("ada"))) == Greeting("ADA")


def test_the_specs_name_and_the_decorators_must_agree() -> None:
    assert definition(greet, "logic.greet") is definition(greet)
    with pytest.raises(TypeError, match=r"the spec says `logic\.hello`, the decorator says `logic\.greet`"):
        definition(greet, "logic.hello")


def test_an_undecorated_function_has_the_specs_name() -> None:
    def hello(input: Name) -> str:
        return input.name

    assert definition(hello, "logic.hello").name == "logic.hello"
    assert definition(hello).name is None
    with pytest.raises(TypeError, match="is no function"):
        definition("logic.greet")  # type: ignore[arg-type]


def two(a: int, b: int) -> int:
    return a + b


def many(*items: int) -> int:
    return len(items)


def named(*, input: int) -> int:
    return input


def contexts(ctx: Any, other: cbs.Context) -> None:
    pass


def unknown(input: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    pass


class Custom:
    pass


def custom(input: Custom) -> None:
    pass


@dataclass
class Holder:
    parts: list[Custom]


def holder(input: Holder) -> None:
    pass


def misspelt(input: cbs.Contekst) -> None:  # type: ignore[name-defined]
    pass


def yields() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (two, "a cell has one input, this one has `a` and `b`; put them into one type"),
        (many, r"`\*items: .*int.*` can take nothing"),
        (named, "the input `input` is to be a positional parameter"),
        (contexts, "`ctx` and `other` would both be the context"),
        (unknown, "a hint names what is not defined above the function: name 'Nowhere'"),
        (custom, "`Custom` is no type that JSON can be read as; write a dataclass"),
        (holder, "`Custom`, in `Holder`, is no type that JSON can be read as; write a dataclass"),
        (misspelt, "a hint cannot be read: module 'cbs' has no attribute 'Contekst'"),
        (yields, "a cell gives one answer; it cannot `yield`"),
    ],
)
def test_a_signature_that_no_caller_could_fill_is_refused(function: Callable[..., Any], what: str) -> None:
    line = function.__code__.co_firstlineno
    with pytest.raises(TypeError, match=rf"^{re.escape(str(Path(__file__)))}:{line}: {what}"):
        cbs.cell("logic.wrong")(function)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match=r"test_cell\.py:\d+: the cell has no name: write `@cbs\.cell\("):

        @cbs.cell  # type: ignore[arg-type]
        async def bare(input: int) -> int:
            return input

    with pytest.raises(TypeError, match=r"test_cell\.py:\d+: a cell is a function, `Wrong` is a class"):

        @cbs.cell("logic.wrong")
        class Wrong:
            pass


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"test_cell\.py:\d+: `greet` is no cell name: write `organ\.cell`"):
        cbs.cell("greet")(lambda: None)


def test_a_decorator_above_the_cells_own_is_in_force_too() -> None:
    def shouting(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def call(*arguments: Any) -> Greeting:
            greeting: Greeting = await function(*arguments)
            return Greeting(greeting.text.upper())

        return call

    module = types.ModuleType("module")
    vars(module).update(greet=shouting(greet), again=greet)
    assert answer_of(definition(shouting(greet), "logic.greet"), b'{"name":"Ada"}') == b'{"text":"HELLO, ADA!"}'
    assert [found.function for found in definitions(vars(module).values())] == [greet]
    del vars(module)["again"]
    assert [found.function for found in definitions(vars(module).values())] == [vars(module)["greet"]]


def test_what_cannot_be_marked_is_refused_with_its_place() -> None:
    with pytest.raises(TypeError, match=r"test_cell\.py:\d+: .* cannot be marked as a cell"):
        cbs.cell("logic.length")(len)
