"""The threads on which a lane runs the calls of a `def` cell."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextvars import copy_context

from cbs._native import NativeCall

THREADS_MAX = 8
"""How many calls of a `def` cell one lane runs at once; also the most threads of `asyncio.to_thread`."""

SWEEP_MIN = 64
"""With fewer calls that wait for a thread it is not worth looking which of them were given up."""


class Threads:
    """Threads of their own for `def` cells: started when needed, never more than `THREADS_MAX`."""

    def __init__(self, work: Callable[[NativeCall], None]) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[NativeCall | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0
        self._started = 0
        self._sweep_at = SWEEP_MIN

    def put(self, calls: list[NativeCall]) -> None:
        """Run these when a thread is free."""
        if self._queue.qsize() >= self._sweep_at:
            self._sweep()
        for call in calls:
            with self._lock:
                self._free -= 1
                start = self._free < 0 and self._started < THREADS_MAX
                self._started += start
            self._queue.put(call)
            if start:
                threading.Thread(target=self._live, name=f"cbs-def-{self._started}", daemon=True).start()

    def _sweep(self) -> None:
        """Throw out the calls that were given up: where all threads are stuck, nobody comes to take them."""
        kept: list[NativeCall | None] = []
        try:
            while True:
                call = self._queue.get_nowait()
                if call is None or call.waits():
                    kept.append(call)
                else:
                    with self._lock:
                        self._free += 1
        except queue.Empty:
            self._sweep_at = max(SWEEP_MIN, 2 * len(kept))
        for call in kept:
            self._queue.put(call)

    def stop(self) -> None:
        """End the threads; one that is in a call ends after it."""
        for _ in range(self._started):
            self._queue.put(None)

    def _live(self) -> None:
        while True:
            with self._lock:
                self._free += 1
            call = self._queue.get()
            if call is None:
                return
            copy_context().run(self._work, call)
            del call
