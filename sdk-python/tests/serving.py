"""Cells served on a real server, for the length of a test."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import cbs
from cbs._bus import Bus
from cbs._lane import Lane
from cbs._serve import Limits, Standalone

_numbers = itertools.count(1)


class Served:
    """What a test has in hand: the served cells, a bus of their callers, and their namespace."""

    def __init__(self, standalone: Standalone, bus: Bus, own: Bus) -> None:
        self.standalone = standalone
        self.bus = bus
        self.own = own
        self.namespace = bus.namespace


@asynccontextmanager
async def serving(
    url: str, *sources: Any, limits: Limits | None = None, namespace: str = "", **more: Any
) -> AsyncIterator[Served]:
    """Serve cells in a namespace of their own."""
    namespace = namespace or f"test-{next(_numbers)}"
    body = f"body-{next(_numbers)}"
    async with (
        cbs.connect(url, namespace=namespace, body=body) as own,
        cbs.connect(url, namespace=namespace) as bus,
    ):
        standalone = Standalone(Lane(sources), own, limits or Limits(), **more)
        await standalone.start()
        try:
            yield Served(standalone, bus, own)
        finally:
            await standalone.stop(5.0)


async def eventually(holds: Callable[[], bool], within: float = 30.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.005)  # sleep: between two looks at the condition
