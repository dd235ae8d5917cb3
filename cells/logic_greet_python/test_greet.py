"""The greeting without a server."""

import asyncio

import greet
import pytest
from cbs import CellError
from cbs.testing import TestBody


def test_a_name_becomes_a_greeting() -> None:
    async def story() -> None:
        async with TestBody(greet) as body:
            assert await body.call("logic.greet", {"name": "Ada"}) == {"text": "Hello, Ada!"}

    asyncio.run(story())


def test_a_shy_one_says_so_in_its_span() -> None:
    async def story() -> None:
        async with TestBody(greet, config={"logic.greet": {"shy": True}}) as body:
            with pytest.raises(CellError, match="too shy"):
                await body.call("logic.greet", {"name": "Ada"})
            assert [span.events for span in body.spans("logic.greet")] == [[("too shy", {"attempt": "1"})]]

    asyncio.run(story())


def test_what_is_no_name_is_a_bad_request() -> None:
    async def story() -> None:
        async with TestBody(greet) as body:
            with pytest.raises(CellError) as caught:
                await body.call("logic.greet", {"name": 7})
            assert caught.value.code == "bad-request"

    asyncio.run(story())
