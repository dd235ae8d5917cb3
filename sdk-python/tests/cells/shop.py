"""A small shop: cells with hooks, state, calls and events."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

import cbs

STARTED: list[str] = []
STOPPED: list[str] = []


@dataclass
class Order:
    sku: str
    count: int = 1


@dataclass
class Placed:
    order: Order
    number: int
    tags: list[str] = field(default_factory=list)


@cbs.start
async def open_store(state: cbs.State) -> None:
    state.numbers = 0
    STARTED.append("store")


@cbs.start
def count_starts() -> None:
    STARTED.append("second")


@cbs.stop
def close_store(state: cbs.State) -> None:
    STOPPED.append(f"store {state.numbers}")


@cbs.cell("shop.place")
async def place(order: Order, ctx: cbs.Context) -> Placed:
    free = await ctx.call("stock.reserve", order, returns=bool)
    if not free:
        raise cbs.CellError("stock.empty", f"no more {order.sku}", retryable=True, details={"sku": order.sku})
    ctx.state.numbers += 1
    await ctx.publish("order.placed", order, attributes={"tenant": "blue"})
    await ctx.print(f"placed {order.sku}")
    ctx.log.info("order %s placed", order.sku, extra={"sku": order.sku})
    return Placed(order, ctx.state.numbers)


@cbs.cell("shop.blocking")
def blocking(order: Order, ctx: cbs.Context) -> dict[str, Any]:
    free = ctx.call_sync("stock.reserve", order, returns=bool)
    ctx.publish_sync("order.checked.eu", {"free": free})
    ctx.print_sync("checked")
    logging.getLogger("shop").info("on a thread")
    same = cbs.current().id == ctx.id
    return {"free": free, "main": threading.current_thread() is threading.main_thread(), "current": same}


@cbs.cell("shop.fails")
async def fails(secret: str) -> None:
    raise ValueError(f"the secret is {secret}")


@cbs.cell("shop.who")
async def who(ctx: cbs.Context) -> dict[str, Any]:
    return {
        "cell": ctx.cell,
        "caller": ctx.caller,
        "id": ctx.id,
        "correlation_id": ctx.correlation_id,
        "attempt": ctx.attempt,
        "remaining": ctx.remaining,
        "traceparent": ctx.traceparent,
        "attributes": dict(ctx.attributes),
        "config": dict(ctx.config),
    }


@cbs.cell("shop.relay")
async def relay(target: str, ctx: cbs.Context) -> Any:
    return [await ctx.call("shop.who"), await ctx.call(target, timeout=1.5), ctx.id]
