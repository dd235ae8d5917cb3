"""Errors as data: what a cell answers instead of a value, the same in every language."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """CBS's own codes. A cell's own are texts of the form ``domain.code``, with status 422."""

    BAD_REQUEST = "bad-request"
    """The request makes no sense to the callee: 400."""
    REFUSED = "refused"
    """The caller may not do this: 403."""
    NOT_FOUND = "not-found"
    """Nobody serves the target, or what was asked for is not there: 404."""
    CONFLICT = "conflict"
    """The state is not what the caller thought: 409."""
    TOO_LARGE = "too-large"
    """The payload is larger than the bus or the cell takes: 413."""
    OVERLOADED = "overloaded"
    """The limits of running and waiting calls are reached: 429. The cell did not run."""
    CELL_FAILED = "cell-failed"
    """The cell crashed, or raised what is no `CellError`: 500."""
    INTERNAL = "internal"
    """CBS itself is at fault: 500."""
    UNAVAILABLE = "unavailable"
    """The target cannot be reached now: 503."""
    TIMEOUT = "timeout"
    """No outcome within the deadline; the cell may have run: 504."""


class Outcome(StrEnum):
    """Whether the cell ran; decides what may be tried again."""

    NOT_RUN = "not-run"
    """The cell never started: trying again is always safe."""
    UNKNOWN = "unknown"
    """Nobody knows: trying again is safe only for idempotent calls."""
    RAN = "ran"
    """The cell ran and answered with this error."""


_STATUSES = {
    Code.BAD_REQUEST: 400,
    Code.REFUSED: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.TOO_LARGE: 413,
    Code.OVERLOADED: 429,
    Code.CELL_FAILED: 500,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.TIMEOUT: 504,
}
_DOMAIN_STATUS = 422
_SAID_MAX = 500


def code_of(status: str) -> str:
    """Return the code for the status of a service that is no cell."""
    # Without credentials (401) a caller may as little as with those of another (403).
    wanted = "403" if status == "401" else status
    found = (code.value for code, number in _STATUSES.items() if str(number) == wanted)
    return next(found, f"service.{status}")


def status_of(code: str) -> int:
    """Return the number for ``Nats-Service-Error-Code``: HTTP's meaning; 422 for a cell's own code."""
    return _STATUSES.get(code, _DOMAIN_STATUS)  # type: ignore[call-overload, no-any-return, unused-ignore]


class CellError(Exception):
    """An error that crosses the bus: raise it in a cell, catch it around a call.

    ``code`` is what callers branch on: a `Code`, or a text of your own such as ``stock.empty``.
    ``message`` is one line for a person. It leaves the body: no secrets, no traceback.
    ``retryable`` says whether the same call may succeed a little later.
    ``details`` is anything more for programs that JSON can hold; ``None`` means: nothing.

    ``outcome`` is what the bus knows about a call that failed: whether the cell ran.
    """

    def __init__(self, code: str, message: str, retryable: bool = False, details: Any = None) -> None:
        super().__init__(code, message, retryable, details)
        self.code: str = str(code) or Code.INTERNAL.value
        self.message: str = message
        self.retryable: bool = retryable
        self.details: Any = details
        # `null` is a value, and absent is another thing: a relayed error keeps which it was.
        self.has_details: bool = details is not None
        self.outcome: Outcome = Outcome.UNKNOWN if code == Code.TIMEOUT else Outcome.RAN

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __repr__(self) -> str:
        more = ", retryable=True" if self.retryable else ""
        more += f", details={self.details!r}" if self.details is not None else ""
        return f"CellError({self.code!r}, {self.message!r}{more})"

    @property
    def status(self) -> int:
        """The code's number, with HTTP's meaning."""
        return status_of(self.code)

    def data(self) -> dict[str, Any]:
        """Return what crosses the wire, as JSON's types; what is absent takes no entry."""
        data: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.retryable:
            data["retryable"] = True
        if self.has_details:
            data["details"] = self.details
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> CellError:
        """Make the error again from `data`; a field that is missing or of a wrong type is as good as absent."""
        code, message = data.get("code"), data.get("message")
        error = cls(
            code if isinstance(code, str) else Code.INTERNAL,
            message if isinstance(message, str) else "an error without a message",
            data.get("retryable") is True,
            data.get("details"),
        )
        error.has_details = "details" in data
        return error


class EncodeError(TypeError):
    """A result that its type, or JSON, cannot hold. The cell's host answers ``cell-failed``."""


def not_run(error: CellError) -> CellError:
    """Mark an error: the cell never started."""
    error.outcome = Outcome.NOT_RUN
    return error


def bad_request(path: str, what: str) -> CellError:
    """Make the error for a payload that does not fit: ``path`` names the field, ``.`` the payload itself."""
    path, what = _cut(path), _cut(what)
    place = "the payload" if path == "." else f"`{path}`"
    return CellError(Code.BAD_REQUEST, f"{place}: {what}", details={"path": path})


def _cut(text: str) -> str:
    """Cut what may hold a key or a value of a payload: an error is for a person to read."""
    return text if len(text) <= _SAID_MAX else f"{text[:_SAID_MAX]} … (cut)"


def cell_failed(identity: str) -> CellError:
    """Make the error that callers get for what is no `CellError`: they learn only where to look."""
    message = f"the cell failed; its body's log has the reason under id {identity}"
    return CellError(Code.CELL_FAILED, message)


def not_found(target: str) -> CellError:
    """Nobody serves the target."""
    return not_run(CellError(Code.NOT_FOUND, f"nobody serves {target}; `cbs ls` shows what runs"))


def unavailable(target: str, reason: str) -> CellError:
    """Make the error for a target that cannot be reached now; the cell did not run."""
    return not_run(CellError(Code.UNAVAILABLE, f"{target} cannot be reached: {reason}", retryable=True))


def timed_out(target: str, after: float) -> CellError:
    """No answer in time (seconds); the cell may have run."""
    return CellError(Code.TIMEOUT, f"{target} gave no answer within {round(after * 1000)} ms")


def no_time_left(target: str) -> CellError:
    """Make the error for a call whose caller's own time is over; the cell did not run."""
    return not_run(CellError(Code.TIMEOUT, f"no time is left to call {target}"))


def overloaded(target: str) -> CellError:
    """The limits of running and waiting calls are reached; the cell did not run."""
    return not_run(CellError(Code.OVERLOADED, f"{target} has no capacity for another call now", retryable=True))


def too_large(target: str, size: int, limit: int) -> CellError:
    """More bytes than the limit; the cell did not run."""
    message = f"the message to {target} has {size} bytes, the limit is {limit}"
    return not_run(CellError(Code.TOO_LARGE, message))
