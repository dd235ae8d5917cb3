"""What a cell is given with each call: its way to other cells, its time, its log.

A `Context` goes through a `Port`: the body that hosts the cell, the stand-alone program, or the
test body. Whoever hosts a cell puts the context, or a maker of one, into `CURRENT` before it
calls: most cells never ask, and then none is made.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import events
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, overload

from cbs import _log, _names
from cbs._codec import decoder_of, encode_any, is_json
from cbs._errors import CellError, Code, no_time_left, not_run
from cbs._hooks import State
from cbs._port import CallInfo, Incoming, Outgoing, Port
from cbs._span import Span

__all__ = [
    "CURRENT",
    "CallInfo",
    "Context",
    "Incoming",
    "Outgoing",
    "Port",
    "active",
    "checked_target",
    "current",
    "decode_reply",
]

_T = TypeVar("_T")


class Context:
    """One call as its cell sees it. What the cell sends through it carries ids, trace and remaining time by itself."""

    __slots__ = ("_info", "_log", "_loop", "_port", "state")

    state: State
    """What the module's start hooks made, in this lane."""

    def __init__(self, info: CallInfo, port: Port, state: State, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._info = info
        self._port = port
        self.state = state
        # For the `…_sync` calls of cells on threads; where nobody says which loop, the running one.
        self._loop = loop or events._get_running_loop()
        self._log: _log.CellLog | None = None

    @property
    def id(self) -> str:
        """The request's id, a UUID."""
        return self._info.id

    @property
    def correlation_id(self) -> str:
        """The id of the request that began it all."""
        return self._info.correlation_id

    @property
    def attempt(self) -> int:
        """1 for the first attempt of the call, one more for each retry: as traces count."""
        return self._info.attempt

    @property
    def caller(self) -> str:
        """Who made the call (``cell shop.cart``; empty: a program): a claim for diagnosis, never authority."""
        return self._info.caller

    @property
    def traceparent(self) -> str:
        """The position in the trace (W3C Trace Context) that this call's own requests carry."""
        return self._info.traceparent

    @property
    def span(self) -> Span:
        """The span that the body records of this call: for attributes and events of its author."""
        return Span(self._info, self._port)

    @property
    def tracestate(self) -> str:
        """W3C tracestate, as it came."""
        return self._info.tracestate

    @property
    def deadline(self) -> float:
        """When the caller gives up, on the clock of `time.monotonic`, in seconds."""
        return self._info.deadline

    @property
    def remaining(self) -> float:
        """How many seconds are left until the caller gives up; 0 when it has."""
        return max(0.0, self._info.deadline - time.monotonic())

    @property
    def attributes(self) -> Mapping[str, str]:
        """Anything else that came with the request."""
        return self._info.attributes

    @property
    def cell(self) -> str:
        """This cell's name."""
        return self._info.cell

    @property
    def body(self) -> str:
        """The id of the body that hosts the cell."""
        return self._info.body

    @property
    def revision(self) -> str:
        """The revision of the cell's spec."""
        return self._info.revision

    @property
    def config(self) -> Mapping[str, Any]:
        """The ``config`` of the cell's spec: a map that only the cell understands."""
        return self._info.config

    @property
    def log(self) -> _log.CellLog:
        """The body's log; its records carry this call's ids."""
        if self._log is None:
            self._log = _log.CellLog(self._info)
        return self._log

    @overload
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: type[_T],
        timeout: float | None = None,
        idempotent: bool = False,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> _T: ...
    @overload
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float | None = None,
        idempotent: bool = False,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Any: ...
    async def call(  # the wire has these choices
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float | None = None,
        idempotent: bool = False,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Any:
        """Call another cell and wait for its answer.

        ``target`` is a cell's name, or ``flow <name>``; ``value`` is anything that JSON can hold, or
        bytes. ``returns`` is the type to read the answer as; without one, JSON's own types. ``timeout``
        (seconds) can only shorten what remains of this call's own time.

        Raises `CellError`: the other cell's, or why it could not be reached.
        """
        target = checked_target(target, {"cell", "flow"})
        remaining = self.remaining
        left = remaining if timeout is None else min(timeout, remaining)
        if not left > 0:  # NaN neither
            raise no_time_left(target)
        payload, content_type = encode_any(value, f"the input for {target}")
        request = Outgoing(target, payload, content_type, "", left, idempotency_key, idempotent, attributes or {})
        reply = await self._port.call(self._info, request)
        return decode_reply(target, reply, returns)

    async def publish(self, topic: str, value: Any = None, *, attributes: Mapping[str, str] | None = None) -> None:
        """Publish an event, and do not wait for anybody to hear it.

        Raises `CellError`: ``unavailable`` when the bus is down, ``too-large``, ``bad-request`` for a
        topic that is none.
        """
        target = checked_target("topic " + topic, {"topic"})
        payload, content_type = encode_any(value, f"the event for {target}")
        await self._port.publish(self._info, Outgoing(target, payload, content_type, attributes=attributes or {}))

    async def print(self, line: str) -> None:
        """Print one line to the standard output of the body's program."""
        await self._port.print(self._info, _checked_text(line))

    async def ask(self, question: str) -> str | None:
        """Ask the person at the body's program; `None` where nobody can be asked."""
        return await self._port.ask(self._info, _checked_text(question))

    @overload
    def call_sync(
        self,
        target: str,
        value: Any = None,
        *,
        returns: type[_T],
        timeout: float | None = None,
        idempotent: bool = False,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> _T: ...
    @overload
    def call_sync(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float | None = None,
        idempotent: bool = False,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Any: ...
    def call_sync(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float | None = None,
        idempotent: bool = False,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Any:
        """Do as `call` does, for ``def`` cells: wait on the cell's own thread."""
        return self._wait(
            self.call(
                target,
                value,
                returns=returns,
                timeout=timeout,
                idempotent=idempotent,
                idempotency_key=idempotency_key,
                attributes=attributes,
            )
        )

    def publish_sync(self, topic: str, value: Any = None, *, attributes: Mapping[str, str] | None = None) -> None:
        """Do as `publish` does, for ``def`` cells."""
        self._wait(self.publish(topic, value, attributes=attributes))

    def print_sync(self, line: str) -> None:
        """Do as `print` does, for ``def`` cells."""
        self._wait(self.print(line))

    def ask_sync(self, question: str) -> str | None:
        """Do as `ask` does, for ``def`` cells."""
        return self._wait(self.ask(question))

    def _wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None or events._get_running_loop() is self._loop:
            coroutine.close()
            raise RuntimeError(
                "the …_sync calls are for `def` cells, which run on a thread; on the event loop write "
                "`await ctx.call(…)`"
            )
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("the event loop of the call has ended, and with it the call")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _checked_text(text: str) -> str:
    """Return a text, or raise what it raises on every host: what is none is a mistake of the cell's."""
    if not isinstance(text, str):
        raise TypeError(f"what is printed is a text, not {type(text).__name__}")
    text.encode()  # half of a surrogate pair is no text
    return text


CURRENT: ContextVar[Context | Callable[[], Context] | None] = ContextVar("cbs", default=None)
"""The context of the call that runs now, or what makes it when somebody asks."""


def active() -> Context | None:
    """Return the context of the call that runs now; `None` outside of calls."""
    found = CURRENT.get()
    if found is None or isinstance(found, Context):
        return found
    context = found()
    CURRENT.set(context)
    return context


def current() -> Context:
    """Return the context of the call that runs now: in a cell, in what it calls, and on threads that it starts.

    Raises LookupError outside of calls: in hooks, when a module is loaded, and in other processes.
    """
    context = active()
    if context is None:
        raise LookupError(
            "no call runs here: cbs.current() works in a cell, in what it calls, and on threads that it starts "
            "(Thread, ThreadPoolExecutor, asyncio.to_thread); not in hooks, at import, or in processes that it starts"
        )
    return context


def checked_target(text: str, kinds: set[str]) -> str:
    """Return a target in its full form, or raise ``bad-request``: no name, or of another kind than these."""
    try:
        target = _names.target_of(text)
    except ValueError as error:
        raise not_run(CellError(Code.BAD_REQUEST, str(error))) from None
    if target.partition(" ")[0] not in kinds:
        raise not_run(CellError(Code.BAD_REQUEST, f"a call goes to a cell or a flow, not to {target}"))
    return target


def decode_reply(target: str, reply: Incoming, returns: Any) -> Any:
    """Read a reply as a type. What does not fit is the callee's fault, not the caller's: ``internal``."""
    try:
        if returns is None and not is_json(reply.content_type):
            return reply.payload
        return decoder_of(returns)(reply.payload)
    except CellError as error:
        message = f"the reply of {target}: {error.message}"
        raise CellError(Code.INTERNAL, message, details=error.details) from None
