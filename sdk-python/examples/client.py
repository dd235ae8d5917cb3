"""A program that places orders until there is nothing left."""

import asyncio

import cbs


async def main() -> None:
    async with cbs.connect() as bus, bus.events("order.placed") as events:
        try:
            while True:
                print(await bus.call("shop.place", {"sku": "tea"}))
                print((await anext(events)).value)
        except cbs.CellError as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
