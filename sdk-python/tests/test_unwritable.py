"""What JSON cannot hold is the cell's own failure, wherever it goes out, and the log names the field."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic
import pytest

import cbs
from cbs import _json, _msgspec
from cbs._codec import encoder_of
from cbs.testing import TestBody

NAN, INFINITY = float("nan"), float("inf")


@dataclass
class Result:
    score: float
    more: Any = None


class Model(pydantic.BaseModel):
    score: float | None = None
    more: Any = None


class Scalar:
    """As numpy has them, and pandas, and PyTorch."""

    dtype = "int64"
    shape: tuple[int, ...] = ()

    def tolist(self) -> Any:
        return 5


class Array(Scalar):
    shape = (2,)


class Row(NamedTuple):
    values: Any


REFUSED: list[tuple[Any, str]] = [
    (NAN, "NaN is no number of JSON"),
    (Result(-INFINITY), "`score`: -Infinity is no number of JSON"),
    ({"rows": [1, {"x": INFINITY}]}, "`rows[1].x`: Infinity is no number of JSON"),
    ([None, Row(NAN)], "`[1][0]`: NaN is no number of JSON"),
    (Model(score=NAN), "`score`: NaN is no number of JSON"),
    ([Model(more={"deep": [None, NAN]})], "`[0].more.deep[1]`: NaN is no number of JSON"),
    ({"id": 1 << 70, "none": None, "x": NAN}, "`x`: NaN is no number of JSON"),
    ({"a": {None: 1}}, "`a`: a map's keys are texts: None cannot be one"),
    ({True: 1}, "a map's keys are texts: True cannot be one"),
    ({(1, 2): 1}, "a map's keys are texts: a `tuple` cannot be one"),
    ({"a": ["\ud800"]}, "`a[0]`: a text holds half of a surrogate pair"),
    ({"n": Scalar()}, "`n`: `Scalar` is nothing that JSON can hold; write the `.item()` of it"),
    ({"n": [Array()]}, "`n[0]`: `Array` is nothing that JSON can hold; write the `.tolist()` of it"),
    ({"n": object()}, "`n`: `object` is nothing that JSON can hold"),
]
refused = pytest.mark.parametrize(("value", "why"), REFUSED, ids=lambda part: str(part)[:40])


@pytest.mark.parametrize("engine", [_json, _msgspec], ids=["stdlib", "msgspec"])
@refused
def test_the_place_is_named(engine: Any, value: Any, why: str) -> None:
    with pytest.raises(engine.FAILURES) as raised:
        engine.dump(value)
    assert str(raised.value) == why


@cbs.cell("out.result")
async def result(_: str, ctx: cbs.Context) -> Any:
    return ctx.config["value"]


@cbs.cell("out.call")
async def call(_: str, ctx: cbs.Context) -> Any:
    return await ctx.call("out.result", ctx.config["value"])


@cbs.cell("out.event")
def event(_: str, ctx: cbs.Context) -> None:
    ctx.publish_sync("out.happened", ctx.config["value"])


@cbs.cell("out.error")
async def error(_: str, ctx: cbs.Context) -> None:
    raise cbs.CellError("out.wrong", "an error", details=ctx.config["value"])


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (result, "the result is no JSON: "),
        (call, "the input for cell out.result is no JSON: "),
        (event, "the event for topic out.happened is no JSON: "),
        (error, "the CellError `out.wrong` cannot be sent: "),
    ],
    ids=["result", "call", "event", "error"],
)
@refused
async def test_wherever_it_goes_out(
    cell: Any, what: str, value: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"out.{cell.__name__}"
    async with TestBody(cell, config={name: {"value": value}}) as body:
        with pytest.raises(cbs.CellError) as raised:
            await body.call(name, "x")
        assert raised.value.code == "cell-failed"
        assert "JSON" not in raised.value.message
        assert body.events() == []
    assert what in caplog.text
    assert why.rpartition("`: ")[2] in caplog.text


@pytest.mark.parametrize("hint", [float, float | None, list[float], Result, Any, dict[str, Any]], ids=str)
def test_no_hint_makes_null_of_it(hint: Any) -> None:
    for value in (NAN, [NAN], {"score": NAN}, Result(NAN)):
        with pytest.raises(cbs.EncodeError):
            encoder_of(hint)(value)


def test_details_are_written_as_results_are() -> None:
    @cbs.cell("out.late")
    async def late() -> None:
        raise cbs.CellError("out.late", "too late", details=Result(1.5, datetime.date(2026, 11, 20)))

    with TestBody(late) as body, pytest.raises(cbs.CellError) as raised:
        body.call_sync("out.late")
    assert raised.value.details == {"score": 1.5, "more": "2026-11-20"}
