"""The peer that has no framework: a nats-py subscriber that reads and writes the JSON that the cell does.

    python nats_py.py URL SUBJECT

As fast as it can be written: msgspec for the JSON, no header, no envelope, no deadline, one publish a reply.
"""

import asyncio
import sys

import msgspec
import nats
from nats.aio.msg import Msg


class Text(msgspec.Struct):
    """What the cell takes and gives."""

    text: str


async def main(url: str, subject: str) -> None:
    """Answer until the process is ended."""
    client = await nats.connect(url)
    read, write = msgspec.json.Decoder(Text).decode, msgspec.json.Encoder().encode

    async def answer(request: Msg) -> None:
        await client.publish(request.reply, write(read(request.data)))

    await client.subscribe(subject, queue="peer", cb=answer)
    await client.flush()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
