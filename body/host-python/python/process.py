"""What is set once for the whole interpreter: where prints and logs go, and what a fork may do."""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from cbs import _body, _log
from cbs._context import CURRENT, CallInfo, Context

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LINE_MAX = 8192
"""Characters of one printed line that go to the log."""

_FORKED = (
    b"cbs: a cell has forked its body past `os.fork`; the child ends here, for it has none of the body's other "
    b"threads: use subprocess, or multiprocessing with the method `spawn`\n"
)


def _call() -> Any:
    found = CURRENT.get()
    return found._info if isinstance(found, Context) else found


class Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr`: lines become lines of the body's log, under the cell that printed them."""

    encoding = "utf-8"
    errors = "replace"
    mode = "w"
    line_buffering = True
    write_through = False

    def __init__(self, name: str, unknown: Callable[[int, str, str], None]) -> None:
        self._name = name
        self._unknown = unknown
        self._begun = threading.local()
        self._pipes: WeakKeyDictionary[Any, _Pipe] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self.buffer = Bytes(self)

    def reconfigure(self, **_: object) -> None:
        """Change nothing: it takes all text, and every line is written at its end."""

    def fileno(self) -> int:
        """Return a descriptor for other processes: lines that come there are the cell's too, until the cell ends."""
        cell: Any = _body.MODULE.get()
        with self._lock:
            pipe = self._pipes.get(cell or self)
            if pipe is None:
                pipe = self._pipes[cell or self] = _Pipe(self.buffer)
                if cell is not None:
                    cell.at_end(pipe.end)
        return pipe.writes

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


class Bytes(io.BufferedIOBase):
    """The `buffer` of a stream: bytes are text in UTF-8."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._begun = threading.local()

    @property
    def name(self) -> str:
        """As of the stream."""
        return self._stream.name

    def writable(self) -> bool:
        """It takes bytes."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write text, but for a character whose end is still to come."""
        with memoryview(data).cast("B") as view:
            self._stream.write(self._decoder().decode(view))
            return view.nbytes

    def flush(self) -> None:
        """Log what is begun."""
        self._stream.write(self._decoder().decode(b"", final=True))
        self._stream.flush()

    def fileno(self) -> int:
        """As of the stream."""
        return self._stream.fileno()

    def _decoder(self) -> codecs.IncrementalDecoder:
        found: codecs.IncrementalDecoder | None = getattr(self._begun, "decoder", None)
        if found is None:
            found = self._begun.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return found


class _Pipe:
    """What other processes write to: a thread reads it, for the lane that has asked for it."""

    def __init__(self, buffer: Bytes) -> None:
        self._reads, self.writes = os.pipe()
        self._ended = False
        lane = _body.LANE.get()
        threading.Thread(target=self._live, args=(buffer, lane), name="cbs-pipe", daemon=True).start()

    def _live(self, buffer: Bytes, lane: Any) -> None:
        _body.LANE.set(lane)
        CURRENT.set(None)  # lines of other processes belong to no call
        while not self._ended and (data := os.read(self._reads, 65536)):
            buffer.write(data)
        buffer.flush()
        os.close(self._reads)

    def end(self) -> None:
        """Read no more. Others may have the descriptor still: so their end is not waited for."""
        self._ended = True
        try:
            os.write(self.writes, b"\n")
        except BrokenPipeError:
            pass  # the reader was awake: it has seen the end, and has gone
        finally:
            os.close(self.writes)


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
    # Also those that libraries put back.
    sys.stdout = sys.__stdout__ = Stream("stdout", unknown)  # type: ignore[assignment, misc]
    sys.stderr = sys.__stderr__ = Stream("stderr", unknown)  # type: ignore[assignment, misc]
    # A body's input is not its cells'.
    sys.stdin = sys.__stdin__ = open(os.devnull, encoding="utf-8")  # type: ignore[misc]  # noqa: SIM115, PTH123
    root = logging.getLogger()
    root.addHandler(_log.BodyHandler(Outside(unknown)))  # type: ignore[arg-type]
    root.setLevel(level)
    logging.captureWarnings(True)
    os.register_at_fork(after_in_child=_forked)


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
