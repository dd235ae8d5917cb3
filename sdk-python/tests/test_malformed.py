"""Messages that a NATS client cannot read: the server passes them on."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import cbs
from serving import serving


@cbs.cell("logic.echo")
async def echo(value: Any) -> Any:
    return value


MALFORMED = [
    b"\xff\xff\xff\xff",
    b"NATS/9.9\r\n\r\n",
    b"\r\n\r\n",
    b"x",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\n: no name\r\n\r\n",
    b"NATS/1.0\r\nA\xff: x\r\n\r\n",
    b"NATS/1.0\r\nA: \xff\r\n\r\n",
    b"NATS/1.0\r\nA: x\ry\r\n\r\n",
    b"NATS/1.0 abc\r\n\r\n",
]
"""Headers that are none: the server passes them on."""


async def test_a_message_that_cannot_be_read_costs_nobody_else_an_answer(nats_url: str) -> None:
    async with serving(nats_url, echo) as served, served.bus.events("order.>"):
        url = urlsplit(nats_url)
        _, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(b'CONNECT {"headers":true,"verbose":false}\r\n')
        for header in MALFORMED:
            for name in ("cell.logic.echo", "event.order.x"):
                subject = f"cbs.{served.namespace}.{name}".encode()
                size = str(len(header)).encode()
                writer.write(b"HPUB " + subject + b" r.x " + size + b" " + size + b"\r\n" + header + b"\r\n")
                writer.write(b"PUB " + subject + b" r\xff 1\r\n1\r\n")
            await writer.drain()
            assert await served.bus.call("logic.echo", 1, timeout=2) == 1, header
        writer.close()
