"""Python's own logging, with the ids of the call that runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbs._context import Context
    from cbs._port import CallInfo, Port

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_IDS = frozenset({"cbs_cell", "cbs_id", "cbs_correlation_id", "cbs_trace_id"})


TEXT_MAX = 8192
"""How many characters of a message or a field go to a body's log."""


class CellLog(logging.LoggerAdapter[logging.Logger]):
    """A logger named after the cell, whose records carry the call's ids.

    They are ``cbs_cell``, ``cbs_id``, ``cbs_correlation_id`` and ``cbs_trace_id``.
    """

    def __init__(self, info: CallInfo) -> None:
        super().__init__(logging.getLogger(info.cell), ids_of(info))

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the ids beside what the line itself brings as ``extra``."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


def ids_of(info: CallInfo) -> dict[str, object]:
    """Return what every record of a call carries."""
    return {
        "cbs_cell": info.cell,
        "cbs_id": info.id,
        "cbs_correlation_id": info.correlation_id,
        "cbs_trace_id": info.traceparent[3:35],
    }


class Ids(logging.Filter):
    """Gives every record the ids of the call that runs, empty texts outside of calls; for formatters."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drop a record."""
        context = _active()
        ids = dict.fromkeys(_IDS, "") if context is None else ids_of(context._info)
        for key, value in ids.items():
            record.__dict__.setdefault(key, value)
        return True


class BodyHandler(logging.Handler):
    """Hands records to the port of the call that runs; outside of calls, to the lane's own port.

    For the root logger of an interpreter that a body embeds. What a record brings as ``extra``, and an
    exception, go along with the line. It never raises.
    """

    def __init__(self, port: Port | None = None, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.port = port

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record over; without a port it is as if there were no handler."""
        try:
            context = _active()
            port, info = (self.port, None) if context is None else (context._port, context._info)
            if port is not None:
                port.log(info, record.levelno, record.name, record.getMessage(), fields_of(record))
        except Exception:  # noqa: BLE001 - a line of the log must not fail a call
            self.handleError(record)


def shortened(text: str) -> str:
    """Return a text that a line of the log can hold: what is too long loses its middle."""
    if len(text) <= TEXT_MAX:
        return text
    half = TEXT_MAX // 2
    return f"{text[:half]}\n… ({len(text) - 2 * half} characters left out) …\n{text[-half:]}"


def fields_of(record: logging.LogRecord) -> Mapping[str, str]:
    """Return what a record brings besides its line, as texts; the ids go with the call."""
    brought = record.__dict__.items()
    fields = {str(key): str(value) for key, value in brought if key not in _STANDARD and key not in _IDS}
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _active() -> Context | None:
    # Imported late: a context has a log, and a log asks for the context.
    from cbs._context import active

    return active()
