"""The envelope: what cells exchange, and all that is said about it."""

from __future__ import annotations

import os
import re
import time
import uuid
from dataclasses import dataclass, field
from enum import IntEnum

from cbs._errors import CellError, Code, not_run

CONTENT_TYPE_DEFAULT = "application/json"
"""The content type of a payload that does not name one."""
TIMEOUT_DEFAULT = 5.0
"""How many seconds a call may take whose envelope does not say."""

ATTRIBUTES_MAX = 32
"""The most attributes an envelope may carry."""
ATTRIBUTES_BYTES_MAX = 8 * 1024
"""The most bytes that the keys and values of all attributes may have together."""

_STALE_AFTER_MS = 5_000
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
# The flags of version 00: recorded, and a trace id that is random.
_TRACE_FLAGS = 3


class Kind(IntEnum):
    """What an envelope is for. Numbers 4 to 8 are reserved on the wire."""

    REQUEST = 0
    REPLY = 1
    ERROR = 2
    EVENT = 3


@dataclass(slots=True, eq=False)
class Envelope:
    """A message between cells: a payload, and what is said about it; what is absent is empty, or 0.

    Ids have 16 bytes, a trace has 25 (trace id, span id, flags), times are in milliseconds.
    """

    kind: Kind = Kind.REQUEST
    payload: bytes = b""
    id: bytes = b""
    correlation_id: bytes = b""
    causation_id: bytes = b""
    idempotency_key: str = ""
    target: str = ""
    source: tuple[str, str, str] = ("", "", "")
    """Body, cell (or flow) and revision of the sender: a claim for diagnosis, never authority."""
    schema: str = ""
    content_type: str = ""
    time_ms: int = 0
    timeout_ms: int = 0
    trace: bytes = b""
    tracestate: str = ""
    error: CellError | None = None
    attributes: list[tuple[str, str]] = field(default_factory=list)
    attempt: int = 0

    def check_attributes(self) -> None:
        """Raise ``too-large`` for more attributes than an envelope may have."""
        count = len(self.attributes)
        size = sum(len(key.encode()) + len(value.encode()) for key, value in self.attributes)
        if count > ATTRIBUTES_MAX or size > ATTRIBUTES_BYTES_MAX:
            message = (
                f"the envelope has {count} attributes of {size} bytes, the limits are {ATTRIBUTES_MAX} and "
                f"{ATTRIBUTES_BYTES_MAX}; put more into the payload"
            )
            raise not_run(CellError(Code.TOO_LARGE, message))

    @property
    def correlation(self) -> bytes:
        """The id of the request that began it all: its own where it began it."""
        return self.correlation_id or self.id

    @property
    def sent_ms(self) -> int:
        """When it was sent, by the sender's clock: said, or read from its id; 0 where neither tells."""
        if self.time_ms:
            return self.time_ms
        is_v7 = len(self.id) == 16 and self.id[6] >> 4 == 7
        return int.from_bytes(self.id[:6], "big") if is_v7 else 0

    @property
    def is_stale(self) -> bool:
        """Whether its caller has given up long ago; clocks differ, so 5 s are granted."""
        sent = self.sent_ms
        return bool(sent and self.timeout_ms) and now_ms() - sent > self.timeout_ms + _STALE_AFTER_MS


def now_ms() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000_000


def new_id() -> bytes:
    """Make a UUIDv7 (RFC 9562): its first six bytes are the millisecond, the rest is random."""
    made = bytearray(now_ms().to_bytes(6, "big") + os.urandom(10))
    made[6] = made[6] & 0x0F | 0x70
    made[8] = made[8] & 0x3F | 0x80
    return bytes(made)


def id_text(identity: bytes) -> str:
    """Return an id in its usual form; an absent one is an empty text."""
    if not identity:
        return ""
    digits = identity.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_bytes(text: str) -> bytes:
    """Read an id; empty for what is none."""
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return b""


def trace_bytes(traceparent: str) -> bytes:
    """Read a W3C ``traceparent``; empty for anything else, and for ids of zeros, as the standard asks."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return b""
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not trace.strip("0") or not span.strip("0"):
        return b""
    return bytes.fromhex(trace + span) + bytes([int(flags, 16) & _TRACE_FLAGS])


def trace_text(trace: bytes) -> str:
    """Write a trace's position as ``traceparent``."""
    return f"00-{trace[:16].hex()}-{trace[16:24].hex()}-{trace[24] & _TRACE_FLAGS:02x}"


def trace_within(request: Envelope) -> bytes:
    """Return the position that a request's own requests carry: in the foreign trace, or in one implied by the ids.

    Its span is the last eight bytes of its id; of a later attempt, another.
    """
    span = (int.from_bytes(request.id[8:], "big") ^ request.attempt).to_bytes(8, "big")
    if request.trace:
        return request.trace[:16] + span + request.trace[24:]
    return request.correlation + span + b"\0"
