"""What runs before a module's first call and after its last one, and the state that they share with the cells."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, TypeVar

_MARK = "__cbs_hook__"
_F = TypeVar("_F", bound=Callable[..., Any])


class State(SimpleNamespace):
    """What a module's cells share in one lane: a connection pool, a model, a cache.

    Each lane (one thread with one event loop, or one process) has a state of its own for each
    module; nothing in it needs a lock as long as only ``async def`` cells use it.
    """

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the state has no `{name}`; a `@cbs.start` function sets it: state.{name} = …")


class Hook:
    """A function marked with `start` or `stop`."""

    __slots__ = ("function", "is_async", "wants_state")

    def __init__(self, function: Callable[..., Any], wants_state: bool) -> None:
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.wants_state = wants_state

    async def run(self, state: State) -> None:
        """Run it on this event loop; a ``def`` runs in place, for what it makes may belong to this thread."""
        done = self.function(state) if self.wants_state else self.function()
        if inspect.isawaitable(done):
            await done


def start(function: _F) -> _F:
    """Mark a function of a module that runs once in each lane before the module's first call.

    It takes nothing or the `State`; ``async def`` or ``def``. What it raises keeps the module's
    cells from serving; the body tries again with backoff.
    """
    return _mark(function, "start")


def stop(function: _F) -> _F:
    """Mark a function of a module that runs once in each lane after the module's last call."""
    return _mark(function, "stop")


def _mark(function: _F, kind: str) -> _F:
    parameters = list(inspect.signature(function).parameters.values())
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if len(parameters) > 1 or any(parameter.kind not in positional for parameter in parameters):
        code = function.__code__
        raise TypeError(
            f"{code.co_filename}:{code.co_firstlineno}: a @cbs.{kind} function takes nothing or the state: "
            f"write `{function.__name__}()` or `{function.__name__}(state: cbs.State)`"
        )
    setattr(function, _MARK, (kind, Hook(function, bool(parameters))))
    return function


def hooks(module: ModuleType) -> tuple[list[Hook], list[Hook]]:
    """Return a module's own start hooks in the order they stand there, and its stop hooks in the reverse order.

    What a module has merely imported is not its own.
    """
    found: dict[str, list[Hook]] = {"start": [], "stop": []}
    for value in list(vars(module).values()):
        marked = getattr(value, _MARK, None) if isinstance(value, FunctionType) else None
        if marked is not None and value.__globals__ is vars(module):
            kind, hook = marked
            found[kind].append(hook)
    return found["start"], found["stop"][::-1]
