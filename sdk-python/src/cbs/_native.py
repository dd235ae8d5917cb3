"""What the body that embeds this interpreter offers to a lane: written in Rust, described here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Protocol

from cbs._context import CallInfo, Context, Outgoing


class HostCall(Protocol):
    """Something that the body does for a call."""

    def abort(self) -> None:
        """Nobody waits for it any more."""


class NativeCall(CallInfo, Protocol):
    """A call as the body hands it over."""

    @property
    def content_type(self) -> str:
        """The payload's media type; empty: JSON."""

    @property
    def key(self) -> int:
        """What a cancel of it is known by."""

    def __call__(self) -> Context:
        """Make its context."""

    def claim(self) -> bytes | None:
        """Return the payload; `None` where another lane runs it, or nobody wants it any more."""

    def waits(self) -> bool:
        """Return whether nobody has claimed it, and its caller has not given up."""

    def fail(self, code: str, message: str, retryable: bool, details: str | None) -> None:
        """Answer with an error; ``details`` is JSON."""

    def failed(self) -> None:
        """Answer that the cell failed; the log has the rest."""

    def attribute(self, key: str, value: str) -> None:
        """Say something about it, for its span."""

    def event(self, name: str, attributes: list[tuple[str, str]]) -> None:
        """Say that something happened in it, for its span."""

    def send(self, number: int, request: Outgoing) -> HostCall | None:
        """Begin a call to another cell."""

    def publish(self, number: int, event: Outgoing) -> HostCall | None:
        """Begin to publish."""

    def print(self, number: int, line: str) -> HostCall | None:
        """Begin to print a line."""

    def ask(self, number: int, question: str) -> HostCall | None:
        """Begin to ask a person."""


class Native(Protocol):
    """The body's side of a lane."""

    @property
    def cell(self) -> str:
        """The cell's name."""

    def fileno(self) -> int:
        """What becomes readable when something waits."""

    def received(self) -> None:
        """Empty it."""

    def settle(self, ident: int, maker: Callable[[NativeCall], Context] | None) -> None:
        """Tell the body which thread this is, and what makes contexts; `None` at the lane's end."""

    def ready(self) -> None:
        """The lane takes calls."""

    def failed(self, code: str, message: str, retryable: bool, details: str | None) -> None:
        """The lane cannot be started; without a code, for a reason that is no `CellError`."""

    def take(self, last: bool) -> tuple[list[NativeCall], list[int], list[tuple[int, Any, Any]], Stop] | None:
        """Return all that came since; `None`: nothing, and if this was the last look, the bell rings from now on."""

    def finish(self, done: list[Any]) -> None:
        """Answer calls: call, payload, content type, and so on in threes."""

    def stuck(self, place: str) -> None:
        """A call was cancelled a while ago and has not ended: it is at this place."""

    def log(
        self, call: CallInfo | None, level: int, logger: str, message: str, fields: Mapping[str, str] | None
    ) -> None:
        """Write to the body's log."""


Stop = int
"""Whether a lane is to end: 0 no, 1 yes, 2 at once and without its stop hooks."""


class Module(Protocol):
    """The file of a cell, for one lane."""

    def load(self, source: bytes) -> ModuleType:
        """Run it."""

    def unload(self) -> None:
        """Forget it, and all that it imported from beside itself."""

    def at_end(self, end: Callable[[], None]) -> None:
        """Do this when it is forgotten."""
