"""The span that a body records of a call, for the words of the cell's author about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cbs._codec import encode_any
from cbs._port import CallInfo, Port

NOTES_MAX = 64
"""The most attributes and events that a span keeps; what is beyond is counted."""
NOTE_BYTES_MAX = 1024
"""The most bytes that is kept of each of their texts."""


class Span:
    """The span of the call that runs.

    It is recorded with the call: where the trace is sampled, and where the call fails or is slow; else
    what was said about it is forgotten. 64 attributes and events are kept, of each text 1,024 bytes.

    Values are written as text: a text as it is, all else as JSON (`7`, `true`), what JSON cannot hold
    as its `str`. Nothing here waits, or raises for what it is given.
    """

    __slots__ = ("_info", "_port")

    def __init__(self, info: CallInfo, port: Port) -> None:
        self._info = info
        self._port = port

    @property
    def sampled(self) -> bool:
        """Whether it is recorded however the call goes: what is dear to find out can be left out where not."""
        return self._info.sampled

    @property
    def traceparent(self) -> str:
        """Its position in the trace (W3C Trace Context), for tools that make spans of their own below it."""
        return self._info.traceparent

    def attribute(self, key: str, value: object) -> None:
        """Say something that is so, for example ``order.id``; of two of one key the later counts."""
        self._port.attribute(self._info, note_text(key), note_text(value))

    def event(self, name: str, attributes: Mapping[str, object] | None = None, /, **more: object) -> None:
        """Say that something happened now, for example ``cache miss``, with attributes of its own."""
        said = {**_mapping(attributes), **more}
        told = [(note_text(key), note_text(value)) for key, value in list(said.items())[:NOTES_MAX]]
        self._port.event(self._info, note_text(name), told)


def _mapping(attributes: Any) -> Mapping[str, object]:
    try:
        return dict(attributes or {})
    except (TypeError, ValueError):
        return {"attributes": attributes}  # what is no mapping is told all the same


def note_text(value: object) -> str:
    """Write anything as a note's text, of which no more is kept than will be."""
    return _text(value)[:NOTE_BYTES_MAX]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    try:
        if isinstance(value, float):
            return json.dumps(value)  # NaN too
        payload, content_type = encode_any(value)
        if content_type:
            return f"{len(payload)} bytes"
        written = json.loads(payload)
        return written if isinstance(written, str) else payload.decode()
    except Exception:  # noqa: BLE001 - what is said about a call must not fail it
        return _shown(value)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the author's own class
        return f"({type(value).__name__})"
