"""A program's way to the bus: calls, events, and listening, over NATS (extra ``nats``)."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from cbs import _frame, _names
from cbs._codec import encode_any
from cbs._context import checked_target, decode_reply
from cbs._envelope import TIMEOUT_DEFAULT, Envelope, Kind, now_ms
from cbs._errors import CellError, Code, Outcome, no_time_left, not_found, timed_out, too_large, unavailable
from cbs._event import event_headers
from cbs._events import Events
from cbs._lane import envelope_of
from cbs._message import headers_size, read_reply
from cbs._port import Incoming, Outgoing

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_T = TypeVar("_T")
_logger = logging.getLogger("cbs.bus")

URL_DEFAULT = "nats://127.0.0.1:4222"
NO_RESPONDERS_WAITS = (0.010, 0.030, 0.080)
"""How long to wait before a call that nobody was there to take is sent again: a subscription on its way to the
server's other nodes takes about so long. That nobody was there means that no cell ran."""
_CONNECT_TIMEOUT = 5.0


def connect(url: str | None = None, *, namespace: str | None = None, body: str = "", **options: Any) -> Bus:
    """Connect to the bus: ``async with cbs.connect("nats://127.0.0.1:4222") as bus: …``.

    ``url`` is by default ``NATS_URL``, else 127.0.0.1:4222; ``namespace`` ``CBS_NAMESPACE``, else
    ``default``. ``body`` is an id for what this program sends; a program that is no body has none.
    Everything else goes to `nats.connect`: ``user_credentials``, ``token``, ``tls``, …

    Entering raises ConnectionError where no server answers, ImportError without the extra ``nats``.
    """
    return Bus(
        url or os.environ.get("NATS_URL") or URL_DEFAULT,
        _names.checked("namespace", namespace or os.environ.get("CBS_NAMESPACE") or "default"),
        body and _names.checked("body", body),
        options,
    )


def new_body_id() -> str:
    """Make the id of a body: ``<host>-<6 random>``."""
    host = re.sub(r"[^a-z0-9_-]", "-", socket.gethostname().lower())[:56].strip("-") or "host"
    return f"{host}-{os.urandom(3).hex()}"


class Bus:
    """A connection to the bus of one namespace. Made by `connect`."""

    def __init__(self, url: str, namespace: str, body: str, options: Mapping[str, Any]) -> None:
        self.namespace: str = namespace
        """The namespace that names are looked up in."""
        self.body: str = body
        self.url: str = _without_secrets(url)
        self._server = url
        self._options = options
        self._id = body or new_body_id()
        self._inbox = f"_INBOX.{self._id}"
        self._expected: dict[str, asyncio.Future[Msg]] = {}
        self._number = 0
        self._nats: Client | None = None
        self.closed: asyncio.Event = asyncio.Event()
        """Set when the connection is lost for good, or closed."""

    async def __aenter__(self) -> Self:
        client = _client()
        first_error: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        async def complain(error: Exception) -> None:
            if not first_error.done():
                first_error.set_result(error)
            _logger.warning("nats: %s", _told(error))

        connecting = asyncio.create_task(
            client.connect(
                self._server,
                error_cb=complain,
                disconnected_cb=self._lost,
                reconnected_cb=self._back,
                closed_cb=self._ended,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                inbox_prefix=self._inbox,
                **{"name": self.body or "cbs-python", "connect_timeout": 2, **self._options},
            )
        )
        # The client tries for ever, which is right for a connection that was there, and wrong for a first one.
        both: set[asyncio.Future[Any]] = {connecting, first_error}
        try:
            await asyncio.wait(both, timeout=_CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancelled(connecting)
            await client.close()
            raise
        error = first_error.result() if first_error.done() else None
        if connecting.done() and error is None:
            failure = connecting.exception()
            error = failure if isinstance(failure, Exception) else None
        if not connecting.done() or error is not None:
            await _cancelled(connecting)
            if isinstance(error, ImportError):
                raise ImportError(f"{error}: credentials need nkeys: pip install 'cbs-sdk[nats]'") from None
            reason = "no answer" if error is None else _told(error)
            raise ConnectionError(
                f"no connection to {self.url}: {reason}; start a nats-server, or name another one (NATS_URL)"
            )
        self._nats = client
        self.closed.clear()  # it may have been open before
        await client.subscribe(f"{self._inbox}.*", cb=self._arrived)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; what was sent is flushed. Calls under way end with ``unavailable``."""
        client, self._nats = self._nats, None
        if client is not None:
            try:
                if client.is_connected:
                    await self._pass_barrier(client, 2.0)
            except Exception as error:  # noqa: BLE001 - it is closed one way or the other
                _logger.warning(
                    "closed before the server confirmed; recently sent messages may be lost: %s", _told(error)
                )
            await client.close()
        self._give_up()

    @property
    def client(self) -> Client:
        """The connection itself, for what this class has no word for."""
        if self._nats is None:
            raise RuntimeError("the bus is not connected: write `async with cbs.connect(…) as bus:`")
        return self._nats

    async def barrier(self, timeout: float = 5.0) -> None:
        """Wait until the server has read all that was sent before, and all that it sent before is here.

        The client's own flush proves neither: it writes its ping ahead of what still waits to be written.
        A message to the connection's own inbox comes back in order, whoever else listens.
        Raises TimeoutError, or `CellError` ``unavailable``.
        """
        await self._pass_barrier(self._up("the barrier"), timeout)

    async def _pass_barrier(self, client: Client, timeout: float) -> None:
        token, expected = self._expect()
        try:
            await client.publish(f"{self._inbox}.{token}")
            async with asyncio.timeout(timeout):
                await expected
        except _Lost:
            raise unavailable("the barrier", "the connection to NATS is lost") from None
        finally:
            self._expected.pop(token, None)

    def _expect(self) -> tuple[str, asyncio.Future[Msg]]:
        self._number += 1
        token = str(self._number)
        expected: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._expected[token] = expected
        return token, expected

    @overload
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: type[_T],
        timeout: float = TIMEOUT_DEFAULT,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> _T: ...
    @overload
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float = TIMEOUT_DEFAULT,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Any: ...
    async def call(
        self,
        target: str,
        value: Any = None,
        *,
        returns: Any = None,
        timeout: float = TIMEOUT_DEFAULT,
        idempotency_key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Any:
        """Call a cell (``logic.greet``) or run a flow (``flow greeting``) and wait for the answer.

        ``returns`` is the type to read it as; without one, JSON's own types. ``timeout`` is in seconds.
        Raises `CellError`: the cell's, or why it could not be reached, with its ``outcome``.
        """
        target = checked_target(target, {"cell", "flow"})
        payload, content_type = encode_any(value, f"the input for {target}")
        sent = Outgoing(target, payload, content_type, "", timeout, idempotency_key, False, attributes or {})
        request = envelope_of(Kind.REQUEST, sent, None, self.body)
        return decode_reply(target, await self.send(request, timeout), returns)

    async def publish(self, topic: str, value: Any = None, *, attributes: Mapping[str, str] | None = None) -> None:
        """Publish an event, as a CloudEvent that any NATS client can read. That nobody listens is no error."""
        target = checked_target("topic " + topic, {"topic"})
        payload, content_type = encode_any(value, f"the event for {target}")
        sent = Outgoing(target, payload, content_type, attributes=attributes or {})
        await self.tell(envelope_of(Kind.EVENT, sent, None, self.body))

    def events(self, topic_filter: str = ">", *, group: str = "") -> Events:
        """Listen to events on topics like ``order.created``, ``order.*``, ``order.>``.

        ``async for event in bus.events("order.*"): …``; or first ``async with bus.events(…) as events``,
        which is done when events reach it. Those who listen with one ``group`` (a cell's name) share the events.
        """
        _names.checked("topic-filter", topic_filter)
        return Events(self, topic_filter, group and _names.checked("cell", group))

    async def send(self, request: Envelope, timeout: float) -> Incoming:
        """Send a request and wait for its reply, at most ``timeout`` seconds."""
        target, deadline = request.target, time.monotonic() + timeout
        if not timeout > 0:  # NaN neither
            raise no_time_left(target)
        subject = _names.subject_of(self.namespace, target)
        request.target = ""  # the subject says it
        waits = iter(NO_RESPONDERS_WAITS)
        scope = asyncio.timeout(timeout)
        try:
            async with scope:
                while True:
                    reply = await self._send_once(target, subject, request)
                    if not _is_no_responders(reply):
                        return read_reply(reply.data, reply.headers)
                    wait = next(waits, None)
                    if wait is None:
                        raise not_found(target)
                    await asyncio.sleep(wait)
                    request.timeout_ms = max(1, round((deadline - time.monotonic()) * 1000))
                    request.time_ms = now_ms()
        except TimeoutError:
            if not scope.expired():
                raise
            raise timed_out(target, timeout) from None

    async def _send_once(self, target: str, subject: str, request: Envelope) -> Msg:
        request.check_attributes()
        frame = _frame.encode(request)
        client = self._up(target)
        if len(frame) > client.max_payload:
            raise too_large(target, len(frame), client.max_payload)
        token, expected = self._expect()
        try:
            await client.publish(subject, frame, reply=f"{self._inbox}.{token}")
            return await expected
        except _Lost:
            message = f"the connection to NATS was lost while waiting for {target}"
            error = CellError(Code.UNAVAILABLE, message, retryable=True)
            error.outcome = Outcome.UNKNOWN
            raise error from None
        finally:
            self._expected.pop(token, None)

    async def tell(self, event: Envelope) -> None:
        """Publish an envelope on its topic."""
        client = self._up(event.target)
        event.check_attributes()
        headers = event_headers(self.namespace, event)
        size = len(event.payload) + headers_size(headers)
        if size > client.max_payload:
            raise too_large(event.target, size, client.max_payload)
        await client.publish(_names.subject_of(self.namespace, event.target), event.payload, headers=headers)

    def _up(self, target: str) -> Client:
        # The client would keep what is sent now until it is connected again, and the cell would run it after
        # its caller has given up.
        if self._nats is None or not self._nats.is_connected:
            raise unavailable(target, "the connection to NATS is lost")
        return self._nats

    async def _arrived(self, reply: Msg) -> None:
        expected = self._expected.get(reply.subject.rpartition(".")[2])
        if expected is not None and not expected.done():
            expected.set_result(reply)

    async def _lost(self) -> None:
        self._give_up()

    async def _back(self) -> None:
        _logger.warning("nats: connected again to %s", self.url)

    async def _ended(self) -> None:
        self._give_up()
        self.closed.set()

    def _give_up(self) -> None:
        for expected in self._expected.values():
            if not expected.done():
                expected.set_exception(_Lost())


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended: Python 3.11's `asyncio.wait_for`, which the client uses, may swallow one."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


class _Lost(Exception):  # noqa: N818 - never leaves this file
    """The connection is lost."""


def _told(error: BaseException) -> str:
    # Some of the client's errors have no text.
    return str(error) or type(error).__name__


def _is_no_responders(message: Msg) -> bool:
    return not message.data and message.headers is not None and message.headers.get("Status") == "503"


def _client() -> Client:
    try:
        from cbs._client import TolerantClient
    except ImportError:
        raise ImportError("the bus needs nats-py: pip install 'cbs-sdk[nats]'") from None
    return TolerantClient()


def _without_secrets(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        return "the address"
