"""The bus over a real server: the numbered promises that every bus keeps, and the client's own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import pytest

import cbs
from cbs import _frame
from cbs._bus import _cancelled
from cbs._envelope import Envelope, Kind, new_id, now_ms
from cbs._serve import Limits
from cells import shop
from serving import Served, eventually, serving

from server import Server

STOPS = 40
"""How often a body is stopped under load; the client's own drain loses calls in a few of them."""


async def failing(served: Served, target: str, value: Any = None, timeout: float = 5.0) -> cbs.CellError:
    """The error that a call ends with."""
    with pytest.raises(cbs.CellError) as raised:
        await served.bus.call(target, value, timeout=timeout)
    return raised.value


async def answered(call: Awaitable[Any]) -> Any:
    """What a call is answered with, None where it fails."""
    with suppress(cbs.CellError):
        return await call
    return None


@cbs.cell("stock.reserve")
async def reserve(order: shop.Order) -> bool:
    return order.count < 100


@cbs.cell("logic.echo")
async def echo(value: Any) -> Any:
    return value


@cbs.cell("logic.turn")
async def turn(value: bytes) -> bytes:
    return value[::-1]


async def test_cells_call_each_other_over_nats(nats_url: str) -> None:
    async with serving(nats_url, shop, reserve) as served, served.bus.events("order.>") as events:
        placed = await served.bus.call("shop.place", {"sku": "tea"}, returns=shop.Placed)
        assert placed == shop.Placed(shop.Order("tea"), placed.number)
        event = await anext(events)
        assert (event.topic, event.read(shop.Order), event.source) == (
            "order.placed",
            shop.Order("tea"),
            "cell shop.place",
        )
        assert (event.attributes, event.missed) == ({"tenant": "blue"}, 0)
        assert (await served.bus.call("shop.blocking", {"sku": "tea"}))["main"] is False


async def test_bus_1_a_call_ends_within_its_timeout(nats_url: str) -> None:
    @cbs.cell("logic.hangs")
    async def hangs() -> None:
        await asyncio.Event().wait()

    async with serving(nats_url, hangs) as served:
        started = time.monotonic()
        error = await failing(served, "logic.hangs", timeout=0.1)
        # The cell's own limit is five seconds.
        assert time.monotonic() - started < 4
        assert (error.code, error.outcome) == ("timeout", cbs.Outcome.UNKNOWN)
        # The cell's own side gave up as well.
        await eventually(lambda: served.standalone.cells["logic.hangs"].stats.in_flight == 0)
        # A subject where somebody listens and nobody answers.
        silent = await served.own.client.subscribe(f"cbs.{served.namespace}.cell.logic.silent")
        await served.own.barrier()
        assert (await failing(served, "logic.silent", timeout=0.05)).message.endswith("gave no answer within 50 ms")
        await silent.unsubscribe()
        error = await failing(served, "logic.echo", timeout=0)
        assert (str(error), error.outcome) == ("timeout: no time is left to call cell logic.echo", cbs.Outcome.NOT_RUN)


async def test_bus_2_ids_and_payloads_arrive_unchanged(nats_url: str) -> None:
    async with serving(nats_url, shop, echo, turn) as served:
        value = {"text": "Zoë 🦀", "list": [1, 2.5, None, True]}
        assert await served.bus.call("logic.echo", value) == value
        assert await served.bus.call("logic.turn", b"\xcb\x01abc") == b"cba\x01\xcb"
        inner, other, outer_id = await served.bus.call("shop.relay", "shop.who")
        assert inner["correlation_id"] == other["correlation_id"] == outer_id
        assert inner["caller"] == "cell shop.relay"
        assert inner["traceparent"].split("-")[1] == outer_id.replace("-", "")
        root = await served.bus.call("shop.who", attributes={"tenant": "blue"})
        assert (root["attributes"], root["caller"]) == ({"tenant": "blue"}, "")


async def test_bus_3_a_call_that_nobody_serves_fails_at_once(nats_url: str) -> None:
    async with serving(nats_url, echo) as served:
        started = time.monotonic()
        error = await failing(served, "no.one", timeout=60)
        assert time.monotonic() - started < 30
        assert (error.code, error.outcome) == ("not-found", cbs.Outcome.NOT_RUN)


async def test_a_call_is_sent_again_while_nobody_is_there_to_take_it(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far more often than in life: on a busy machine somebody comes late indeed.
    monkeypatch.setattr("cbs._bus.NO_RESPONDERS_WAITS", (0.01,) * 1000)
    async with serving(nats_url, echo) as first:
        calling = asyncio.create_task(first.bus.call("late.comer", "hi"))

        @cbs.cell("late.comer")
        async def late(value: str) -> str:
            return value

        async with serving(nats_url, late, namespace=first.namespace):
            assert await calling == "hi"


async def test_bus_4_of_several_exactly_one_gets_a_call(nats_url: str) -> None:
    calls: list[str] = []

    @cbs.cell("logic.count")
    async def count(number: str) -> None:
        calls.append(number)

    async with serving(nats_url, count) as one, serving(nats_url, count, namespace=one.namespace):
        await asyncio.gather(*(one.bus.call("logic.count", str(number)) for number in range(200)))
        assert sorted(calls, key=int) == [str(number) for number in range(200)]


async def test_bus_5_an_error_arrives_unchanged(nats_url: str) -> None:
    @cbs.cell("logic.refuses")
    async def refuses(details: Any) -> None:
        raise cbs.CellError("stock.empty", "no more tea, Zoë", retryable=True, details=details)

    async with serving(nats_url, refuses, shop) as served:
        for details in ({"left": [0]}, None, "text"):
            error = await failing(served, "logic.refuses", details)
            assert (error.code, error.message, error.retryable) == ("stock.empty", "no more tea, Zoë", True)
            assert (error.details, error.outcome) == (details, cbs.Outcome.RAN)
        error = await failing(served, "shop.fails", "swordfish")
        assert error.code == "cell-failed"
        assert "swordfish" not in error.message
        error = await failing(served, "shop.place", {"sku": 1})
        assert (error.message, error.details) == ("`sku`: expected `str`, got `int`", {"path": "sku"})


async def test_an_error_that_is_too_long_is_cut(nats_url: str) -> None:
    @cbs.cell("logic.tells")
    async def tells(size: int) -> None:
        raise cbs.CellError("too.much", "x" * size, details={"more": "y" * 70_000})

    @cbs.cell("logic.odd")
    async def odd() -> None:
        raise cbs.CellError("odd.details", "x", details=object())

    async with serving(nats_url, tells, odd) as served:
        error = await failing(served, "logic.tells", 10)
        assert (error.code, error.message, error.details) == ("too.much", "x" * 10, None)
        error = await failing(served, "logic.tells", 100_000)
        assert error.message.endswith("x … (cut)")
        assert (await failing(served, "logic.odd")).code == "cell-failed"


async def test_bus_6_stopping_loses_no_call(nats_url: str) -> None:
    """Two bodies share a cell; one of them starts and stops under load, and every call is answered."""

    @cbs.cell("logic.work")
    async def work(number: int) -> int:
        return number

    async with serving(nats_url, work) as steady, cbs.connect(nats_url, namespace=steady.namespace) as callers:
        failures: list[BaseException] = []
        done, stopping = 0, asyncio.Event()

        async def load() -> None:
            nonlocal done
            while not stopping.is_set():
                try:
                    await callers.call("logic.work", done, timeout=20.0)
                    done += 1
                except cbs.CellError as error:
                    # One is enough; to go on would leave the loop to nobody where calls fail at once.
                    failures.append(error)
                    return

        tasks = [asyncio.create_task(load()) for _ in range(64)]
        for _ in range(STOPS):
            async with serving(nats_url, work, namespace=steady.namespace) as other:
                stats = other.standalone.cells["logic.work"].stats
                await eventually(lambda stats=stats: stats.calls > 20)  # type: ignore[misc]
        stopping.set()
        await asyncio.gather(*tasks)
        assert failures == []
        assert done > 20 * STOPS


async def test_bus_6_a_call_under_way_is_answered_by_a_body_that_stops(nats_url: str) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    @cbs.cell("logic.slow")
    async def slow() -> str:
        running.set()
        await go_on.wait()
        return "answered"

    async with serving(nats_url, slow) as served:
        calling = asyncio.create_task(served.bus.call("logic.slow"))
        await running.wait()
        stopping = asyncio.create_task(served.standalone.stop(10.0))
        # Soon nobody takes new calls, and the one that runs is not disturbed.
        async with asyncio.timeout(20):
            while (error := await failing(served, "logic.slow", timeout=0.5)).code != "not-found":
                assert error.code == "timeout"
        go_on.set()
        assert await calling == "answered"
        assert await stopping


async def test_a_stop_has_its_limit(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    running = asyncio.Event()

    @cbs.cell("logic.hangs")
    async def hangs() -> None:
        running.set()
        await asyncio.Event().wait()

    async with serving(nats_url, hangs) as served:
        calling = asyncio.create_task(failing(served, "logic.hangs", timeout=1.0))
        await running.wait()
        assert not await served.standalone.stop(0.05)
        assert "1 calls were still under way" in caplog.text
        assert (await calling).code == "timeout"


async def test_bus_7_an_event_reaches_everybody_and_each_group_once(nats_url: str) -> None:
    async with serving(nats_url, echo) as served:
        bus = served.bus
        async with (
            bus.events("order.*") as one,
            bus.events(">") as two,
            bus.events("order.created", group="shop.mail") as left,
            bus.events("order.created", group="shop.mail") as right,
            bus.events("stock.*") as none,
        ):
            await bus.publish("order.created", {"id": 1})
            await bus.publish("order.created.eu", b"\x00raw")
            await bus.publish("stock.low")
            assert (await anext(one)).value == {"id": 1}
            assert [(await anext(two)).topic for _ in range(3)] == ["order.created", "order.created.eu", "stock.low"]
            last = await anext(none)
            assert (last.topic, last.value) == ("stock.low", None)
            # All of the earlier events have arrived on this connection by now, and one of the two hears of it.
            await eventually(lambda: len(left._queue) + len(right._queue) == 1)
            assert len(one._queue) == 0


async def test_an_event_is_a_cloud_event_that_any_client_reads_and_writes(nats_url: str) -> None:
    async with serving(nats_url, echo) as served:
        client, subject = served.bus.client, f"cbs.{served.namespace}.event.order.created"
        heard = await client.subscribe(subject)
        async with served.bus.events("order.created") as events:
            await served.bus.publish("order.created", {"id": 1}, attributes={"Tenant": "blue\r\nx"})
            message = await heard.next_msg(timeout=5)
            assert json.loads(message.data) == {"id": 1}
            headers = message.headers or {}
            assert (headers["ce-specversion"], headers["ce-type"]) == ("1.0", "order.created")
            assert headers["ce-source"] == f"/cbs/{served.namespace}/"
            assert (headers["ce-xtenant"], headers["Content-Type"]) == ("blue  x", "application/json")
            event = await anext(events)
            assert (event.id, event.traceparent) == (headers["ce-id"], headers["traceparent"])
            foreign = {"ce-id": "7", "ce-source": "/other", "Content-Type": "text/plain"}
            await client.publish(subject, b"hello", headers=foreign)
            event = await anext(events)
            assert (event.value, event.content_type) == (b"hello", "text/plain")
            assert event.attributes == {"ce-id": "7", "ce-source": "/other"}
            await client.publish(subject, b"[1]")
            assert (await anext(events)).value == [1]
            for key in ("a b", "", "ü", "a:b", "a\n"):
                with pytest.raises(cbs.CellError, match=r"bad-request: `.*` is no key of an event's attribute"):
                    await served.bus.publish("order.created", attributes={key: ""})


async def test_bus_8_what_is_too_large_is_refused_before_it_is_sent(nats_url: str) -> None:
    @cbs.cell("logic.grow")
    async def grow(size: int) -> str:
        return "x" * size

    async with serving(nats_url, grow, echo) as served:
        large = "x" * served.bus.client.max_payload
        error = await failing(served, "logic.echo", large)
        assert (error.code, error.outcome) == ("too-large", cbs.Outcome.NOT_RUN)
        with pytest.raises(cbs.CellError, match=r"too-large: the message to topic order\.created has"):
            await served.bus.publish("order.created", large)
        assert (await failing(served, "logic.grow", len(large))).message.startswith("the reply of cell logic.grow has")
        with pytest.raises(cbs.CellError, match="too-large: the envelope has 33 attributes"):
            await served.bus.call("logic.echo", attributes={f"k{number}": "" for number in range(33)})


async def test_bus_9_the_time_that_a_cell_sees_is_what_remains(nats_url: str) -> None:
    @cbs.cell("logic.remaining")
    async def remaining(ctx: cbs.Context) -> float:
        return ctx.remaining

    async with serving(nats_url, remaining, limits=Limits(timeout=20.0)) as served:
        assert 0 < await served.bus.call("logic.remaining", timeout=10.0) <= 10.0
        # Never more than the cell's own limit.
        assert 10 < await served.bus.call("logic.remaining", timeout=60.0) <= 20.0


async def test_bus_10_when_the_server_is_gone_calls_fail_at_once() -> None:
    @cbs.cell("logic.hangs")
    async def hangs() -> None:
        await asyncio.Event().wait()

    with Server() as server:
        async with serving(server.url, hangs, echo) as served:
            stats = served.standalone.cells["logic.hangs"].stats
            under_way = asyncio.create_task(failing(served, "logic.hangs", timeout=30))
            await eventually(lambda: stats.in_flight == 1)
            server.end()
            error = await under_way
            assert (error.code, error.outcome) == ("unavailable", cbs.Outcome.UNKNOWN)
            error = await failing(served, "logic.echo")
            assert (error.code, error.outcome) == ("unavailable", cbs.Outcome.NOT_RUN)
            with pytest.raises(cbs.CellError, match=r"unavailable: topic order\.created cannot be reached"):
                await served.bus.publish("order.created")
            server.start()
            await eventually(lambda: served.bus.client.is_connected and served.own.client.is_connected)
            # The server has its subscriptions again a moment later.
            async with asyncio.timeout(20):
                while (answer := await answered(served.bus.call("logic.echo", "back"))) is None:
                    await asyncio.sleep(0.005)  # sleep: between two looks at the condition
            assert answer == "back"


async def test_bus_11_a_full_queue_refuses(nats_url: str) -> None:
    go_on = asyncio.Event()

    @cbs.cell("logic.narrow")
    async def narrow() -> str:
        await go_on.wait()
        return "ran"

    async with serving(nats_url, narrow, limits=Limits(concurrency=2, queue=3)) as served:
        stats = served.standalone.cells["logic.narrow"].stats
        calls = [asyncio.create_task(served.bus.call("logic.narrow")) for _ in range(5)]
        await eventually(lambda: (stats.in_flight, stats.queued) == (2, 3))
        error = await failing(served, "logic.narrow")
        assert (error.code, error.retryable, error.outcome) == ("overloaded", True, cbs.Outcome.NOT_RUN)
        go_on.set()
        assert await asyncio.gather(*calls) == ["ran"] * 5
        await eventually(lambda: (stats.in_flight, stats.queued, stats.shed) == (0, 0, 1))


async def test_bus_11_a_call_that_waits_too_long_for_room_never_runs(nats_url: str) -> None:
    go_on, runs = asyncio.Event(), 0

    @cbs.cell("logic.narrow")
    async def narrow() -> None:
        nonlocal runs
        runs += 1
        await go_on.wait()

    async with serving(nats_url, narrow, limits=Limits(concurrency=1, queue=9)) as served:
        first = asyncio.create_task(served.bus.call("logic.narrow"))
        stats = served.standalone.cells["logic.narrow"].stats
        await eventually(lambda: stats.in_flight == 1)
        waiting = [asyncio.create_task(failing(served, "logic.narrow", timeout=0.1)) for _ in range(3)]
        assert {error.code for error in await asyncio.gather(*waiting)} <= {"overloaded", "timeout"}
        await eventually(lambda: stats.queued == 0)
        go_on.set()
        await first
        await eventually(lambda: stats.in_flight == 0)
        assert runs == 1


async def test_bus_11_events_that_a_slow_listener_misses_are_counted(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbs._events.QUEUE", 10)
    async with serving(nats_url, echo) as served, served.bus.events("order.*") as events:
        for number in range(25):
            await served.own.publish("order.created", number)
        await eventually(lambda: events._missed == 15)
        await served.own.barrier()
        first = await anext(events)
        assert (first.value, first.missed) == (0, 15)
        assert ((await anext(events)).value, (await anext(events)).missed) == (1, 0)


async def test_a_stale_call_does_not_run(nats_url: str) -> None:
    async with serving(nats_url, echo) as served:
        request = Envelope(Kind.REQUEST, b'"late"')
        request.id, request.timeout_ms, request.time_ms = new_id(), 100, now_ms() - 10_000
        subject = f"cbs.{served.namespace}.cell.logic.echo"
        answer = _frame.decode((await served.bus.client.request(subject, _frame.encode(request))).data)
        assert answer.error is not None
        assert (answer.error.code, answer.error.outcome) == ("timeout", cbs.Outcome.NOT_RUN)
        assert answer.error.message.endswith("(stale)")
        assert served.standalone.stale == 1


async def test_no_server_is_told_with_its_address_and_without_its_secrets() -> None:
    with pytest.raises(ConnectionError, match=r"^no connection to nats://127\.0\.0\.1:1: .*; start a nats-server"):
        async with cbs.connect("nats://me:secret@127.0.0.1:1"):
            pass


async def test_a_bus_that_is_closed_says_so(nats_url: str) -> None:
    async with cbs.connect(nats_url, namespace="closing") as bus:
        pass
    with pytest.raises(cbs.CellError, match=r"unavailable: cell logic\.echo cannot be reached"):
        await bus.call("logic.echo")
    with pytest.raises(RuntimeError, match="the bus is not connected"):
        _ = bus.client
    with pytest.raises(ValueError, match="`No_Name` is no namespace"):
        cbs.connect(nats_url, namespace="No_Name")


async def test_entering_that_is_cancelled_leaves_nothing_behind() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side hangs up
        writer.close()

    def connecting() -> bool:
        return any("Client.connect" in repr(task.get_coro()) for task in asyncio.all_tasks())

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        entering = asyncio.create_task(cbs.connect(f"nats://127.0.0.1:{port}").__aenter__())
        await eventually(connecting)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert not connecting()


async def test_a_cancellation_that_is_swallowed_is_said_again() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await _cancelled(task)
    assert (task.done(), swallowed) == (True, 2)
