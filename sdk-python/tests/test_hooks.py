"""Which functions are a module's hooks."""

from __future__ import annotations

import types

import pytest

import cbs
from cbs._hooks import hooks
from cells import shop


def test_hooks_stand_in_order_and_stops_in_reverse() -> None:
    module = types.ModuleType("module")
    code = """
import cbs
@cbs.start
def one(): pass
@cbs.start
async def two(state): pass
@cbs.stop
def three(): pass
@cbs.stop
def four(state): pass
"""
    exec(code, vars(module))
    starts, stops = hooks(module)
    assert [hook.function.__name__ for hook in starts] == ["one", "two"]
    assert [hook.function.__name__ for hook in stops] == ["four", "three"]
    assert [(hook.is_async, hook.wants_state) for hook in starts] == [(False, False), (True, True)]


def test_what_a_module_has_imported_is_not_its_own() -> None:
    module = types.ModuleType("module")
    vars(module).update(open_store=shop.open_store, close_store=shop.close_store)
    assert hooks(module) == ([], [])


def test_a_hook_takes_nothing_or_the_state() -> None:
    with pytest.raises(TypeError, match=r"test_hooks\.py:\d+: a @cbs\.start function takes nothing or the state"):

        @cbs.start
        def wrong(state: cbs.State, more: int) -> None:
            pass


def test_a_state_says_what_it_lacks() -> None:
    state = cbs.State()
    state.pool = 1
    assert state.pool == 1
    with pytest.raises(AttributeError, match="the state has no `database`; a `@cbs.start` function sets it"):  # noqa: RUF043
        _ = state.database
