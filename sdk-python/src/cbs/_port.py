"""Between a context and whoever hosts its cell: what is said about a call, and what goes out and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class CallInfo(Protocol):
    """What is said about one call; texts are empty where nothing was said."""

    @property
    def id(self) -> str:
        """The request's id, a UUID in its usual form."""

    @property
    def correlation_id(self) -> str:
        """The id of the request that began it all."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt, one more for each retry."""

    @property
    def caller(self) -> str:
        """The cell or flow that made the call, in a target's form (``cell shop.cart``)."""

    @property
    def traceparent(self) -> str:
        """The position in the trace that this call's own requests carry."""

    @property
    def sampled(self) -> bool:
        """Whether the call is recorded however it goes."""

    @property
    def tracestate(self) -> str:
        """W3C tracestate, as it came."""

    @property
    def deadline(self) -> float:
        """When the caller gives up, on the clock of `time.monotonic`, in seconds."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """Anything else that came with the request."""

    @property
    def cell(self) -> str:
        """The called cell's own name."""

    @property
    def body(self) -> str:
        """The body's id."""

    @property
    def revision(self) -> str:
        """The revision of the cell's spec."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The spec's ``config``."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """A request or an event on its way out. ``target`` is in its full form, as ``cell logic.greet``."""

    target: str
    payload: bytes
    content_type: str = ""
    schema: str = ""
    timeout: float | None = None
    """In seconds."""
    idempotency_key: str = ""
    idempotent: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Incoming:
    """A reply as it came."""

    payload: bytes
    content_type: str = ""
    schema: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


class Port(Protocol):
    """What a context goes through. Errors are `CellError`; what is awaited runs on the lane's event loop.

    ``info`` is the `CallInfo` that the context was made with: a host gets its own back.
    """

    async def call(self, info: Any, request: Outgoing, /) -> Incoming:
        """Send a request within the call's own time and wait for the reply."""

    async def publish(self, info: Any, event: Outgoing, /) -> None:
        """Publish an event; done when the bus has taken it."""

    async def print(self, info: Any, line: str, /) -> None:
        """Write one line to the standard output of the body's program."""

    async def ask(self, info: Any, question: str, /) -> str | None:
        """Ask the person at the body's program; `None` where nobody can be asked."""

    def log(self, info: Any, level: int, logger: str, message: str, fields: Mapping[str, str], /) -> None:
        """Write to the body's log, from any thread; outside of calls ``info`` is `None`; ``level`` is logging's."""

    def attribute(self, info: Any, key: str, value: str, /) -> None:
        """Say something about the call, for its span; from any thread."""

    def event(self, info: Any, name: str, attributes: list[tuple[str, str]], /) -> None:
        """Say that something happened in the call, for its span; from any thread."""
