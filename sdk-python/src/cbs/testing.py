"""Cells under test, without a server.

    from cbs.testing import TestBody
    import greet

    async def test_greeting() -> None:
        async with TestBody(greet) as body:
            assert await body.call("logic.greet", {"name": "Ada"}) == {"text": "Hello, Ada!"}

The errors, deadlines and names are those of a body on NATS: what passes here passes there. Without
asyncio: `with TestBody(greet) as body: body.call_sync(…)`.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import events
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar, overload

from cbs import _frame, _names
from cbs._cell import Definition, definition
from cbs._codec import decoder_of, encode_any, is_json
from cbs._context import checked_target, decode_reply
from cbs._envelope import TIMEOUT_DEFAULT, Envelope, Kind
from cbs._errors import CellError, Code, cell_failed, no_time_left, not_found, timed_out, too_large
from cbs._event import Event, event_headers
from cbs._hooks import State
from cbs._lane import Call, Lane, envelope_of
from cbs._port import Incoming, Outgoing
from cbs._span import NOTE_BYTES_MAX, NOTES_MAX

__all__ = ["Event", "TestBody", "TestSpan"]

_T = TypeVar("_T")

PAYLOAD_MAX = 1024 * 1024
"""What a nats-server takes unless it is told otherwise, in bytes."""


class TestSpan:
    """What a cell said about one of its calls through `ctx.span`, bounded as in a body."""

    __test__ = False  # pytest: this is no test

    def __init__(self) -> None:
        self.attributes: dict[str, str] = {}
        """What is so, by its keys."""
        self.events: list[tuple[str, dict[str, str]]] = []
        """What happened, with its attributes, in order."""
        self.dropped: int = 0
        """Number of attributes and events that were dropped."""
        self._count = 0

    def _has_room(self) -> bool:
        room = self._count < NOTES_MAX
        self._count += room
        self.dropped += not room
        return room


class TestBody:
    """A body for tests: it hosts the cells of modules, or single functions, in this process.

    ``config`` holds the ``config`` of the cells' specs, by the cells' names. ``typed`` are the lines
    that the person at the program types, one for each `ctx.ask`; then there is nobody.
    """

    __test__ = False  # pytest: this is no test

    def __init__(
        self,
        *sources: ModuleType | Callable[..., Any],
        config: Mapping[str, Mapping[str, Any]] | None = None,
        typed: Iterable[str] = (),
        payload_max: int = PAYLOAD_MAX,
    ) -> None:
        self.printed: list[str] = []
        """The lines that the cells printed."""
        self.asked: list[str] = []
        """The questions that the cells asked."""
        self._lane = Lane(sources)
        self._config = dict(config or {})
        self._typed = list(typed)
        self._payload_max = payload_max
        self._events: list[Event] = []
        self._stand_ins: dict[str, Any] = {}
        self._calls: dict[str, list[Any]] = {}
        self._spans: dict[str, list[TestSpan]] = {}
        self._port = _Port(self)
        self._runner: asyncio.Runner | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        await self._lane.start()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        await self._lane.stop()

    def __enter__(self) -> Self:
        if events._get_running_loop() is not None:
            raise RuntimeError(
                "an event loop runs here: write `async with TestBody(…) as body:` and `await body.call(…)`"
            )
        self._runner = asyncio.Runner()
        try:
            return self._runner.run(self.__aenter__())
        except BaseException:
            self._runner.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runner = self._running()
        try:
            runner.run(self.__aexit__(kind, error, trace))
        finally:
            runner.close()
            self._runner = None

    def _running(self) -> asyncio.Runner:
        if self._runner is None:
            raise RuntimeError(
                "call_sync is for `with TestBody(…)`; in `async with TestBody(…)` write `await body.call`"
            )
        return self._runner

    @overload
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: type[_T],
        timeout: float = TIMEOUT_DEFAULT,
        attributes: Mapping[str, str] | None = None,
    ) -> _T: ...
    @overload
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float = TIMEOUT_DEFAULT,
        attributes: Mapping[str, str] | None = None,
    ) -> Any: ...
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float = TIMEOUT_DEFAULT,
        attributes: Mapping[str, str] | None = None,
    ) -> Any:
        """Call a cell as a program on the bus would; without ``returns``, the answer is of JSON's own types.

        Raises `CellError`.
        """
        target = checked_target(target, {"cell", "flow"})
        payload, content_type = encode_any(value, f"the input for {target}")
        sent = Outgoing(target, payload, content_type, timeout=timeout, attributes=attributes or {})
        reply = await self._answer(sent, None)
        return decode_reply(target, reply, returns)

    @overload
    def call_sync(
        self,
        target: str,
        value: Any = None,
        *,
        returns: type[_T],
        timeout: float = TIMEOUT_DEFAULT,
        attributes: Mapping[str, str] | None = None,
    ) -> _T: ...
    @overload
    def call_sync(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float = TIMEOUT_DEFAULT,
        attributes: Mapping[str, str] | None = None,
    ) -> Any: ...
    def call_sync(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float = TIMEOUT_DEFAULT,
        attributes: Mapping[str, str] | None = None,
    ) -> Any:
        """Do as `call` does, for tests without asyncio: inside of ``with TestBody(…) as body``."""
        return self._running().run(self.call(target, value, returns=returns, timeout=timeout, attributes=attributes))

    def answer(self, target: str, stand_in: Any = None) -> None:
        """Let something stand in for another cell, or for a flow (``flow greeting``).

        A function is called as a cell of that name would be, an error is raised, any other value is
        the answer.

        Raises TypeError for a function that can be no cell, and for a value that JSON cannot hold.
        """
        target = checked_target(target, {"cell", "flow"})
        if isinstance(stand_in, Exception):
            self._stand_ins[target] = stand_in
        elif callable(stand_in):
            self._stand_ins[target] = definition(stand_in)
        else:
            encode_any(stand_in, f"the answer of {target}")
            self._stand_ins[target] = stand_in

    def calls(self, target: str) -> list[Any]:
        """Return what a target was called with, as JSON's own types, in order."""
        return list(self._calls.get(checked_target(target, {"cell", "flow"}), ()))

    def events(self, topic_filter: str = ">") -> list[Event]:
        """Return the events that were published on topics like ``order.created``, ``order.*``, ``order.>``."""
        _names.checked("topic-filter", topic_filter)
        return [event for event in self._events if _names.hears(topic_filter, event.topic)]

    def spans(self, target: str) -> list[TestSpan]:
        """Return what was said about a target's calls through `ctx.span`, one for each call, in order."""
        return list(self._spans.get(checked_target(target, {"cell", "flow"}), ()))

    def state(self, module: ModuleType) -> State:
        """Return what a module's start hooks made."""
        return self._lane.state_of(module)

    async def _answer(self, sent: Outgoing, within: Call | None) -> Incoming:
        if not self._open:
            raise RuntimeError(
                "the body does not run: write `async with TestBody(…) as body:`, which runs the start hooks"
            )
        timeout = TIMEOUT_DEFAULT if sent.timeout is None else sent.timeout
        if not timeout > 0:  # NaN neither
            raise no_time_left(sent.target)
        request = envelope_of(Kind.REQUEST, sent, within, "test")
        self._check_size(request)
        self._calls.setdefault(sent.target, []).append(_value(sent.payload, sent.content_type))
        name = sent.target.removeprefix("cell ")
        call = Call(request, name, "test", time.monotonic() + timeout, self._config.get(name))
        call.span = TestSpan()
        self._spans.setdefault(sent.target, []).append(call.span)
        if sent.target in self._stand_ins:
            reply = await self._stand_in(call, sent.target, timeout)
        elif name in self._lane.cells:
            reply = await self._lane.answer(call, self._port, *self._lane.cells[name])
        else:
            raise not_found(sent.target)
        size = len(reply.payload)
        if size > self._payload_max:
            message = f"the reply of {sent.target} has {size} bytes, the limit is {self._payload_max}"
            raise CellError(Code.TOO_LARGE, message)
        return reply

    async def _stand_in(self, call: Call, target: str, timeout: float) -> Incoming:
        stand_in = self._stand_ins[target]
        if isinstance(stand_in, CellError):
            raise stand_in
        if isinstance(stand_in, TimeoutError):
            raise timed_out(target, timeout)
        if isinstance(stand_in, Exception):
            raise cell_failed(call.id)
        if isinstance(stand_in, Definition):
            return await self._lane.answer(call, self._port, stand_in, State())
        return Incoming(*encode_any(stand_in, f"the answer that stands in for {target}"))

    def _check_size(self, envelope: Envelope) -> None:
        envelope.check_attributes()
        size = len(_frame.encode(envelope))
        if size > self._payload_max:
            raise too_large(envelope.target, size, self._payload_max)


class _Port:
    """What the cells' contexts go through."""

    def __init__(self, body: TestBody) -> None:
        self._body = body

    async def call(self, info: Call, request: Outgoing) -> Incoming:
        return await self._body._answer(request, info)

    async def publish(self, info: Call, event: Outgoing) -> None:
        envelope = envelope_of(Kind.EVENT, event, info, "test")
        self._body._check_size(envelope)
        event_headers("default", envelope)  # what cannot be one is refused here as there
        self._body._events.append(Event(envelope))

    async def print(self, _: Call, line: str) -> None:
        self._body.printed.append(line)

    async def ask(self, _: Call, question: str) -> str | None:
        self._body.asked.append(question)
        return self._body._typed.pop(0) if self._body._typed else None

    def log(self, info: Call | None, level: int, logger: str, message: str, fields: Mapping[str, str]) -> None:
        """Do nothing: the log goes to Python's own handlers, where pytest's caplog reads it."""

    def attribute(self, info: Call, key: str, value: str) -> None:
        if info.span._has_room():
            info.span.attributes[_cut(key)] = _cut(value)

    def event(self, info: Call, name: str, attributes: list[tuple[str, str]]) -> None:
        if info.span._has_room():
            info.span.events.append((_cut(name), {_cut(key): _cut(value) for key, value in attributes}))


def _cut(text: str) -> str:
    """Cut a text as a body does: bytes are counted, and no character is halved."""
    return text.encode("utf-8", "replace")[:NOTE_BYTES_MAX].decode("utf-8", "ignore")


def _value(payload: bytes, content_type: str) -> Any:
    return decoder_of(None)(payload) if is_json(content_type) else payload
