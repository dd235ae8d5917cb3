"""What the body that embeds an interpreter runs its lanes with; its own tests, in Rust, have the rest."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from cbs._body import Lane
from cbs._cell import definition


class OneCall:
    """A call as the body hands it over."""

    content_type = ""

    def claim(self) -> bytes:
        return b"null"


def test_what_a_cell_sets_in_its_context_is_the_calls_alone() -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")

    async def cell() -> str:
        before = user.get()
        user.set("Ada")
        return before

    answers: list[Any] = []
    native: Any = SimpleNamespace(settle=lambda *_: None, finish=answers.extend)
    loop = asyncio.new_event_loop()
    try:
        lane = Lane(native, loop)
        lane._cell = definition(cell)
        assert lane._cell.never_suspends
        calls: list[Any] = [OneCall(), OneCall()]
        lane._call_at_once(calls)
        lane._flush()
        assert answers[1::3] == [b'"nobody"', b'"nobody"']
        assert user.get() == "nobody"
    finally:
        loop.close()
