"""Whatever a cell does, its caller gets an answer, and the other cells run on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

import cbs
from cbs._hooks import Hook
from cbs._lane import Lane
from cbs._serve import Limits, Standalone
from cbs.testing import TestBody
from serving import serving


class OddError(BaseException):
    """Not even an Exception."""


RAISED: list[BaseException] = [
    asyncio.CancelledError(),
    GeneratorExit(),
    KeyboardInterrupt("secret"),
    OddError("secret"),
    StopIteration("secret"),
    SystemExit("secret"),
]
UNSENDABLE = [
    cbs.CellError("a.b", "no JSON", details={1, object()}),
    cbs.CellError("a.b", "no JSON", details={"n": float("nan")}),
    cbs.CellError("a.b", "half a pair: \ud800"),
    cbs.CellError("a.b", ValueError("no text")),  # type: ignore[arg-type]
]


def raising(error: BaseException) -> list[Any]:
    """The three ways to run a cell: in place, in a task, on a thread."""

    @cbs.cell("fault.at-once")
    async def at_once() -> None:
        raise error

    @cbs.cell("fault.in-task")
    async def in_task() -> None:
        await asyncio.sleep(0)
        raise error

    @cbs.cell("fault.on-thread")
    def on_thread() -> None:
        raise error

    return [at_once, in_task, on_thread]


@pytest.mark.parametrize("name", ["fault.at-once", "fault.in-task", "fault.on-thread"])
@pytest.mark.parametrize("error", [*RAISED, *UNSENDABLE], ids=repr)
async def test_whatever_a_cell_raises_costs_its_own_caller(
    name: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with TestBody(*raising(error)) as body:
        with pytest.raises(cbs.CellError) as raised:
            await body.call(name)
    assert raised.value.code == "cell-failed"
    assert "secret" not in str(raised.value)
    assert "the cell failed" in caplog.text
    assert raised.value.message.rpartition(" ")[2] in [getattr(r, "cbs_id", "") for r in caplog.records]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()], ids=repr)
async def test_whatever_a_cell_raises_it_is_served_on(nats_url: str, error: BaseException) -> None:
    async with serving(nats_url, *raising(error)) as served:
        for name in ("fault.at-once", "fault.in-task", "fault.on-thread", "fault.at-once"):
            with pytest.raises(cbs.CellError) as raised:
                await served.bus.call(name)
            assert raised.value.code == "cell-failed"


async def test_details_are_what_they_are_on_the_wire() -> None:
    @cbs.cell("fault.details")
    async def details() -> None:
        raise cbs.CellError("a.b", "pairs", details={"pairs": [(1, 2)], 7: None})

    async with TestBody(details) as body:
        with pytest.raises(cbs.CellError) as raised:
            await body.call("fault.details")
    assert raised.value.details == {"pairs": [[1, 2]], "7": None}


async def test_where_all_threads_hang_calls_are_refused_and_do_not_pile_up() -> None:
    release = threading.Event()

    @cbs.cell("fault.hangs")
    def hangs() -> None:
        release.wait(20)

    body = TestBody(hangs)
    body._lane = Lane([hangs], threads=2)
    async with body:
        for _ in range(2):
            with pytest.raises(cbs.CellError) as raised:
                await body.call("fault.hangs", timeout=0.5)
            assert raised.value.code == "timeout"
        with pytest.raises(cbs.CellError) as raised:
            await body.call("fault.hangs")
        assert (raised.value.code, raised.value.outcome) == ("overloaded", cbs.Outcome.NOT_RUN)
        release.set()
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(cbs.CellError):
                    await body.call("fault.hangs")
                    break
                await asyncio.sleep(0.005)  # sleep: between two looks at the condition


async def test_a_thread_that_outlives_its_loop_is_told() -> None:
    go_on, ended = threading.Event(), threading.Event()
    told: list[str] = []

    @cbs.cell("fault.late")
    def late(ctx: cbs.Context) -> None:
        go_on.wait(20)
        try:
            ctx.call_sync("fault.late")
        except RuntimeError as error:
            told.append(str(error))
        ended.set()

    def life() -> None:
        with TestBody(late) as body, pytest.raises(cbs.CellError, match="timeout"):
            body.call_sync("fault.late", timeout=0.5)

    await asyncio.to_thread(life)
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 20)
    assert told == ["the event loop of the call has ended, and with it the call"]


async def test_a_stop_hook_that_hangs_does_not_keep_the_program(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("cbs._lane.hooks", lambda _: ([], [Hook(hangs, wants_state=False)]))
    monkeypatch.setattr("cbs._serve.STOP_HOOKS_LEAST", 0.1)
    async with cbs.connect(nats_url, namespace="hangs", body="hangs-1") as bus:
        standalone = Standalone(Lane(raising(ValueError())), bus, Limits())
        await standalone.start()
        assert not await standalone.stop(0.2)
    assert "the stop hooks did not end in time" in caplog.text
