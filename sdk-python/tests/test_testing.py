"""The test body: the same answers as on NATS, without a server."""

from __future__ import annotations

import asyncio
import logging
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

import cbs
from cbs._hooks import Hook, hooks
from cbs.testing import TestBody
from cells import shop


@pytest.fixture(autouse=True)
def _forget() -> None:
    shop.STARTED.clear()
    shop.STOPPED.clear()


async def failing(body: TestBody, target: str, value: Any = None, timeout: float = 5.0) -> cbs.CellError:
    """The error that a call ends with."""
    with pytest.raises(cbs.CellError) as raised:
        await body.call(target, value, timeout=timeout)
    return raised.value


async def test_cells_call_publish_print_and_keep_state() -> None:
    async with TestBody(shop) as body:
        body.answer("stock.reserve", True)
        first = await body.call("shop.place", {"sku": "tea"})
        second = await body.call("shop.place", {"sku": "tea", "count": 2}, returns=shop.Placed)
        assert first == {"order": {"sku": "tea", "count": 1}, "number": 1, "tags": []}
        assert second == shop.Placed(shop.Order("tea", 2), 2)
        assert body.printed == ["placed tea", "placed tea"]
        assert body.calls("stock.reserve") == [{"sku": "tea", "count": 1}, {"sku": "tea", "count": 2}]
        assert body.state(shop).numbers == 2


async def test_hooks_run_once_around_all_calls() -> None:
    async with TestBody(shop.place, shop.who) as body:
        body.answer("stock.reserve", lambda order: order["count"] == 1)
        await body.call("shop.place", {"sku": "tea"})
        assert (shop.STARTED, shop.STOPPED) == (["store", "second"], [])
    assert shop.STOPPED == ["store 1"]


async def test_stop_hooks_do_not_run_where_a_start_hook_of_their_module_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_database() -> None:
        raise OSError("no database")

    starts, stops = hooks(shop)
    monkeypatch.setattr("cbs._lane.hooks", lambda _: ([*starts, Hook(no_database, wants_state=False)], stops))
    with pytest.raises(OSError, match="no database"):
        async with TestBody(shop):
            pytest.fail("it was started")
    assert (shop.STARTED, shop.STOPPED) == (["store", "second"], [])


async def test_a_start_that_fails_stops_the_modules_before_it() -> None:
    away = types.ModuleType("away")
    code = """
import cbs
@cbs.start
def start(): raise OSError("no database")
@cbs.cell("logic.away")
def cell(): pass
"""
    exec(code, vars(away))
    with pytest.raises(OSError, match="no database"):
        async with TestBody(shop, away):
            pytest.fail("it was started")
    assert (shop.STARTED, shop.STOPPED) == (["store", "second"], ["store 0"])


async def test_a_cells_error_reaches_the_caller_unchanged_bus_5() -> None:
    async with TestBody(shop) as body:
        body.answer("stock.reserve", False)
        error = await failing(body, "shop.place", {"sku": "tea"})
        assert error.data() == {
            "code": "stock.empty",
            "message": "no more tea",
            "retryable": True,
            "details": {"sku": "tea"},
        }
        assert (error.status, error.outcome) == (422, cbs.Outcome.RAN)


async def test_what_is_no_cell_error_leaves_nothing_but_an_id(caplog: pytest.LogCaptureFixture) -> None:
    async with TestBody(shop) as body:
        error = await failing(body, "shop.fails", "swordfish")
    assert error.code == "cell-failed"
    assert "swordfish" not in str(error)
    (record,) = [record for record in caplog.records if record.name == "shop.fails"]
    assert record.__dict__["cbs_id"] in error.message
    assert record.exc_info is not None
    assert "swordfish" in str(record.exc_info[1])


async def test_input_that_does_not_fit_is_a_bad_request() -> None:
    async with TestBody(shop) as body:
        error = await failing(body, "shop.place", {"sku": "tea", "count": "two"})
        assert error.data() == {
            "code": "bad-request",
            "message": "`count`: expected `int`, got `str`",
            "details": {"path": "count"},
        }
        assert body.calls("stock.reserve") == []


async def test_output_that_does_not_fit_is_the_cells_fault() -> None:
    @cbs.cell("logic.wrong")
    async def wrong() -> int:
        return "text"  # type: ignore[return-value]

    async with TestBody(wrong) as body:
        assert (await failing(body, "logic.wrong")).code == "cell-failed"


async def test_a_reply_that_does_not_fit_is_not_the_callers_fault() -> None:
    async with TestBody(shop) as body:
        body.answer("stock.reserve", "perhaps")
        error = await failing(body, "shop.place", {"sku": "tea"})
        assert (error.code, error.message) == (
            "internal",
            "the reply of cell stock.reserve: the payload: expected `bool`, got `str`",
        )


async def test_bus_1_a_call_ends_within_its_timeout() -> None:
    forever, on_thread = asyncio.Event(), threading.Event()
    cancelled: list[str] = []

    @cbs.cell("logic.hangs")
    async def hangs() -> None:
        await forever.wait()

    @cbs.cell("logic.stubborn")
    async def stubborn() -> None:
        try:
            await forever.wait()
        except asyncio.CancelledError:
            cancelled.append("stubborn")
            await forever.wait()

    @cbs.cell("logic.blocks")
    def blocks() -> None:
        on_thread.wait(20)

    try:
        async with TestBody(hangs, stubborn, blocks) as body:
            for name in ("logic.hangs", "logic.stubborn", "logic.blocks"):
                error = await failing(body, name, timeout=0.05)
                assert str(error) == f"timeout: cell {name} gave no answer within 50 ms"
                assert error.outcome is cbs.Outcome.UNKNOWN
            assert cancelled == ["stubborn"]
            forever.set()
    finally:
        on_thread.set()


async def test_a_timeout_of_the_cells_own_is_the_cells_failure() -> None:
    @cbs.cell("logic.impatient")
    async def impatient() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    async with TestBody(impatient) as body:
        assert (await failing(body, "logic.impatient")).code == "cell-failed"


async def test_bus_3_a_call_that_nobody_serves_is_not_found_at_once() -> None:
    async with TestBody(shop) as body:
        error = await failing(body, "no.one")
        assert str(error) == "not-found: nobody serves cell no.one; `cbs ls` shows what runs"
        assert error.outcome is cbs.Outcome.NOT_RUN
        assert (await failing(body, "flow greeting")).message.startswith("nobody serves flow greeting")
        assert (await failing(body, "shop.place", {"sku": "tea"})).message.startswith("nobody serves cell stock.res")


async def test_a_name_that_is_none_is_a_bad_request() -> None:
    async with TestBody(shop) as body:
        assert (await failing(body, "Greet")).message.startswith("`Greet` is no cell name")
        assert (await failing(body, "topic order.placed")).message.startswith("a call goes to a cell or a flow")


async def test_bus_2_bus_9_ids_trace_and_time_are_inherited() -> None:
    async with TestBody(shop, config={"shop.who": {"greeting": "hi"}}) as body:
        body.answer("stock.check", lambda ctx: {"remaining": ctx.remaining, "caller": ctx.caller})
        inner, other, outer_id = await body.call("shop.relay", "stock.check", timeout=3.0)
        assert inner["correlation_id"] == outer_id
        assert inner["caller"] == other["caller"] == "cell shop.relay"
        assert inner["id"] != outer_id
        assert inner["traceparent"].split("-")[1] == outer_id.replace("-", "")
        assert inner["config"] == {"greeting": "hi"}
        assert 0 < inner["remaining"] <= 3.0
        assert 0 < other["remaining"] <= 1.5
        root = await body.call("shop.who", attributes={"tenant": "blue"})
        assert (root["caller"], root["attempt"], root["attributes"]) == ("", 1, {"tenant": "blue"})
        assert root["correlation_id"] == root["id"]


async def test_ids_and_time_go_down_a_chain_of_calls() -> None:
    @cbs.cell("logic.bottom")
    async def bottom(ctx: cbs.Context) -> dict[str, Any]:
        return {"correlation_id": ctx.correlation_id, "remaining": ctx.remaining, "trace": ctx.traceparent}

    @cbs.cell("logic.middle")
    async def middle(ctx: cbs.Context) -> Any:
        assert cbs.current() is ctx
        return await ctx.call("logic.bottom", timeout=60.0)

    @cbs.cell("logic.top")
    async def top() -> list[Any]:
        ctx = cbs.current()
        assert cbs.current() is ctx
        return [ctx.id, await ctx.call("logic.middle", timeout=60.0)]

    async with TestBody(top, middle, bottom) as body:
        top_id, seen = await body.call("logic.top", timeout=2.0)
        assert seen["correlation_id"] == top_id
        assert seen["trace"].split("-")[1] == top_id.replace("-", "")
        assert 0 < seen["remaining"] <= 2.0


async def test_bus_7_events_are_found_by_their_topics() -> None:
    async with TestBody(shop) as body:
        body.answer("stock.reserve", True)
        await body.call("shop.place", {"sku": "tea"})
        await body.call("shop.blocking", {"sku": "tea"})
        assert [event.topic for event in body.events()] == ["order.placed", "order.checked.eu"]
        assert [event.topic for event in body.events("order.*")] == ["order.placed"]
        assert [event.topic for event in body.events("order.checked.>")] == ["order.checked.eu"]
        assert body.events("orders.>") == []
        (event,) = body.events("order.placed")
        assert event.value == {"sku": "tea", "count": 1}
        assert event.read(shop.Order) == shop.Order("tea")
        assert (event.source, event.attributes) == ("cell shop.place", {"tenant": "blue"})
        with pytest.raises(ValueError, match="is no topic filter"):
            body.events("order.**")


async def test_bus_8_what_is_too_large_is_refused_before_it_is_sent() -> None:
    @cbs.cell("logic.grow")
    async def grow(size: int) -> str:
        return "x" * size

    async with TestBody(grow, shop.who, payload_max=10_000) as body:
        error = await failing(body, "shop.who", "x" * 10_000)
        assert (error.code, error.outcome, body.calls("shop.who")) == ("too-large", cbs.Outcome.NOT_RUN, [])
        assert "limit is 10000" in error.message
        assert (await failing(body, "logic.grow", 10_000)).message.startswith("the reply of cell logic.grow has 100")
        with pytest.raises(cbs.CellError, match="too-large: the envelope has 33 attributes"):
            await body.call("shop.who", attributes={f"k{number}": "" for number in range(33)})


_POOL = ThreadPoolExecutor(1)


@cbs.cell("demo.threads")
async def _threads(ctx: cbs.Context) -> list[str]:
    found: list[str] = []

    def here() -> None:
        found.append(cbs.current().id)

    class Mine(threading.Thread):
        def run(self) -> None:
            here()

    for thread in (Mine(), threading.Thread(target=here), threading.Timer(0, here)):
        thread.start()
        await asyncio.to_thread(thread.join)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, here)
    await loop.run_in_executor(_POOL, here)
    await asyncio.wrap_future(_POOL.submit(here))
    assert await loop.run_in_executor(_POOL, lambda: cbs.current().call_sync("demo.sum", [1, 2])) == 3
    return [*found, ctx.id]


async def test_threads_below_a_call_know_it() -> None:
    async with TestBody(_threads) as body:
        body.answer("demo.sum", 3)
        for _ in range(2):
            found = await body.call("demo.threads")
            assert len(found) == 7
            assert len(set(found)) == 1
    # The pool's thread was started by a call that has ended, and belongs to none.
    with pytest.raises(LookupError, match=r"no call runs here: .* on threads that it starts"):
        _POOL.submit(cbs.current).result()


async def test_def_cells_run_on_threads_with_their_context(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with TestBody(shop) as body:
        body.answer("stock.reserve", True)
        answer = await body.call("shop.blocking", {"sku": "tea"})
    assert answer == {"free": True, "main": False, "current": True}
    assert body.printed == ["checked"]


async def test_sync_calls_on_the_loop_are_refused() -> None:
    @cbs.cell("logic.mistake")
    async def mistake(ctx: cbs.Context) -> str:
        with pytest.raises(RuntimeError, match=r"on the event loop write `await ctx\.call"):
            ctx.call_sync("shop.who")
        return "refused"

    async with TestBody(mistake) as body:
        assert await body.call("logic.mistake") == "refused"


async def test_current_is_the_call_that_runs() -> None:
    inside: list[str] = []

    def deep() -> str:
        return cbs.current().id

    @cbs.cell("logic.outer")
    async def outer(ctx: cbs.Context) -> list[bool]:
        inside.append(await ctx.call("logic.inner"))
        return [deep() == ctx.id, cbs.current() is ctx, inside[0] != ctx.id]

    @cbs.cell("logic.inner")
    async def inner() -> str:
        return deep()

    async with TestBody(outer, inner) as body:
        assert await body.call("logic.outer") == [True, True, True]
    with pytest.raises(LookupError, match="no call runs here"):
        cbs.current()


async def test_stand_ins_answer_fail_and_hang() -> None:
    async with TestBody(shop) as body:
        body.answer("stock.reserve", cbs.CellError("stock.closed", "come back"))
        assert (await failing(body, "shop.place", {"sku": "tea"})).code == "stock.closed"
        body.answer("stock.reserve", TimeoutError())
        assert (await failing(body, "shop.place", {"sku": "tea"})).code == "timeout"
        body.answer("stock.reserve", OSError("secret"))
        assert (await failing(body, "shop.place", {"sku": "tea"})).code == "cell-failed"

        async def reserve(order: shop.Order) -> bool:
            return order.sku == "tea"

        body.answer("stock.reserve", reserve)
        assert (await body.call("shop.place", {"sku": "tea"}))["number"] == 1
        assert (await failing(body, "shop.place", {"sku": "rum"})).code == "stock.empty"
        body.answer("flow greeting", {"text": "hi"})
        assert await body.call("flow greeting") == {"text": "hi"}


async def test_the_person_at_the_program_answers_once() -> None:
    @cbs.cell("io.ask")
    async def ask(ctx: cbs.Context) -> list[str | None]:
        return [await ctx.ask("Name? "), await ctx.ask("Really? ")]

    async with TestBody(ask, typed=["Ada"]) as body:
        assert await body.call("io.ask") == ["Ada", None]
        assert body.asked == ["Name? ", "Really? "]


def test_without_asyncio() -> None:
    with TestBody(shop) as body:
        body.answer("stock.reserve", True)
        assert body.call_sync("shop.place", {"sku": "tea"}, returns=shop.Placed).number == 1
        assert body.call_sync("shop.blocking", {"sku": "tea"})["free"]
    assert shop.STOPPED == ["store 1"]
    with pytest.raises(RuntimeError, match="call_sync is for `with TestBody"):
        body.call_sync("shop.who")


async def test_a_body_that_does_not_run_says_so() -> None:
    body = TestBody(shop)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the body does not run: write `async with TestBody"):
            await body.call("shop.place", {"sku": "tea"})
        with pytest.raises(RuntimeError, match="an event loop runs here: write `async with TestBody"), body:
            pass
        async with body:
            body.answer("stock.reserve", True)
            await body.call("shop.place", {"sku": "tea"})
            assert (await body.call("shop.blocking", {"sku": "tea"}))["free"]


def test_what_is_no_cell_cannot_be_hosted() -> None:
    def plain() -> None:
        pass

    @cbs.cell("shop.who")
    def other() -> None:
        pass

    with pytest.raises(ValueError, match="`plain` has no name as a cell"):
        TestBody(plain)
    with pytest.raises(ValueError, match=r"two functions are called `shop\.who`"):
        TestBody(shop, other)
    with pytest.raises(ValueError, match="the module `logging` has no cells"):
        TestBody(logging)


async def test_a_cell_sees_nothing_of_its_callers_context_variables() -> None:
    trace: ContextVar[str] = ContextVar("trace", default="none")

    @cbs.cell("logic.sets")
    async def sets(ctx: cbs.Context) -> str:
        trace.set("set by the caller")
        seen: str = await ctx.call("logic.reads")
        return seen

    @cbs.cell("logic.reads")
    async def reads() -> str:
        return trace.get()

    async with TestBody(sets, reads) as body:
        assert await body.call("logic.sets") == "none"


async def test_a_stand_in_that_can_answer_nothing_is_refused_at_once() -> None:
    async with TestBody(shop) as body:
        with pytest.raises(TypeError, match="a cell has one input"):
            body.answer("stock.reserve", lambda order, more: order)
        with pytest.raises(TypeError, match="a cell is a function, not a class"):
            body.answer("stock.reserve", dict)
        with pytest.raises(TypeError, match=r"the answer of cell stock\.reserve"):
            body.answer("stock.reserve", object())


async def test_what_is_printed_is_a_text_here_as_there() -> None:
    @cbs.cell("logic.print")
    async def say(line: Any, ctx: cbs.Context) -> None:
        await ctx.print(line)

    @cbs.cell("logic.half")
    async def half(ctx: cbs.Context) -> None:
        await ctx.print("\ud800")

    async with TestBody(say, half) as body:
        await body.call("logic.print", "line")
        assert (await failing(body, "logic.print", 7)).code == "cell-failed"
        assert (await failing(body, "logic.half")).code == "cell-failed"
        assert body.printed == ["line"]


async def test_a_cell_error_without_its_parts_is_the_cells_failure() -> None:
    class Bare(cbs.CellError):
        def __init__(self) -> None:
            pass

    @cbs.cell("logic.plain")
    async def plain() -> None:
        raise Bare

    async with TestBody(plain) as body:
        assert (await failing(body, "logic.plain")).code == "cell-failed"


async def test_a_timeout_may_be_infinite_and_is_no_nan() -> None:
    @cbs.cell("logic.echo")
    async def echo(value: Any) -> Any:
        return value

    async with TestBody(echo) as body:
        assert await body.call("logic.echo", 1, timeout=float("inf")) == 1
        assert (await failing(body, "logic.echo", 1, timeout=float("nan"))).code == "timeout"
