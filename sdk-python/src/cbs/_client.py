"""A client of NATS that goes on after what it cannot read (extra ``nats``)."""

from __future__ import annotations

import asyncio
import logging

from nats.aio.client import Client
from nats.errors import ProtocolError

_logger = logging.getLogger("cbs.bus")


class TolerantClient(Client):
    """The client, which by itself stops reading for good on a malformed header, and counts as connected."""

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except Exception as error:  # noqa: BLE001 - whatever is in it, it is one message
            _logger.warning("nats: a message with a malformed header or subject is ignored: %s", type(error).__name__)

    async def _read_loop(self) -> None:
        await super()._read_loop()
        # It has ended on something that it did not expect, and nobody else would notice; cancelled it is to end.
        task = asyncio.current_task()
        if self.is_connected and not (task and task.cancelling()):
            _logger.warning("nats: the client has stopped reading; connecting again")
            await self._process_op_err(ProtocolError())
