"""What a process of `multiprocessing` does before anything else: run there, in a Python of its own, with `given`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from multiprocessing import parent_process, util
from types import ModuleType
from typing import Any


def prepare(given: Mapping[str, Any]) -> None:
    """Make it what the cell's process is: the same packages, the same SDK, the cell's module by its own name."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        descriptor = given["streams"][number - 1].detach()
        os.dup2(descriptor, number)
        if descriptor != number:
            os.close(descriptor)
        # Its end may be a signal, which leaves what is begun unwritten.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _module("cbs_host_sdk", given["sdk"]).install(given["sources"])
    _module("cbs_host_modules", given["modules"]).Cell(given["file"], given["name"]).offer(given["source"])
    # Called once this process knows its parent.
    util.register_after_fork(prepare, _follow)


def _module(name: str, text: str) -> Any:
    module = sys.modules[name] = ModuleType(name)
    exec(compile(text, f"<cbs>/host/{name.rpartition('_')[2]}.py", "exec"), module.__dict__)  # noqa: S102
    return module


def _follow(_: object) -> None:
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """End with the process that started this one, also where that was killed."""
    parent.join()
    os._exit(1)
