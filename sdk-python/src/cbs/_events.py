"""Listening to events: a subscription with a bounded queue that counts what it cannot take."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cbs import _names
from cbs._envelope import Envelope
from cbs._event import Event, read_event

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from cbs._bus import Bus

_logger = logging.getLogger("cbs.bus")

QUEUE = 1024
"""How many events wait for one listener; more are missed, and counted."""
QUEUE_BYTES = 64 * 1024 * 1024
"""How many bytes of payload wait for one listener."""


class Events:
    """The events of one subscription; ``async for`` them. Leaving ``async with`` ends it."""

    def __init__(self, bus: Bus, topic_filter: str, group: str) -> None:
        self._bus = bus
        self._filter = topic_filter
        self._group = group
        self._queue: deque[Envelope] = deque()
        self._bytes = 0
        self._missed = 0
        self._more = asyncio.Event()
        self._subscription: Subscription | None = None
        self._left = False

    async def __aenter__(self) -> Self:
        self._left = False
        if self._subscription is None:
            subject = _names.subject_of_events(self._bus.namespace, self._filter)
            client = self._bus.client
            self._subscription = await client.subscribe(subject, queue=self._group, cb=self._arrived)
            # When the barrier is passed the server knows the subscription.
            await self._bus.barrier()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._bus.closed.is_set():
            await subscription.unsubscribe()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if not self._left:
            await self.__aenter__()
        while not self._queue:
            if self._left:
                raise StopAsyncIteration
            self._more.clear()
            closing = asyncio.ensure_future(self._bus.closed.wait())
            arriving = asyncio.ensure_future(self._more.wait())
            try:
                await asyncio.wait({closing, arriving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                closing.cancel()
                arriving.cancel()
            if not self._queue and self._bus.closed.is_set():
                raise StopAsyncIteration
        event = self._queue.popleft()
        self._bytes -= len(event.payload)
        missed, self._missed = self._missed, 0
        return Event(event, missed)

    async def _arrived(self, message: Msg) -> None:
        topic = message.subject.removeprefix(_names.subject_of_events(self._bus.namespace, ""))
        try:
            event = read_event(_names.checked("topic", topic), message.data, message.headers)
        except ValueError as error:
            _logger.warning("an event on %s cannot be read and is passed over: %s", message.subject, error)
            self._missed += 1
            return
        if len(self._queue) >= QUEUE or self._bytes + len(event.payload) > QUEUE_BYTES:
            self._missed += 1
            return
        self._bytes += len(event.payload)
        self._queue.append(event)
        self._more.set()
