"""Cells in Python for CBS, the cell-based microservice runtime on NATS.

A whole cell:

    import cbs

    @cbs.cell("logic.greet")
    async def greet(input: dict[str, str]) -> dict[str, str]:
        return {"text": f"Hello, {input['name']}!"}

Its test is in `cbs.testing`; `cbs.connect` is the bus for programs that are no cells.
"""

from cbs._bus import Bus, connect
from cbs._cell import cell
from cbs._context import Context, current
from cbs._errors import CellError, Code, EncodeError, Outcome
from cbs._event import Event
from cbs._events import Events
from cbs._hooks import State, start, stop
from cbs._span import Span

__all__ = [
    "Bus",
    "CellError",
    "Code",
    "Context",
    "EncodeError",
    "Event",
    "Events",
    "Outcome",
    "Span",
    "State",
    "cell",
    "connect",
    "current",
    "start",
    "stop",
]
