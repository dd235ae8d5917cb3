"""Processes of `multiprocessing` that cells start.

`fork` is refused where it is asked for: the child would have none of this process's other threads, and would wait
for their locks for ever. So `spawn` is the default method. A process that is spawned finds what belongs to the cell:
before it reads what it is to do, it gets the SDK, and the cell's module under its own name (`child.py`). What it prints
becomes lines of the log under the cell's name, and it ends with the process that started it, or with the cell.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, WeakSet

from cbs import _body

END_LIMIT = 1.0
"""Seconds that the processes of a cell have to end, all together, before they are killed."""

_texts: Mapping[str, str] = {}
_started: WeakKeyDictionary[Any, WeakSet[Any]] = WeakKeyDictionary()


def install(texts: Mapping[str, str]) -> None:
    """Set it up; the texts are those of `child`, `modules` and `sdk`."""
    global _texts  # noqa: PLW0603 - set once
    _texts = texts
    os.fork = os.forkpty = _refuse_fork
    for name, change in _CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])
    sys.meta_path.insert(0, _Changer())


def _refuse_fork() -> NoReturn:
    raise RuntimeError(
        "a cell cannot fork: the child would have none of the process's other threads; use subprocess, or "
        "multiprocessing with the start method `spawn` (the default here) or `forkserver`"
    )


class _Changer(MetaPathFinder):
    """Changes modules of `multiprocessing` when they are first imported: most cells never do."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        change = _CHANGES.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if change else None
        if change is None or spec is None or spec.loader is None:
            return None
        run, changed = spec.loader.exec_module, change

        def exec_module(module: ModuleType) -> None:
            run(module)
            changed(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _spawn_by_default(module: Any) -> None:
    module._default_context._default_context = module._concrete_contexts["spawn"]


def _bring_the_cell(module: Any) -> None:
    original = module.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        cell = _body.MODULE.get()
        if cell is not None:
            data["cbs"] = _Child(cell)
        return data

    module.get_preparation_data = get_preparation_data


_CHANGES: dict[str, Callable[[Any], None]] = {
    "multiprocessing.context": _spawn_by_default,
    "multiprocessing.spawn": _bring_the_cell,
}


class _Child:
    """Part of what a new process reads first: reading it runs `child.py` there."""

    def __init__(self, cell: Any) -> None:
        self._cell = cell

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.context import get_spawning_popen
        from multiprocessing.reduction import DupFd

        popen = get_spawning_popen()
        if popen is None:
            raise TypeError("it is for a process that is being started")
        _know(self._cell, popen)
        given = {
            **_texts,
            "sources": sys.modules["cbs_host_sdk"].SOURCES,
            "name": self._cell.name,
            "file": str(self._cell.file),
            "source": self._cell.source,
            # Not those that a cell has put in their place for a while.
            "streams": [DupFd(stream.fileno()) for stream in (sys.__stdout__, sys.__stderr__) if stream],
        }
        return exec, (_texts["child"] + "\nprepare(given)\n", {"__name__": "cbs_host_child", "given": given})


def _know(cell: Any, popen: Any) -> None:
    if cell not in _started:
        _started[cell] = WeakSet()
        cell.at_end(lambda: _end(cell))
    _started[cell].add(popen)


def _end(cell: Any) -> None:
    """End what a cell has left behind: a process that does not end when it is asked to is killed."""
    left = [popen for popen in _started.pop(cell, ()) if popen.poll() is None]
    for popen in left:
        popen.terminate()
    stubborn = _living_after_limit(left)
    for popen in stubborn:
        popen.kill()
    living = _living_after_limit(stubborn)
    if left:
        logging.getLogger("cbs").warning("the cell left %d processes behind; they are ended", len(left))
    if living:
        pids = ", ".join(str(popen.pid) for popen in living)
        logging.getLogger("cbs").error("these processes of the cell have not ended: %s", pids)


def _living_after_limit(processes: list[Any]) -> list[Any]:
    """Wait for the end of all of them, for `END_LIMIT`; return those that have not ended."""
    until = time.monotonic() + END_LIMIT
    # `wait` would have no limit where a process has closed the pipe by which its end is seen.
    while (living := [popen for popen in processes if popen.poll() is None]) and time.monotonic() < until:
        time.sleep(0.01)
    return living
