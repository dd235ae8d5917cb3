"""Events as those who listen get them, and as CloudEvents in binary mode on the wire.

<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md>
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, overload

from cbs import _frame
from cbs._codec import decoder_of, is_json
from cbs._envelope import CONTENT_TYPE_DEFAULT, Envelope, Kind, id_bytes, id_text, new_id, trace_bytes, trace_text
from cbs._errors import CellError, Code, not_run
from cbs._message import CONTENT_TYPE, is_framed, on_one_line, one_line

_T = TypeVar("_T")


class Event:
    """An event that somebody published. Texts are empty where nothing was said."""

    __slots__ = ("_envelope", "missed")

    missed: int
    """How many events before this one were lost to this subscription, because its queue was full."""

    def __init__(self, envelope: Envelope, missed: int = 0) -> None:
        self._envelope = envelope
        self.missed = missed

    def __repr__(self) -> str:
        return f"Event({self.topic!r}, {self.payload!r})"

    @property
    def topic(self) -> str:
        """For example ``order.created``."""
        return self._envelope.target.removeprefix("topic ")

    @property
    def payload(self) -> bytes:
        """The bytes that it is all about."""
        return self._envelope.payload

    @property
    def content_type(self) -> str:
        """The payload's media type."""
        return self._envelope.content_type or CONTENT_TYPE_DEFAULT

    @property
    def value(self) -> Any:
        """The payload as JSON's own types; bytes where it is no JSON by its content type.

        Raises `CellError` ``bad-request`` for what should be JSON and is none.
        """
        return self.payload if not is_json(self._envelope.content_type) else decoder_of(None)(self.payload)

    @overload
    def read(self, returns: type[_T]) -> _T: ...
    @overload
    def read(self, returns: Any) -> Any: ...
    def read(self, returns: Any) -> Any:
        """Read the payload as a type. Raises `CellError` ``bad-request`` for what does not fit."""
        return decoder_of(returns)(self.payload)

    @property
    def id(self) -> str:
        """Its id, a UUID."""
        return id_text(self._envelope.id)

    @property
    def correlation_id(self) -> str:
        """The id of the request that began it all."""
        return id_text(self._envelope.correlation_id)

    @property
    def source(self) -> str:
        """The cell that published it (``cell shop.cart``; empty: a program): a claim, never authority."""
        return self._envelope.source[1]

    @property
    def traceparent(self) -> str:
        """Its position in its trace (W3C Trace Context)."""
        return trace_text(_trace(self._envelope))

    @property
    def attributes(self) -> Mapping[str, str]:
        """Anything else that it carried."""
        return dict(self._envelope.attributes)


def _trace(event: Envelope) -> bytes:
    span = (event.causation_id or event.id)[8:]
    return event.trace or event.correlation + span + b"\0"


def event_headers(namespace: str, event: Envelope) -> dict[str, str]:
    """Return an event's headers. ``bad-request`` for an attribute whose key cannot be one."""
    body, cell, _ = event.source
    told = {
        "ce-specversion": "1.0",
        "ce-id": id_text(event.id),
        "ce-type": event.target.removeprefix("topic "),
        "ce-source": f"/cbs/{namespace}/{body}",
        "ce-time": timestamp(event.sent_ms),
        "ce-dataschema": event.schema,
        "ce-cbscell": cell,
        "ce-correlationid": id_text(event.correlation_id),
        "ce-causationid": id_text(event.causation_id),
        "traceparent": trace_text(_trace(event)),
        "tracestate": event.tracestate,
    }
    for key, value in event.attributes:
        if not key or not key.isascii() or not key.isprintable() or ":" in key or " " in key:
            message = f"`{one_line(key)}` is no key of an event's attribute: write letters and digits"
            raise not_run(CellError(Code.BAD_REQUEST, message))
        told[f"ce-x{key.lower()}"] = value
    told[CONTENT_TYPE] = event.content_type or CONTENT_TYPE_DEFAULT
    return {name: on_one_line(value) for name, value in told.items() if value}


def timestamp(milliseconds: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC."""
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_event(topic: str, payload: bytes, headers: Mapping[str, str] | None) -> Envelope:
    """Read an event as it arrived. Raises `_frame.FrameError` for a frame that cannot be read."""
    event = _frame.decode(payload) if is_framed(payload, headers) else _read_bare(payload, headers or {})
    event.kind = Kind.EVENT
    event.target = f"topic {topic}"
    return event


def _read_bare(payload: bytes, headers: Mapping[str, str]) -> Envelope:
    told = {name.lower(): value for name, value in headers.items()}
    event = Envelope(Kind.EVENT, payload)
    event.id = id_bytes(told.get("ce-id", "")) or new_id()
    event.correlation_id = id_bytes(told.get("ce-correlationid", ""))
    event.causation_id = id_bytes(told.get("ce-causationid", ""))
    event.schema = told.get("ce-dataschema", "")
    event.trace = trace_bytes(told.get("traceparent", ""))
    event.tracestate = told.get("tracestate", "")
    source, body = told.get("ce-source", ""), ""
    if source.startswith("/cbs/"):
        body = source.removeprefix("/cbs/").partition("/")[2]
    elif source:
        event.attributes.append(("ce-source", source))
    event.source = (body, told.get("ce-cbscell", ""), "")
    if told.get("ce-id") and not id_bytes(told["ce-id"]):
        event.attributes.append(("ce-id", told["ce-id"]))
    content_type = told.get("content-type", "")
    event.content_type = "" if content_type == CONTENT_TYPE_DEFAULT else content_type
    event.attributes += [(name[4:], value) for name, value in told.items() if name.startswith("ce-x")]
    event.attributes.sort()
    return event
