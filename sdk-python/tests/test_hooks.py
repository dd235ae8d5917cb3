"""Which functions are a module's hooks."""

from __future__ import annotations

import asyncio
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
    assert [hook.wants_state for hook in starts] == [False, True]


def test_a_hook_that_is_decorated_is_a_hook_on_either_side() -> None:
    other, module = types.ModuleType("other"), types.ModuleType("module")
    code = """
import functools
def retried(function):
    @functools.wraps(function)
    def call(*arguments):
        return function(*arguments)
    return call
"""
    exec(code, vars(other))
    vars(module)["retried"] = vars(other)["retried"]
    code = """
import cbs, functools
@cbs.start
@retried
def outside(state): state.outside = 1
@retried
@cbs.start
def inside(state): state.inside = 1
again = inside
part = cbs.start(functools.partial(lambda number, state: setattr(state, "part", number), 3))
"""
    exec(code, vars(module))
    starts, _ = hooks(module)
    state = cbs.State()
    for hook in starts:
        asyncio.run(hook.run(state))
    assert vars(state) == {"outside": 1, "inside": 1, "part": 3}
    assert len(starts) == 3


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


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("@cbs.start\ndef wrong(state):\n    yield", r"module\.py:\d+: a @cbs\.start function cannot `yield`"),
        ("@cbs.stop\nasync def wrong():\n    yield", r"module\.py:\d+: a @cbs\.stop function cannot `yield`"),
        ("import contextlib\n@cbs.start\n@contextlib.contextmanager\ndef wrong():\n    yield", "cannot `yield`"),
        ("class Store:\n    @cbs.start\n    def wrong(state): pass", r"module\.py:\d+: .* not in a class"),
        ("cbs.start([].clear)", r"module\.py:\d+: .* cannot be marked as a hook"),
    ],
)
def test_a_hook_that_would_never_run_is_refused(code: str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        exec(compile("import cbs\n" + code, "module.py", "exec"), {"__name__": "module"})


def test_one_function_may_be_both_hooks_and_decorators_stand_around_it() -> None:
    module = types.ModuleType("module")
    code = """
import cbs, functools
def counted(function):
    @functools.wraps(function)
    def call(state):
        state.counted += 1
        function(state)
    return call
@counted
@cbs.start
@cbs.stop
def both(state): state.runs += 1
"""
    exec(code, vars(module))
    starts, stops = hooks(module)
    state = cbs.State(counted=0, runs=0)
    for hook in [*starts, *stops]:
        asyncio.run(hook.run(state))
    assert vars(state) == {"counted": 2, "runs": 2}
