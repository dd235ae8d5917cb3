"""What runs before a module's first call and after its last one, and the state that they share with the cells."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FrameType, ModuleType, SimpleNamespace
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

    __slots__ = ("function", "owner", "wants_state")

    def __init__(self, function: Callable[..., Any], wants_state: bool, owner: dict[str, Any] | None = None) -> None:
        self.function = function
        self.wants_state = wants_state
        # The names of the module that it is written in: what decorates it may come from another one.
        self.owner = owner

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
    return _mark(function, "start", sys._getframe(1))


def stop(function: _F) -> _F:
    """Mark a function of a module that runs once in each lane after the module's last call.

    It runs only where all start hooks of the module have succeeded.
    """
    return _mark(function, "stop", sys._getframe(1))


def _mark(function: _F, kind: str, around: FrameType) -> _F:
    place = f"{around.f_code.co_filename}:{around.f_lineno}"
    parameters = list(inspect.signature(function).parameters.values())
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if len(parameters) > 1 or any(parameter.kind not in positional for parameter in parameters):
        name = getattr(function, "__name__", "hook")
        raise TypeError(
            f"{place}: a @cbs.{kind} function takes nothing or the state: write `{name}()` or "
            f"`{name}(state: cbs.State)`"
        )
    inner = inspect.unwrap(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(
            f"{place}: a @cbs.{kind} function cannot `yield`: what stands before the `yield` belongs into a @cbs.start "
            "function, what stands after it into a @cbs.stop function"
        )
    if "__qualname__" in around.f_locals and around.f_locals is not around.f_globals:
        raise TypeError(f"{place}: a @cbs.{kind} function stands in a module, not in a class: nobody would run it")
    known = getattr(function, "__dict__", {}).get(_MARK, {})
    try:
        setattr(function, _MARK, {**known, kind: Hook(function, bool(parameters), around.f_globals)})
    except AttributeError:
        raise TypeError(f"{place}: `{function!r}` cannot be marked as a hook: call it from a `def`") from None
    return function


def hooks(module: ModuleType) -> tuple[list[Hook], list[Hook]]:
    """Return a module's own start hooks in the order they stand there, and its stop hooks in the reverse order.

    What a module has merely imported is not its own.
    """
    found: dict[str, dict[int, Hook]] = {"start": {}, "stop": {}}
    for value in list(vars(module).values()):
        # Not through the type: a mock, or a class with a `__getattr__`, has whatever it is asked for.
        for kind, hook in getattr(value, "__dict__", {}).get(_MARK, {}).items():
            if hook.owner is not vars(module):
                continue
            if value is hook.function:
                found[kind][id(hook)] = hook
            else:
                # `functools.wraps` has copied the mark: a decorator above `@cbs.start` stands around the hook.
                found[kind].setdefault(id(hook), Hook(value, hook.wants_state, hook.owner))
    return list(found["start"].values()), list(found["stop"].values())[::-1]
