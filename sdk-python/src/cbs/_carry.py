"""Threads carry the context of the call that starts them.

Python does so itself for tasks and for `asyncio.to_thread`. Cells expect it of all threads below them: of
`threading.Thread`, and of whatever is submitted to a `ThreadPoolExecutor`, by `loop.run_in_executor` too. Outside of
calls, threads are Python's own.
"""

from __future__ import annotations

import concurrent.futures.thread as pools
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

from cbs._context import CURRENT

MARKS: list[ContextVar[Any]] = [CURRENT]
"""What a context has that is to be carried: that of a call, or of a lane of a body."""

_installed = threading.Event()


def install() -> None:
    """Set it up, once a process."""
    if _installed.is_set():
        return
    _installed.set()
    start = threading.Thread.start
    submit: Callable[..., Future[Any]] = ThreadPoolExecutor.submit

    @functools.wraps(start)
    def start_within(self: threading.Thread) -> None:
        # The threads of a pool live on: each of its tasks brings a context of its own.
        if _is_within() and getattr(self, "_target", None) is not pools._worker:
            _run_within(self)
        start(self)

    @functools.wraps(submit)
    def submit_within(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if _is_within():
            return submit(self, copy_context().run, fn, *args, **kwargs)
        return submit(self, fn, *args, **kwargs)

    threading.Thread.start = start_within  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_within  # type: ignore[method-assign, assignment]


def _is_within() -> bool:
    return any(mark.get() is not None for mark in MARKS)


def _run_within(thread: threading.Thread) -> None:
    context, run = copy_context(), thread.run

    def run_within() -> None:
        del thread.run  # or thread and context would hold each other
        context.run(run)

    thread.run = run_within  # type: ignore[method-assign]
