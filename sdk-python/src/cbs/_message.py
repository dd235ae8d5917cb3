"""Envelopes as NATS messages: framed for those who speak CBS, plain for everybody else.

Nothing here knows a NATS client: a message is its bytes and its headers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cbs import _frame
from cbs._envelope import Envelope, Kind, new_id, trace_bytes
from cbs._errors import CellError, Code, cell_failed, code_of, not_run
from cbs._port import Incoming

Headers = Mapping[str, str]

CONTENT_TYPE = "Content-Type"
TIMEOUT = "Cbs-Timeout-Ms"
"""The header in which a plain caller says how many milliseconds it waits."""
ERROR_CODE = "Nats-Service-Error-Code"
ERROR = "Nats-Service-Error"

_ERROR_LINE_MAX = 512
_ERROR_BYTES_MAX = _frame.HEADER_BYTES_MAX - 2 * 1024
"""What message and details of an error may have together: a frame's header, less what else stands in it."""


def is_framed(payload: bytes, headers: Headers | None) -> bool:
    """Whether a message is a frame: its first byte says so, and its headers do not say otherwise."""
    if not _frame.is_frame(payload):
        return False
    names = [name.lower() for name in headers or ()]
    return not any(name == "content-type" or name.startswith("ce-") for name in names)


def read_request(payload: bytes, headers: Headers | None) -> Envelope:
    """Read a request. Raises ``bad-request`` for what is none; then no cell has run."""
    if not is_framed(payload, headers):
        return _read_bare(payload, headers or {})
    try:
        request = _frame.decode(payload)
    except _frame.FrameError as error:
        raise not_run(CellError(Code.BAD_REQUEST, str(error))) from None
    if request.kind is not Kind.REQUEST:
        raise not_run(CellError(Code.BAD_REQUEST, "the frame is no request"))
    return request


def _read_bare(payload: bytes, headers: Headers) -> Envelope:
    request = Envelope(Kind.REQUEST, payload)
    request.id = new_id()
    if not headers:
        return request
    told = {name.lower(): value for name, value in headers.items()}
    request.content_type = told.get("content-type", "")
    # Garbage in a trace header starts a new trace, as W3C asks.
    request.trace = trace_bytes(told.get("traceparent", ""))
    request.tracestate = told.get("tracestate", "") if request.trace else ""
    timeout = told.get(TIMEOUT.lower(), "")
    if timeout:
        if not (timeout.isascii() and timeout.isdigit() and int(timeout[:20]) > 0 and len(timeout) < 20):
            message = f"the header {TIMEOUT} holds `{one_line(timeout)}`; write whole milliseconds above 0"
            raise not_run(CellError(Code.BAD_REQUEST, message))
        request.timeout_ms = int(timeout)
    for foreign in ("ce-id", "ce-source", "ce-subject", "nats-msg-id"):
        if told.get(foreign):
            request.attributes.append((foreign, told[foreign]))
    return request


def write_reply(framed: bool, body: str, reply: Incoming) -> tuple[bytes, dict[str, str] | None]:
    """Write a reply in the form of its request: payload and headers."""
    if framed:
        envelope = Envelope(Kind.REPLY, reply.payload)
        envelope.source = (body, "", "")
        envelope.content_type = reply.content_type
        return _frame.encode(envelope), None
    if reply.content_type:
        return reply.payload, {CONTENT_TYPE: on_one_line(reply.content_type)}
    return reply.payload, None


def write_error(framed: bool, body: str, identity: str, error: CellError) -> tuple[bytes, dict[str, str] | None]:
    """Write an error in the form of its request."""
    try:
        data = json.dumps(error.data(), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        # Its details are nothing that JSON can hold: the cell is at fault.
        error = cell_failed(identity)
        data = json.dumps(error.data()).encode()
    if len(data) > _ERROR_BYTES_MAX:
        error = _shortened(error)
        data = json.dumps(error.data(), ensure_ascii=False, separators=(",", ":")).encode()
    if framed:
        envelope = Envelope(Kind.ERROR)
        envelope.source = (body, "", "")
        envelope.error = error
        return _frame.encode(envelope), None
    return data, {ERROR_CODE: str(error.status), ERROR: one_line(f"{error.code}: {error.message}")}


def _shortened(error: CellError) -> CellError:
    """Leave out the details of an error that is longer than a frame's header, and what its message has too many."""
    message = error.message
    if len(message.encode()) > _ERROR_BYTES_MAX // 2:
        message = message.encode()[: _ERROR_BYTES_MAX // 2].decode(errors="ignore") + " … (cut)"
    short = CellError(error.code, message, error.retryable)
    short.outcome = error.outcome
    return short


def read_reply(payload: bytes, headers: Headers | None) -> Incoming:
    """Read what came back for a request; a framed caller accepts a plain reply. Raises the error that it carries."""
    if not is_framed(payload, headers):
        return _read_bare_reply(payload, headers or {})
    try:
        reply = _frame.decode(payload)
    except _frame.FrameError as error:
        raise CellError(Code.INTERNAL, f"the reply cannot be read: {error}") from None
    if reply.kind is Kind.ERROR:
        raise reply.error or CellError(Code.INTERNAL, "an error reply without an error")
    if reply.kind is not Kind.REPLY:
        raise CellError(Code.INTERNAL, "the reply cannot be read: the frame is no reply")
    return Incoming(reply.payload, reply.content_type, reply.schema, dict(reply.attributes))


def _read_bare_reply(payload: bytes, headers: Headers) -> Incoming:
    told = {name.lower(): value for name, value in headers.items()}
    status = told.get(ERROR_CODE.lower())
    if status is None:
        return Incoming(payload, told.get("content-type", ""))
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict) and isinstance(data.get("code"), str) and isinstance(data.get("message"), str):
        raise CellError.from_data(data)
    line = told.get(ERROR.lower()) or f"error {status}"
    raise CellError(code_of(status), line)


def one_line(text: str) -> str:
    """Return a person's line for a header: no longer than anybody reads."""
    return on_one_line(text)[:_ERROR_LINE_MAX]


def on_one_line(text: str) -> str:
    """Return a header's value: a line has no control characters."""
    return "".join(" " if ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 else letter for letter in text)


def headers_size(headers: Headers | None) -> int:
    """Return the bytes that headers take on the wire: a line each, ``NATS/1.0`` before and an empty line after."""
    if not headers:
        return 0
    return 12 + sum(len(name) + len(value.encode()) + 4 for name, value in headers.items())
