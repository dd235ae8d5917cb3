"""Answers to ``$SRV.PING``, ``$SRV.INFO`` and ``$SRV.STATS``: the services protocol (ADR-32).

An organ is a service, a cell its endpoint, as bodies report them. ``$SRV`` knows no namespaces:
outside ``default`` a service is called ``<namespace>-<organ>``.
"""

from __future__ import annotations

import asyncio
import json
import platform
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cbs import _names
from cbs._envelope import now_ms
from cbs._errors import CellError, Code
from cbs._event import timestamp
from cbs._message import one_line
from cbs._version import VERSION

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from cbs._bus import Bus

JITTER_MAX = 0.010
"""The longest that an answer waits, in seconds, so that a fleet does not answer in one instant."""
ENDPOINTS_MAX = 500
"""More endpoints in one answer would exceed what a server takes: a larger organ has several instances."""


class Stats:
    """What a served cell counts since it was started."""

    __slots__ = ("busy_ns", "calls", "errors", "in_flight", "last_error", "queued", "shed")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.shed = 0
        self.busy_ns = 0
        self.in_flight = 0
        self.queued = 0
        self.last_error = ""

    def failed(self, error: CellError) -> None:
        """Count a call that was answered with an error."""
        self.calls += 1
        self.errors += 1
        self.shed += error.code == Code.OVERLOADED
        self.last_error = one_line(str(error))


class Told(Protocol):
    """What the answers tell of a cell."""

    @property
    def name(self) -> str:
        """The cell's name."""

    @property
    def stats(self) -> Stats:
        """What it counts."""


class Services:
    """The services of one process: one for each organ of its cells."""

    def __init__(self, bus: Bus, cells: Mapping[str, Told]) -> None:
        self.subscriptions: list[Subscription] = []
        self._bus = bus
        self._started = timestamp(now_ms())
        self._organs: dict[str, list[Told]] = {}
        for name, cell in cells.items():
            self._organs.setdefault(name.partition(".")[0], []).append(cell)

    async def start(self) -> None:
        """Answer questions to all services, to each by its name, and to each instance by its id."""
        await self._listen("$SRV.*", [(organ, number) for organ in self._organs for number in self._numbers(organ)])
        for organ in self._organs:
            name = self._name(organ)
            await self._listen(f"$SRV.*.{name}", [(organ, number) for number in self._numbers(organ)])
            for number in self._numbers(organ):
                await self._listen(f"$SRV.*.{name}.{self._id(organ, number)}", [(organ, number)])

    async def _listen(self, subject: str, told: list[tuple[str, int]]) -> None:
        async def answer(question: Msg) -> None:
            await asyncio.sleep(random.uniform(0, JITTER_MAX))  # noqa: S311 - jitter is no secret
            verb = question.subject.split(".")[1]
            for organ, number in told:
                description = self.describe(verb, organ, number)
                if description is not None and question.reply:
                    await self._bus.client.publish(question.reply, json.dumps(description).encode())

        self.subscriptions.append(await self._bus.client.subscribe(subject, cb=answer))

    def describe(self, verb: str, organ: str, number: int) -> dict[str, Any] | None:
        """Return the answer to a verb; `None` for one that the protocol does not have."""
        cells = self._organs[organ][number * ENDPOINTS_MAX : (number + 1) * ENDPOINTS_MAX]
        about = {
            "name": self._name(organ),
            "id": self._id(organ, number),
            "version": VERSION,
            "metadata": {"cbs.namespace": self._bus.namespace, "cbs.body": self._bus.body},
        }
        match verb:
            case "PING":
                return about | {"type": "io.nats.micro.v1.ping_response"}
            case "INFO":
                return about | {
                    "type": "io.nats.micro.v1.info_response",
                    "description": f"organ {organ} of cbs-python {self._bus.body}",
                    "endpoints": [self._info(cell) for cell in cells],
                }
            case "STATS":
                return about | {
                    "type": "io.nats.micro.v1.stats_response",
                    "started": self._started,
                    "endpoints": [self._stats(cell) for cell in cells],
                }
        return None

    def _numbers(self, organ: str) -> range:
        return range((len(self._organs[organ]) + ENDPOINTS_MAX - 1) // ENDPOINTS_MAX)

    def _name(self, organ: str) -> str:
        namespace = self._bus.namespace
        return organ if namespace == "default" else f"{namespace}-{organ}"

    def _id(self, organ: str, number: int) -> str:
        return f"{self._bus.body}-{organ}" + (f"-{number}" if number else "")

    def _endpoint(self, cell: Told) -> dict[str, Any]:
        return {
            "name": cell.name.partition(".")[2],
            "subject": _names.subject_of(self._bus.namespace, f"cell {cell.name}"),
            "queue_group": _names.CELL_GROUP,
        }

    def _info(self, cell: Told) -> dict[str, Any]:
        metadata = {
            "cbs.cell": f"cell {cell.name}",
            "cbs.language": f"python {platform.python_version()}",
        }
        return self._endpoint(cell) | {"metadata": metadata}

    def _stats(self, cell: Told) -> dict[str, Any]:
        stats = cell.stats
        return self._endpoint(cell) | {
            "num_requests": stats.calls,
            "num_errors": stats.errors,
            "last_error": stats.last_error,
            "processing_time": stats.busy_ns,
            "average_processing_time": stats.busy_ns // stats.calls if stats.calls else 0,
            "data": {
                "shed": stats.shed,
                "in_flight": stats.in_flight,
                "queued": stats.queued,
                "restarts": 0,
                "workers": [],
            },
        }
