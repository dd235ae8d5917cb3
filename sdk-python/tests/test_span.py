"""What a cell says about its calls, and where they stand in their traces."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from typing import Any

import pytest

import cbs
from cbs import _span
from cbs._envelope import Envelope, Kind, id_bytes, trace_bytes, trace_text, trace_within
from cbs._lane import Call, envelope_of
from cbs._port import Outgoing
from cbs.testing import TestBody

import vectors

TRACES = vectors.read("traces.json")


@pytest.mark.parametrize("entry", TRACES["positions"], ids=lambda entry: entry["name"])
def test_every_call_stands_where_the_vectors_say(entry: dict[str, Any]) -> None:
    request = Envelope(Kind.REQUEST, b"", id=id_bytes(entry["id"]), attempt=entry.get("attempt", 0))
    request.correlation_id = id_bytes(entry.get("correlation_id", ""))
    request.trace = trace_bytes(entry.get("trace", ""))
    assert trace_text(trace_within(request)) == entry["traceparent"]
    call = Call(request, "demo.cell", "test", 0.0)
    assert (call.traceparent, call.sampled) == (entry["traceparent"], entry.get("trace", "").endswith("1"))
    onward = envelope_of(Kind.REQUEST, Outgoing("cell demo.other", b""), call, "test").trace
    assert onward == (trace_bytes(entry["traceparent"]) if request.trace else b"")


@pytest.mark.parametrize("entry", TRACES["texts"], ids=lambda entry: repr(entry["value"]))
def test_values_are_written_as_the_vectors_say(entry: dict[str, Any]) -> None:
    assert _span.note_text(entry["value"]) == entry["text"]


class _Colour(enum.Enum):
    GREEN = "green"


@dataclasses.dataclass
class _Order:
    sku: str
    count: int = 1


class _Stubborn:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_whatever_an_author_says_becomes_a_text_and_raises_nothing() -> None:
    identity = uuid.uuid4()
    for value, text in [
        (identity, str(identity)), (_Colour.GREEN, "green"), (_Order("tea"), '{"sku":"tea","count":1}'),
        (math.nan, "NaN"), (-math.inf, "-Infinity"), (b"\xff\x00", "2 bytes"), (_Stubborn(), "(_Stubborn)"),
    ]:  # fmt: skip
        assert _span.note_text(value) == text
    looped: list[Any] = []
    looped.append(looped)
    assert _span.note_text(looped) == "[[...]]"
    assert len(_span.note_text("x" * 5_000)) == 1_024
    assert _span._mapping("no mapping") == {"attributes": "no mapping"}
    assert _span._mapping([("key", 1)]) == {"key": 1}


def test_a_test_reads_what_a_cell_said_about_each_of_its_calls() -> None:
    @cbs.cell("shop.place")
    async def place(order: dict[str, Any], ctx: cbs.Context) -> bool:
        ctx.span.attribute("order.sku", order["sku"])
        ctx.span.attribute("order.count", order["count"])
        ctx.span.attribute("order.count", 8)
        ctx.span.event("cache miss", key="orders/1", late=False)
        ctx.span.event("retried", {"after ms": 30})
        ctx.span.event("done")
        return ctx.span.sampled

    @cbs.cell("shop.slow")
    def slow() -> str:
        cbs.current().span.attribute("thread", True)
        return cbs.current().span.traceparent

    with TestBody(place, slow) as body:
        assert body.spans("shop.place") == []
        assert body.call_sync("shop.place", {"sku": "tea", "count": 7}) is False
        (said,) = body.spans("shop.place")
        assert said.attributes == {"order.sku": "tea", "order.count": "8"}
        assert said.events == [
            ("cache miss", {"key": "orders/1", "late": "false"}), ("retried", {"after ms": "30"}), ("done", {}),
        ]  # fmt: skip
        assert body.call_sync("shop.slow").startswith("00-")
        assert [span.attributes for span in body.spans("shop.slow")] == [{"thread": "true"}]
        body.call_sync("shop.place", {"sku": "milk", "count": 1})
        assert [span.attributes["order.sku"] for span in body.spans("shop.place")] == ["tea", "milk"]


def test_a_span_keeps_64_notes_of_1024_bytes() -> None:
    @cbs.cell("demo.talks")
    async def talks(ctx: cbs.Context) -> None:
        ctx.span.attribute("long", "é" * 2_000)
        ctx.span.event("many", {str(number): number for number in range(100)})
        for number in range(100):
            ctx.span.attribute(str(number), number)

    with TestBody(talks) as body:
        body.call_sync("demo.talks")
        (said,) = body.spans("demo.talks")
    assert said.attributes["long"] == "é" * 512
    assert [(name, len(more)) for name, more in said.events] == [("many", 64)]
    assert (len(said.attributes) + len(said.events), said.dropped) == (64, 38)


async def test_a_sampled_trace_stays_so_through_a_cell_to_its_own_calls() -> None:
    @cbs.cell("demo.outer")
    async def outer(ctx: cbs.Context) -> list[Any]:
        return [ctx.span.sampled, ctx.traceparent, *await ctx.call("demo.inner")]

    @cbs.cell("demo.inner")
    async def inner(ctx: cbs.Context) -> list[Any]:
        return [ctx.span.sampled, ctx.span.traceparent]

    async with TestBody(outer, inner) as body:
        request = Envelope(Kind.REQUEST, b"null", id=id_bytes("01937f00-1234-7abc-8def-0123456789ab"), attempt=1)
        request.target = "cell demo.outer"
        request.trace = trace_bytes("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        call = Call(request, "demo.outer", "test", 1e12)
        reply = await body._lane.answer(call, body._port, *body._lane.cells["demo.outer"])
    sampled, outer_trace, inner_sampled, inner_trace = cbs._codec.decoder_of(list)(reply.payload)
    assert (sampled, inner_sampled) == (True, True)
    assert outer_trace == "00-0af7651916cd43dd8448eb211c80319c-8def0123456789aa-01"
    assert inner_trace.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert inner_trace.endswith("-01")
    assert inner_trace != outer_trace
