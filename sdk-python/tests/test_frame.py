"""The frame codec against the golden frames, and against bytes that nobody made on purpose."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from cbs import CellError, Outcome
from cbs import _frame as frame
from cbs._envelope import Envelope, Kind, id_text, trace_bytes, trace_text

import vectors

VECTORS = vectors.read("frames.json")


def header_of(envelope: Envelope) -> dict[str, Any]:
    """The envelope in the vectors' form."""
    header: dict[str, Any] = {"kind": envelope.kind.name.lower()}
    for name in ("id", "correlation_id", "causation_id"):
        if getattr(envelope, name):
            header[name] = id_text(getattr(envelope, name))
    for name in (
        "idempotency_key", "target", "schema", "content_type", "time_ms", "timeout_ms", "tracestate", "attempt",
    ):  # fmt: skip
        if getattr(envelope, name):
            header[name] = getattr(envelope, name)
    source = {name: text for name, text in zip(("body", "cell", "revision"), envelope.source, strict=True) if text}
    if source:
        header["source"] = source
    if envelope.trace:
        header["trace"] = trace_text(envelope.trace)
    if envelope.error is not None:
        header["error"] = envelope.error.data()
        if envelope.error.outcome is Outcome.NOT_RUN:
            header["error"]["not_run"] = True
    if envelope.attributes:
        header["attributes"] = [list(pair) for pair in envelope.attributes]
    return header


def envelope_of(header: dict[str, Any], payload: bytes) -> Envelope:
    """The envelope that a vector describes."""
    envelope = Envelope(Kind[header["kind"].upper()], payload)
    for name, value in header.items():
        match name:
            case "kind":
                continue
            case "id" | "correlation_id" | "causation_id":
                setattr(envelope, name, uuid.UUID(value).bytes)
            case "source":
                envelope.source = (value.get("body", ""), value.get("cell", ""), value.get("revision", ""))
            case "trace":
                envelope.trace = trace_bytes(value)
            case "attributes":
                envelope.attributes = [(key, text) for key, text in value]
            case "error":
                envelope.error = CellError.from_data(value)
                if value.get("not_run"):
                    envelope.error.outcome = Outcome.NOT_RUN
            case _:
                setattr(envelope, name, value)
    return envelope


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: str(vector["name"]))
def test_a_golden_frame_is_read_and_written(vector: dict[str, Any]) -> None:
    expected = {**vector["header"]}
    if "error" in expected:
        expected["error"] = {"message": "", **expected["error"]}
    read = frame.decode(bytes.fromhex(vector["frame"]))
    assert header_of(read) == expected
    assert read.payload.hex() == vector["payload"]
    if not vector.get("read_only"):
        written = frame.encode(envelope_of(vector["header"], bytes.fromhex(vector["payload"])))
        assert written.hex() == vector["frame"]


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: str(vector["name"]))
def test_bytes_that_are_no_frame_say_why(vector: dict[str, Any]) -> None:
    with pytest.raises(frame.FrameError) as raised:
        frame.decode(bytes.fromhex(vector["frame"]))
    assert str(raised.value) == vector["error"]


def test_no_bytes_make_the_reader_fail_in_another_way() -> None:
    dice = random.Random(7)
    golden = [bytes.fromhex(vector["frame"]) for vector in VECTORS["frames"]]
    for _ in range(20_000):
        spoilt = bytearray(dice.choice(golden))
        for _ in range(dice.randint(1, 4)):
            match dice.randint(0, 2):
                case 0 if spoilt:
                    spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
                case 1:
                    spoilt.insert(dice.randint(0, len(spoilt)), dice.randrange(256))
                case _:
                    del spoilt[dice.randint(0, len(spoilt)) :]
        try:
            read = frame.decode(bytes(spoilt))
        except frame.FrameError:
            continue
        again = frame.decode(frame.encode(read))
        assert header_of(again).keys() <= header_of(read).keys()
        assert again.payload == read.payload
