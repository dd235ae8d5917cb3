"""The client of programs that are no cells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import cbs
from serving import serving


@cbs.cell("logic.echo")
async def echo(value: Any) -> Any:
    return value


async def test_a_listener_that_has_left_hears_no_more(nats_url: str) -> None:
    async with serving(nats_url, echo) as served:
        async with served.bus.events("order.left") as events:
            await served.bus.publish("order.left", 1)
            assert (await anext(events)).value == 1
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(events), 5)
        async with events:
            await served.bus.publish("order.left", 2)
            assert (await anext(events)).value == 2


async def test_a_call_may_wait_for_ever_and_not_for_nan(nats_url: str) -> None:
    async with serving(nats_url, echo) as served:
        assert await served.bus.call("logic.echo", 1, timeout=float("inf")) == 1
        assert await served.bus.call("logic.echo", 1, timeout=1e300) == 1
        with pytest.raises(cbs.CellError, match="no time is left"):
            await served.bus.call("logic.echo", 1, timeout=float("nan"))


async def test_a_bus_can_be_opened_again(nats_url: str) -> None:
    bus = cbs.connect(nats_url, namespace="again")
    for number in range(2):
        async with bus, bus.events("order.*") as events:
            await bus.publish("order.placed", number)
            assert (await anext(events)).value == number
        assert bus.closed.is_set()
