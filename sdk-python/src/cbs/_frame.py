"""The frame: an envelope as bytes, the same over NATS and to sidecars.

    0xCB 0x01 | varint header length | protobuf cbs.v1.Header | payload bytes as they are

The header's schema is `specs/proto/cbs/v1/envelope.proto`. Written by hand, for then it needs no
package and takes a few microseconds; held to `specs/vectors/frames.json` by the tests.
"""

from __future__ import annotations

import json
from typing import Any, Final

from cbs import _names
from cbs._envelope import ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, Envelope, Kind
from cbs._errors import CellError, Code, Outcome

MARK: Final = 0xCB
VERSION: Final = 1
HEADER_BYTES_MAX: Final = 64 * 1024

_U32_MAX: Final = 0xFFFF_FFFF
_U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
_VARINT_BYTES_MAX: Final = 10
_TRACE_BYTES: Final = 25
_KIND_RESERVED_MAX: Final = 8
_ID_BYTES: Final = 16

_Field = tuple[int, Any]


class FrameError(ValueError):
    """Bytes that are no frame, and why."""


def is_frame(payload: bytes) -> bool:
    """Whether a message looks like a frame of any version; what does not is plain."""
    return payload[:1] == b"\xcb"


def encode(envelope: Envelope) -> bytes:
    """Write an envelope as a frame; fields stand in the order of their numbers."""
    out = bytearray()
    if envelope.kind in {Kind.REQUEST, Kind.EVENT} and envelope.id:
        _put(out, 0x0A, envelope.id)
        _put(out, 0x12, envelope.correlation_id)
        _put(out, 0x1A, envelope.causation_id)
    _put_text(out, 0x22, envelope.idempotency_key)
    _put_text(out, 0x2A, envelope.target)
    body, cell, revision = envelope.source
    if body or cell or revision:
        source = bytearray()
        _put_text(source, 0x0A, body)
        _put_text(source, 0x12, cell)
        _put_text(source, 0x1A, revision)
        _put(out, 0x32, source)
    _put_text(out, 0x3A, envelope.schema)
    _put_text(out, 0x42, envelope.content_type)
    if envelope.time_ms:
        out.append(0x49)
        out += envelope.time_ms.to_bytes(8, "little")
    _put_number(out, 0x50, envelope.timeout_ms)
    _put(out, 0x5A, envelope.trace)
    _put_text(out, 0x62, envelope.tracestate)
    _put_number(out, 0x68, envelope.kind)
    if envelope.error is not None:
        _put(out, 0x72, _error(envelope.error), always=True)
    for key, value in envelope.attributes:
        pair = bytearray()
        _put_text(pair, 0x0A, key)
        _put_text(pair, 0x12, value)
        _put(out, 0x7A, pair, always=True)
    if envelope.attempt:
        out += b"\x80\x01"
        _varint(out, envelope.attempt)
    frame = bytearray((MARK, VERSION))
    _varint(frame, len(out))
    return b"".join((frame, out, envelope.payload))


def _error(error: CellError) -> bytearray:
    out = bytearray()
    _put_text(out, 0x0A, error.code)
    _put_text(out, 0x12, error.message)
    _put_number(out, 0x18, int(error.retryable))
    if error.has_details:
        details = json.dumps(error.details, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        _put(out, 0x22, details.encode())
    _put_number(out, 0x28, int(error.outcome is Outcome.NOT_RUN))
    return out


def _put(out: bytearray, tag: int, content: bytes | bytearray, always: bool = False) -> None:
    if content or always:
        out.append(tag)
        _varint(out, len(content))
        out += content


def _put_text(out: bytearray, tag: int, text: str) -> None:
    if text:
        content = text.encode()
        out.append(tag)
        _varint(out, len(content))
        out += content


def _put_number(out: bytearray, tag: int, number: int) -> None:
    if number:
        out.append(tag)
        _varint(out, number)


def _varint(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def decode(frame: bytes) -> Envelope:
    """Read a frame; unknown header fields are passed over. FrameError for bytes that are no frame."""
    if frame[:1] != b"\xcb":
        raise FrameError("not a frame: the first byte is not 0xCB")
    if len(frame) < 2:
        raise FrameError("the frame ends in the middle of its header")
    if frame[1] != VERSION:
        raise FrameError(f"frame version {frame[1]}, this program reads version {VERSION}")
    length, at = _read_varint(frame, 2, len(frame))
    if length > HEADER_BYTES_MAX:
        raise FrameError(f"the header has {length} bytes, the limit is {HEADER_BYTES_MAX}")
    end = at + length
    if end > len(frame):
        raise FrameError("the frame ends in the middle of its header")
    envelope = _header(_fields(frame, at, end))
    envelope.payload = frame[end:]
    return envelope


def _header(fields: list[_Field]) -> Envelope:  # one case a field of the schema
    envelope = Envelope()
    attribute_bytes = 0
    for number, value in fields:
        match number:
            case 1:
                envelope.id = _id(number, value)
            case 2:
                envelope.correlation_id = _id(number, value)
            case 3:
                envelope.causation_id = _id(number, value)
            case 4:
                envelope.idempotency_key = _text(number, value)
            case 5:
                envelope.target = _target(_text(number, value))
            case 6:
                envelope.source = _source(_bytes(number, value))
            case 7:
                envelope.schema = _text(number, value)
            case 8:
                envelope.content_type = _text(number, value)
            case 9:
                envelope.time_ms = _number(number, value)
            case 10:
                envelope.timeout_ms = _number(number, value)
            case 11:
                envelope.trace = _bytes(number, value)
                if envelope.trace and len(envelope.trace) != _TRACE_BYTES:
                    raise FrameError("header field 11: not 25 bytes")
            case 12:
                envelope.tracestate = _text(number, value)
            case 13:
                envelope.kind = _kind(_number(number, value))
            case 14:
                envelope.error = _read_error(_bytes(number, value))
            case 15:
                key, text = pair = _pair(_bytes(number, value))
                attribute_bytes += len(key.encode()) + len(text.encode())
                if len(envelope.attributes) >= ATTRIBUTES_MAX or attribute_bytes > ATTRIBUTES_BYTES_MAX:
                    raise FrameError("header field 15: more than 32 attributes or 8 KiB of them")
                envelope.attributes.append(pair)
            case 16:
                envelope.attempt = _number(number, value)
                if envelope.attempt > _U32_MAX:
                    raise FrameError("header field 16: out of range")
    return envelope


def _kind(number: int) -> Kind:
    if number <= Kind.EVENT:
        return Kind(number)
    what = "is reserved" if number <= _KIND_RESERVED_MAX else "does not exist"
    raise FrameError(f"header field 13: a kind that {what}")


def _id(number: int, value: Any) -> bytes:
    content = _bytes(number, value)
    if content and len(content) != _ID_BYTES:
        raise FrameError(f"header field {number}: an id that has not 16 bytes")
    return content


def _target(text: str) -> str:
    if not text:
        return text
    try:
        return _names.target_of(text)
    except ValueError:
        raise FrameError("header field 5: not a target") from None


def _source(content: bytes) -> tuple[str, str, str]:
    texts = ["", "", ""]
    for number, value in _fields(content, 0, len(content)):
        if 1 <= number <= len(texts):
            texts[number - 1] = _text(6, value)
    return texts[0], texts[1], texts[2]


def _pair(content: bytes) -> tuple[str, str]:
    texts = ["", ""]
    for number, value in _fields(content, 0, len(content)):
        if 1 <= number <= len(texts):
            texts[number - 1] = _text(15, value)
    return texts[0], texts[1]


def _read_error(content: bytes) -> CellError:
    data: dict[str, Any] = {"code": Code.INTERNAL.value, "message": ""}
    refused = False
    for number, value in _fields(content, 0, len(content)):
        match number:
            case 1:
                data["code"] = _text(14, value) or Code.INTERNAL.value
            case 2:
                data["message"] = _text(14, value)
            case 3:
                data["retryable"] = _number(14, value) != 0
            case 4:
                details = _bytes(14, value)
                data.pop("details", None)
                if details:
                    data["details"] = _details(details)
            case 5:
                refused = refused or _number(14, value) != 0
    error = CellError.from_data(data)
    if refused:
        error.outcome = Outcome.NOT_RUN
    return error


def _details(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FrameError("header field 14: details that are no JSON") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _number(number: int, value: Any) -> int:
    if not isinstance(value, int):
        raise FrameError(f"header field {number}: bytes where a number belongs")
    return value


def _bytes(number: int, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise FrameError(f"header field {number}: a number where bytes belong")
    return value


def _text(number: int, value: Any) -> str:
    try:
        return _bytes(number, value).decode()
    except UnicodeDecodeError:
        raise FrameError(f"header field {number}: not UTF-8") from None


def _fields(frame: bytes, at: int, end: int) -> list[_Field]:
    """Return the numbers and values of a message's fields; numbers as int, everything else as bytes."""
    fields: list[_Field] = []
    while at < end:
        tag = frame[at]
        at += 1
        if tag > 0x7F:
            tag, at = _read_varint(frame, at - 1, end)
        value: Any
        match tag & 7:
            case 2:
                length, at = _read_varint(frame, at, end)
                value = frame[at : at + length]
                at += length
            case 0:
                value, at = _read_varint(frame, at, end)
            case 1:
                value = int.from_bytes(frame[at : at + 8], "little")
                at += 8
            case 5:
                value = int.from_bytes(frame[at : at + 4], "little")
                at += 4
            case _:
                raise FrameError(f"header field {tag >> 3}: a wire type that protobuf 3 does not have")
        if at > end:
            raise FrameError("the frame ends in the middle of its header")
        fields.append((tag >> 3, value))
    return fields


def _read_varint(frame: bytes, at: int, end: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
        if at >= end:
            raise FrameError("the frame ends in the middle of its header")
        byte = frame[at]
        at += 1
        if byte < 0x80:
            return (number | byte << shift) & _U64_MAX, at
        number |= (byte & 0x7F) << shift
    raise FrameError("the header has a number of more than 10 bytes")
