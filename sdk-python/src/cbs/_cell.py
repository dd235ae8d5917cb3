"""Functions as cells: what a decorated function's signature says, worked out once."""

from __future__ import annotations

import dis
import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cbs import _names
from cbs._codec import Decode, Encode, decoder_of, encoder_of
from cbs._context import Context
from cbs._errors import EncodeError

__all__ = ["Definition", "EncodeError", "cell", "definition"]

_MARK = "__cbs_cell__"
_F = TypeVar("_F", bound=Callable[..., Any])
_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A cell as its host sees it. ``decode``, ``invoke`` and ``encode`` are made for its types: the hot path."""

    name: str | None
    """The name that the decorator gave it; `None` for an undecorated function."""
    function: Callable[..., Any]
    """The function itself."""
    is_async: bool
    """Whether calling it gives a coroutine; else it may block and belongs on a thread."""
    wants_context: bool
    """Whether it asks for its context; else ``invoke`` passes over what it gets as one."""
    takes_input: bool
    """Whether it takes an input; else ``decode`` gives `None`, whatever the payload."""
    never_suspends: bool
    """Whether its coroutine ends at the first ``send(None)``: its bytecode has no place to wait."""
    decode: Callable[[bytes, str], Any]
    """(payload, content type) -> the input; raises `CellError` ``bad-request``."""
    invoke: Callable[[Any, Any], Any]
    """(context or None, input) -> the result, or the coroutine of an ``async def``."""
    encode: Encode
    """result -> (payload, content type; empty means JSON); raises `EncodeError`."""
    shape: _Shape
    """Which of its parameters is what."""


def cell(name: str) -> Callable[[_F], _F]:
    """Make a cell of a function: ``@cbs.cell("logic.greet")`` on a ``def`` or an ``async def``.

    The function stays what it is and can be called as it stands. Its hints say what it reads and
    writes: one parameter for the input, or none; its context wherever a parameter is called ``ctx``
    or hinted `cbs.Context`.

    Raises ValueError for a name that is none, TypeError for a signature that no caller could fill;
    both say file and line.
    """
    if not isinstance(name, str):
        # Without this, `@cbs.cell` would make a function of the function, and no cell.
        raise TypeError(
            f'{_place(name)}: the cell has no name: write `@cbs.cell("organ.name")`, for example logic.greet'
        )

    def decorate(function: _F) -> _F:
        around = sys._getframe(1)
        if isinstance(function, type):
            place = f"{around.f_code.co_filename}:{around.f_lineno}"
            raise TypeError(f"{place}: a cell is a function, `{function.__name__}` is a class")
        try:
            _names.checked("cell", name)
        except ValueError as error:
            raise ValueError(f"{_place(function)}: {error}") from None
        # The types of a function that stands in another one are known only there.
        found = _define(function, name, around.f_locals)
        try:
            setattr(function, _MARK, found)
        except AttributeError:
            place = f"{around.f_code.co_filename}:{around.f_lineno}"
            raise TypeError(f"{place}: `{function!r}` cannot be marked as a cell: call it from a `def`") from None
        return function

    return decorate


def definition(function: Callable[..., Any], name: str | None = None) -> Definition:
    """Return a function's definition: its decorator's, or one made anew for an undecorated function.

    ``name`` is what the spec calls the cell. A decorator that says another name is a mistake: TypeError.
    """
    found = getattr(function, _MARK, None)
    if not isinstance(found, Definition):
        if not callable(function):
            raise TypeError(f"`{function!r}` is no function: a cell is a `def` or an `async def`")
        return _define(function, name, {})
    if name is not None and found.name != name:
        raise TypeError(
            f"{_place(function)}: the spec says `{name}`, the decorator says `{found.name}`; write the same name in "
            "both, or leave the decorator out"
        )
    return found if found.function is function else _around(function, found)


def _around(outer: Callable[..., Any], found: Definition) -> Definition:
    """Return the definition of a decorator above `@cbs.cell`, to which `functools.wraps` has copied the mark."""
    return replace(
        found,
        function=outer,
        is_async=found.is_async or inspect.iscoroutinefunction(outer),
        never_suspends=_never_suspends(outer),
        invoke=_invoke(outer, found.shape),
    )


def definitions(values: Iterable[object]) -> list[Definition]:
    """Return the definitions of those values that are cells, each once, in order."""
    found: dict[int, Definition] = {}
    for value in values:
        marked = getattr(value, _MARK, None)
        if not isinstance(marked, Definition):
            continue
        if marked.function is value:
            found[id(marked)] = marked
        else:
            found.setdefault(id(marked), definition(value))  # type: ignore[arg-type]
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which parameter is what."""

    input: inspect.Parameter | None
    context: inspect.Parameter | None
    input_first: bool


def _define(function: Callable[..., Any], name: str | None, local: dict[str, Any]) -> Definition:
    place = _place(function)
    signature, hints = _signature(function, place), _hints(function, local, place)
    shape = _shape(function, signature, hints, place)
    try:
        read = None if shape.input is None else decoder_of(hints.get(shape.input.name, Any))
        encode = encoder_of(hints.get("return", Any))
    except Exception as error:  # noqa: BLE001 - pydantic and msgspec have errors of their own
        raise TypeError(f"{place}: {error}") from None
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async `__call__`
    )
    return Definition(
        name=name,
        function=function,
        is_async=is_async,
        wants_context=shape.context is not None,
        takes_input=shape.input is not None,
        never_suspends=_never_suspends(function),
        decode=_decode(read, shape.input),
        invoke=_invoke(function, shape),
        encode=encode,
        shape=shape,
    )


def _signature(function: Callable[..., Any], place: str) -> inspect.Signature:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{place}: a cell gives one answer; it cannot `yield`")
    if isinstance(function, type):
        raise TypeError(f"{place}: a cell is a function, not a class")
    return inspect.signature(function)


def _hints(function: Callable[..., Any], local: dict[str, Any], place: str) -> dict[str, Any]:
    target = function if hasattr(function, "__annotations__") else type(function).__call__
    try:
        return typing.get_type_hints(target, localns=local, include_extras=True)
    except NameError as error:
        raise TypeError(f"{place}: a hint names what is not defined above the function: {error}") from None
    except Exception as error:
        # Hints that are texts are run here: whatever is wrong with them.
        raise TypeError(f"{place}: a hint cannot be read: {error}") from error


def _shape(function: Callable[..., Any], signature: inspect.Signature, hints: dict[str, Any], place: str) -> _Shape:
    inputs: list[inspect.Parameter] = []
    contexts: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            raise TypeError(f"{place}: `{parameter}` can take nothing: a cell has one input and a context")
        is_context = _is_context(hints.get(parameter.name)) or parameter.name == "ctx"
        (contexts if is_context else inputs).append(parameter)
    if len(contexts) > 1:
        raise TypeError(f"{place}: {_listed(contexts)} would both be the context; leave one out")
    if len(inputs) > 1:
        name = getattr(function, "__name__", "cell")
        raise TypeError(
            f"{place}: a cell has one input, this one has {_listed(inputs)}; put them into one type, a dataclass for "
            f"example: `{name}(input: Input, ctx: cbs.Context)`"
        )
    found, context = next(iter(inputs), None), next(iter(contexts), None)
    if found is not None and found.kind not in _POSITIONAL:
        raise TypeError(f"{place}: the input `{found.name}` is to be a positional parameter: put it before the `*`")
    order = list(signature.parameters)
    input_first = found is not None and order[0] == found.name
    return _Shape(found, context, input_first)


def _is_context(hint: Any) -> bool:
    return hint is Context or (not isinstance(hint, type) and Context in typing.get_args(hint))


def _listed(parameters: list[inspect.Parameter]) -> str:
    return " and ".join(f"`{parameter.name}`" for parameter in parameters)


def _decode(read: Decode | None, parameter: inspect.Parameter | None) -> Callable[[bytes, str], Any]:
    if read is None or parameter is None:
        return lambda _payload, _content_type: None
    if parameter.default is not inspect.Parameter.empty:
        default = parameter.default
        return lambda payload, _content_type: read(payload) if payload else default
    return read


def _invoke(function: Callable[..., Any], shape: _Shape) -> Callable[[Any, Any], Any]:
    context = shape.context
    if shape.input is None and context is None:
        return lambda _context, _value: function()
    if context is None:
        return lambda _context, value: function(value)
    if context.kind not in _POSITIONAL:
        name = context.name
        if shape.input is None:
            return lambda context, _value: function(**{name: context})
        return lambda context, value: function(value, **{name: context})
    if shape.input is None:
        return lambda context, _value: function(context)
    if shape.input_first:
        return lambda context, value: function(value, context)
    return function


def _never_suspends(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_COROUTINE:
        return False
    # Whatever waits, or yields, has one of these: they are how a coroutine gives the thread away.
    return not any(step.opname in {"SEND", "YIELD_VALUE"} for step in dis.get_instructions(code))


def _place(function: Callable[..., Any]) -> str:
    """Return ``file:line`` of a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)
