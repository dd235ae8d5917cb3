"""What is set once for the whole interpreter: where prints and logs go, and what a fork may do."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from cbs import _body, _log
from cbs._context import CURRENT, CallInfo, Context

LINE_MAX = 8192
"""Characters of one printed line that go to the log."""

_FORKED = (
    b"cbs: a cell has forked its body; the child ends here, for it has none of the body's other threads: "
    b"use subprocess, or multiprocessing with the method `spawn`\n"
)


def _call() -> Any:
    found = CURRENT.get()
    return found._info if isinstance(found, Context) else found


class Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr`: lines become lines of the body's log, under the cell that printed them."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name: str, unknown: Callable[[int, str, str], None]) -> None:
        self._name = name
        self._unknown = unknown
        self._begun = threading.local()

    @property
    def name(self) -> str:
        """As of the streams that it stands for."""
        return f"<{self._name}>"

    def writable(self) -> bool:
        """It takes text."""
        return True

    def write(self, text: str) -> int:
        """Log every line that this ends; keep what is begun, per thread."""
        begun: str = getattr(self._begun, "text", "")
        *lines, rest = (begun + text).split("\n")
        if len(rest) > LINE_MAX:
            lines.append(rest)
            rest = ""
        self._begun.text = rest
        for line in lines:
            self._say(line)
        return len(text)

    def flush(self) -> None:
        """Log what is begun."""
        rest: str = getattr(self._begun, "text", "")
        if rest:
            self._begun.text = ""
            self._say(rest)

    def _say(self, line: str) -> None:
        if not line:
            return
        if len(line) > LINE_MAX:
            line = f"{line[:LINE_MAX]}… ({len(line) - LINE_MAX} characters more)"
        lane = _body.LANE.get()
        if lane is None:
            self._unknown(20, self._name, line)
        else:
            lane.printed(_call(), self._name, line)  # type: ignore[attr-defined]


class Outside:
    """Where records go that no call made: to the lane whose code made them, else to the body's log alone."""

    def __init__(self, unknown: Callable[[int, str, str], None]) -> None:
        self._unknown = unknown

    def log(self, info: CallInfo | None, level: int, logger: str, message: str, fields: Mapping[str, str]) -> None:
        """Write to the body's log."""
        lane = _body.LANE.get()
        if lane is not None:
            lane.log(info, level, logger, message, fields)
            return
        for key, value in fields.items():
            message += f"\n{value}" if key == "exception" else f" {key}={value}"
        self._unknown(level, logger, message)


def install(unknown: Callable[[int, str, str], None], level: int) -> None:
    """Set it all up; `unknown` logs what belongs to no cell: level, logger, message."""
    sys.stdout = Stream("stdout", unknown)
    sys.stderr = Stream("stderr", unknown)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_Nothing()))
    root = logging.getLogger()
    root.addHandler(_log.BodyHandler(Outside(unknown)))  # type: ignore[arg-type]
    root.setLevel(level)
    logging.captureWarnings(True)
    os.register_at_fork(after_in_child=_forked)


class _Nothing(io.RawIOBase):
    """An input at its end: a body's is not its cells'."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Any) -> int:
        return 0


def _forked() -> None:
    frame: FrameType | None = sys._getframe(1)
    # `subprocess` with a `preexec_fn` runs this too, and replaces the child at once.
    if frame is not None and frame.f_code.co_name == "_execute_child":
        return
    os.write(2, _FORKED)
    os._exit(70)


def places(thread: int, folder: str) -> str | None:
    """Return where a thread stands now; `None` where it has gone."""
    frame = sys._current_frames().get(thread)
    return None if frame is None else _body.place_of(frame, folder)
