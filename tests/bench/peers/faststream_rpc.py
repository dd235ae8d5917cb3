"""The peer that is a framework: a FastStream subscriber that answers, typed, as its handbook shows it.

    python faststream_rpc.py URL SUBJECT (pydantic|msgspec)

Its models are pydantic's unless it is told otherwise; with `msgspec` it checks by FastStream's own msgspec serializer.
Its log and its banner are off, and it has no middleware.
"""

import asyncio
import logging
import sys
from typing import Any

import msgspec
import pydantic
from fast_depends.msgspec import MsgSpecSerializer
from fast_depends.pydantic import PydanticSerializer
from faststream import FastStream
from faststream.nats import NatsBroker


class Model(pydantic.BaseModel):
    """What the cell takes and gives, for pydantic."""

    text: str


class Struct(msgspec.Struct):
    """What the cell takes and gives, for msgspec."""

    text: str


async def main(url: str, subject: str, by: str) -> None:
    """Answer until the process is ended."""
    serializer: Any = MsgSpecSerializer() if by == "msgspec" else PydanticSerializer()
    kind: Any = Struct if by == "msgspec" else Model
    broker = NatsBroker(url, serializer=serializer, logger=None)

    @broker.subscriber(subject, queue="peer")
    async def answer(request: kind) -> kind:
        return request

    await FastStream(broker, logger=None).run(log_level=logging.CRITICAL)


asyncio.run(main(*sys.argv[1:]))
