"""A small shop, stand-alone: `cbs-python run shop.py`, then `python client.py`."""

from dataclasses import dataclass

import cbs


@dataclass
class Order:
    sku: str
    count: int = 1


@cbs.start
async def fill(state: cbs.State) -> None:
    state.left = {"tea": 3, "rum": 1}


@cbs.cell("stock.reserve")
async def reserve(order: Order, ctx: cbs.Context) -> int:
    left: int = ctx.state.left.get(order.sku, 0) - order.count
    if left < 0:
        raise cbs.CellError("stock.empty", f"no more {order.sku}")
    ctx.state.left[order.sku] = left
    return left


@cbs.cell("shop.place")
async def place(order: Order, ctx: cbs.Context) -> dict[str, int]:
    left = await ctx.call("stock.reserve", order, returns=int)
    await ctx.publish("order.placed", order)
    return {"left": left}
