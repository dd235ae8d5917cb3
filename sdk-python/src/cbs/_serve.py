"""Cells on NATS without a body around them: what `cbs-python run` serves.

One subscription a cell, in the queue group that all bodies share; one for this process alone, past
the queue group, which retries and health checks of bodies need; and the answers to ``$SRV``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cbs import _names
from cbs._bus import Bus
from cbs._cell import Definition
from cbs._envelope import TIMEOUT_DEFAULT, Envelope, Kind, id_text
from cbs._errors import CellError, Code, not_run, overloaded
from cbs._hooks import State
from cbs._lane import Call, Lane, envelope_of
from cbs._message import headers_size, is_framed, read_request, write_error, write_reply
from cbs._port import Incoming, Outgoing
from cbs._services import Services, Stats

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

_logger = logging.getLogger("cbs.serve")

UNSUBSCRIBE_NOW = 2**64 - 1
"""As a number of messages to come: the server takes it for none, the client keeps its subscription. Held by a test."""
STOP_HOOKS_LEAST = 1.0
"""How many seconds the stop hooks have where the calls have used up the time."""
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""How many bytes of payload may wait, however many calls that is."""


class Limits:
    """How many calls of one cell run at once, how many more may wait, and how many seconds one may take."""

    __slots__ = ("concurrency", "queue", "timeout")

    def __init__(self, concurrency: int = 64, queue: int = 256, timeout: float = TIMEOUT_DEFAULT) -> None:
        self.concurrency = concurrency
        self.queue = queue
        self.timeout = timeout


class ServedCell:
    """One cell with its limits and its stats."""

    def __init__(self, name: str, found: Definition, state: State, limits: Limits) -> None:
        self.name = name
        self.target = f"cell {name}"
        self.definition = found
        self.state = state
        self.limits = limits
        self.stats = Stats()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waiting_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether a call could begin now."""
        return self.stats.in_flight < self.limits.concurrency and not self._waiting

    async def enter(self, size: int, deadline: float) -> None:
        """Take room for one call, or wait for it until the deadline. Raises ``overloaded`` where there is none."""
        stats = self.stats
        if self.has_room:
            stats.in_flight += 1
            return
        if len(self._waiting) >= self.limits.queue or self._waiting_bytes + size > QUEUE_BYTES_MAX:
            raise overloaded(self.target)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._waiting_bytes += size
        stats.queued += 1
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # room was made in the moment that the time was over
            if isinstance(error, TimeoutError):
                # Too late to begin: the cell never ran.
                raise overloaded(self.target) from None
            raise
        finally:
            self._waiting_bytes -= size
            stats.queued -= 1
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)

    def leave(self) -> None:
        """Give the room to whoever waits longest, else free it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.stats.in_flight -= 1


class Standalone:
    """Serves a lane's cells on a connection of its own, until it is stopped."""

    def __init__(self, lane: Lane, bus: Bus, limits: Limits, config: Mapping[str, Any] | None = None) -> None:
        self.cells = {
            name: ServedCell(name, found, state, limits) for name, (found, state) in sorted(lane.cells.items())
        }
        self.stale = 0
        """Requests refused because their callers had given up long ago."""
        self._lane = lane
        self._bus = bus
        self._config = dict(config or {})
        self._port = BusPort(bus)
        self._tasks: set[asyncio.Task[None]] = set()
        self._taking = 0
        self._shared: list[Subscription] = []
        self._own: list[Subscription] = []
        self._services = Services(bus, self.cells)

    async def start(self) -> None:
        """Run the start hooks, then serve; done when the server knows of every cell."""
        await self._lane.start()
        try:
            await self._listen()
        except BaseException:
            await self._lane.stop()
            raise

    async def _listen(self) -> None:
        client, namespace, body = self._bus.client, self._bus.namespace, self._bus.body
        for cell in self.cells.values():
            subject = _names.subject_of(namespace, cell.target)
            self._shared.append(await client.subscribe(subject, queue=_names.CELL_GROUP, cb=self._taker(cell)))
        mine = _names.subject_of_cells_in_body(namespace, body)
        self._own.append(await client.subscribe(mine, cb=self._take_directly))
        control = _names.subject_of_control(namespace, body)
        self._own.append(await client.subscribe(control, cb=self._tell_life))
        await self._services.start()
        await self._bus.barrier()

    async def stop(self, within: float = 30.0) -> bool:
        """Stop without losing a call: take no more, answer what has come, then run the stop hooks.

        False where calls or stop hooks were still under way after ``within`` seconds: they are given up.
        """
        deadline = time.monotonic() + within
        for stage in (self._services.subscriptions, self._shared, self._own):
            try:
                await self._drain(stage, deadline)
            except Exception as error:  # noqa: BLE001 - a lost connection; the others are still to be drained
                _logger.warning("stopped before the server confirmed; calls under way may be lost: %r", error)
            stage.clear()
        await self._finish(deadline)
        given_up = len(self._tasks)
        for task in self._tasks:
            task.cancel()
        if given_up:
            _logger.error("%d calls were still under way after %.0f s and are given up", given_up, within)
        if self._bus.client.is_connected:
            # Passed, it proves that the server has taken the answers.
            with contextlib.suppress(Exception):
                await self._bus.barrier(2.0)
        try:
            async with asyncio.timeout(max(STOP_HOOKS_LEAST, deadline - time.monotonic())):
                await self._lane.stop()
        except TimeoutError:
            _logger.error("the stop hooks did not end in time and are given up")  # noqa: TRY400 - no traceback helps
            return False
        return not given_up

    async def _drain(self, subscriptions: list[Subscription], deadline: float) -> None:
        """End subscriptions: the server sends no more, and what it had sent has been taken.

        The client's own drain loses what comes between its pong and its word to the server, which stands behind
        its ping.
        """
        try:
            for subscription in subscriptions:
                await subscription.unsubscribe(UNSUBSCRIBE_NOW)
            await self._bus.barrier(max(0.1, deadline - time.monotonic()))
            # What came before the barrier's answer may still wait in the client's queues, which tell nobody.
            while self._is_taking(subscriptions) and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(0)
        finally:
            for subscription in subscriptions:
                await subscription.unsubscribe()

    def _is_taking(self, subscriptions: list[Subscription]) -> bool:
        return self._taking > 0 or any(subscription.pending_msgs for subscription in subscriptions)

    async def _finish(self, deadline: float) -> None:
        while self._tasks and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)

    def _taker(self, cell: ServedCell) -> Any:
        async def take(message: Msg) -> None:
            await self._take(cell, message)

        return take

    async def _take(self, cell: ServedCell, message: Msg) -> None:
        if cell.definition.never_suspends and cell.has_room:
            self._taking += 1
            try:
                await self._answer(cell, message)
            finally:
                self._taking -= 1
            return
        # Reading goes on: our own bounds refuse before the client's buffer drops in silence.
        task = asyncio.create_task(self._answer(cell, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_directly(self, message: Msg) -> None:
        name = ".".join(message.subject.rsplit(".", 2)[1:])
        cell = self.cells.get(name)
        if cell is not None:
            await self._take(cell, message)
            return
        text = f"body {self._bus.body} does not serve cell {name}"
        framed = is_framed(message.data, message.headers)
        refusal = not_run(CellError(Code.NOT_FOUND, text))
        await self._reply(message, *write_error(framed, self._bus.body, "", refusal))

    async def _tell_life(self, message: Msg) -> None:
        await self._reply(message, json.dumps({"body": self._bus.body}).encode(), None)

    async def _answer(self, cell: ServedCell, message: Msg) -> None:
        """Answer one message in the form that it came in."""
        try:
            await self._reply(message, *await self._answer_of(cell, message))
        except Exception:
            _logger.exception("the answer of %s could not be sent", cell.target)

    async def _answer_of(self, cell: ServedCell, message: Msg) -> tuple[bytes, dict[str, str] | None]:
        """Return what is sent back: payload and headers."""
        framed, body = is_framed(message.data, message.headers), self._bus.body
        request: Envelope | None = None
        try:
            request = read_request(message.data, message.headers)
            reply = await self._run(cell, request)
            payload, headers = write_reply(framed, body, reply)
            size, limit = len(payload) + headers_size(headers), self._bus.client.max_payload
            if size > limit:
                text = f"the reply of {cell.target} has {size} bytes, the limit is {limit}"
                raise CellError(Code.TOO_LARGE, text)
        except CellError as error:
            told = error
        except Exception:
            _logger.exception("a call of %s failed in its host", cell.target)
            told = CellError(Code.INTERNAL, "the cell's host failed; its log has the reason")
        else:
            cell.stats.calls += 1
            return payload, headers
        cell.stats.failed(told)
        return write_error(framed, body, "" if request is None else id_text(request.id), told)

    async def _reply(self, message: Msg, payload: bytes, headers: dict[str, str] | None) -> None:
        if message.reply:  # else nobody asked for an answer
            await self._bus.client.publish(message.reply, payload, headers=headers)

    async def _run(self, cell: ServedCell, request: Envelope) -> Incoming:
        if request.is_stale:
            self.stale += 1
            text = f"the call to {cell.target} came after its caller had given up; it did not run (stale)"
            raise not_run(CellError(Code.TIMEOUT, text))
        given = request.timeout_ms / 1000 if request.timeout_ms else TIMEOUT_DEFAULT
        granted = min(given, cell.limits.timeout)
        deadline = time.monotonic() + granted
        request.target = cell.target
        request.timeout_ms = round(granted * 1000)
        await cell.enter(len(request.payload), deadline)
        started = time.perf_counter_ns()
        try:
            call = Call(request, cell.name, self._bus.body, deadline, self._config.get(cell.name))
            return await self._lane.answer(call, self._port, cell.definition, cell.state)
        finally:
            cell.stats.busy_ns += time.perf_counter_ns() - started
            cell.leave()


class BusPort:
    """What the cells' contexts go through: everything over NATS, as a program's own calls."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def call(self, info: Call, request: Outgoing) -> Incoming:
        """Send a request within the call's own time."""
        timeout = info.deadline - time.monotonic() if request.timeout is None else request.timeout
        return await self._bus.send(envelope_of(Kind.REQUEST, request, info, self._bus.body), timeout)

    async def publish(self, info: Call, event: Outgoing) -> None:
        """Publish an event."""
        await self._bus.tell(envelope_of(Kind.EVENT, event, info, self._bus.body))

    async def print(self, _: Call, line: str) -> None:
        """Write one line to this program's standard output."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    async def ask(self, _: Call, __: str) -> str | None:
        """Say that nobody can be asked: what serves never reads its standard input."""
        return None

    def log(self, info: Call | None, level: int, logger: str, message: str, fields: Mapping[str, str]) -> None:
        """Do nothing: the program's log is Python's own."""

    def attribute(self, info: Call, key: str, value: str) -> None:
        """Do nothing: without a body nobody records spans."""

    def event(self, info: Call, name: str, attributes: list[tuple[str, str]]) -> None:
        """Do nothing, as `attribute`."""
