"""A lane: one event loop that runs the cells of some modules, with their hooks and state.

The test body and the stand-alone program each have one. A body of CBS has lanes of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from cbs import _carry
from cbs._cell import Definition, definition, definitions
from cbs._codec import checked
from cbs._context import CURRENT, Context
from cbs._envelope import TIMEOUT_DEFAULT, Envelope, Kind, id_text, new_id, trace_text, trace_within
from cbs._errors import CellError, EncodeError, cell_failed, overloaded, timed_out
from cbs._hooks import State, hooks
from cbs._log import ids_of
from cbs._port import Incoming, Outgoing, Port

_logger = logging.getLogger("cbs")

_TIMEOUT_MOST = 365 * 86400.0
"""What is said of a longer timeout, in seconds."""
THREADS = 64
"""How many ``def`` cells run at once in a lane; a thread is made when it is first needed."""


class Call:
    """What is said about one call (`cbs._context.CallInfo`), read from its envelope when somebody asks."""

    __slots__ = ("body", "cell", "config", "deadline", "request", "revision", "span")

    def __init__(
        self, request: Envelope, cell: str, body: str, deadline: float, config: Mapping[str, Any] | None = None
    ) -> None:
        self.request = request
        self.cell = cell
        self.body = body
        self.revision = ""
        self.deadline = deadline
        self.config: Mapping[str, Any] = config or {}
        self.span: Any = None
        """What a test reads of what is said about it; nobody else does."""

    @property
    def id(self) -> str:
        """The request's id."""
        return id_text(self.request.id)

    @property
    def correlation_id(self) -> str:
        """The id of the request that began it all."""
        return id_text(self.request.correlation)

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self.request.attempt + 1

    @property
    def caller(self) -> str:
        """The cell or flow that made the call."""
        return self.request.source[1]

    @property
    def traceparent(self) -> str:
        """The position in the trace that this call's own requests carry."""
        return trace_text(trace_within(self.request))

    @property
    def sampled(self) -> bool:
        """Whether the call is recorded however it goes."""
        return bool(self.request.trace) and self.request.trace[24] & 1 == 1

    @property
    def tracestate(self) -> str:
        """W3C tracestate, as it came."""
        return self.request.tracestate

    @property
    def attributes(self) -> Mapping[str, str]:
        """What else came with the request; of a key that came twice, the last."""
        return dict(self.request.attributes)


def envelope_of(kind: Kind, sent: Outgoing, within: Call | None, body: str) -> Envelope:
    """Make what goes out from what a cell sends: ids, trace and remaining time come from the call it handles."""
    envelope = Envelope(kind, sent.payload)
    envelope.id = new_id()
    envelope.target = sent.target
    envelope.content_type = sent.content_type
    envelope.schema = sent.schema
    envelope.idempotency_key = sent.idempotency_key
    envelope.attributes = list(sent.attributes.items())
    envelope.source = (body, "", "")
    if sent.timeout is not None:
        # Rounded up: a call with half a millisecond left is not one without a limit.
        envelope.timeout_ms = max(1, math.ceil(min(_TIMEOUT_MOST, sent.timeout) * 1000))
    if within is not None:
        envelope.correlation_id = within.request.correlation
        envelope.causation_id = within.request.id
        envelope.source = (body, f"cell {within.cell}", within.revision)
        envelope.tracestate = within.request.tracestate
        if within.request.trace:
            envelope.trace = trace_within(within.request)
    return envelope


class Lane:
    """Cells by their names, and the modules that they come from."""

    def __init__(self, sources: Iterable[ModuleType | Callable[..., Any]], threads: int = THREADS) -> None:
        _carry.install()
        self.cells: dict[str, tuple[Definition, State]] = {}
        self._states: dict[int, State] = {}
        self._modules: list[ModuleType] = []
        self._started: list[ModuleType] = []
        # A cell sees nothing of its caller's context variables, for they may be far apart.
        self._base = contextvars.copy_context()
        self._threads = _threads(threads)
        self._threads_max = threads
        self._blocking: set[int] = set()
        # Of those, the ones whose callers have given up.
        self._hanging: set[int] = set()
        # Cells that did not end when they were told to: kept, for the loop holds tasks weakly.
        self._lingering: set[asyncio.Future[Any]] = set()
        for source in sources:
            if isinstance(source, ModuleType):
                found = definitions(vars(source).values())
                if not found:
                    raise ValueError(f"the module `{source.__name__}` has no cells: decorate a function with @cbs.cell")
                self._know(source)
                for each in found:
                    self._add(each)
            else:
                self._add(definition(source))

    def _add(self, found: Definition) -> None:
        if found.name is None:
            name = getattr(found.function, "__name__", repr(found.function))
            raise ValueError(f"`{name}` has no name as a cell: decorate it with @cbs.cell")
        known = self.cells.get(found.name)
        if known is not None and known[0].function is not found.function:
            raise ValueError(f"two functions are called `{found.name}`: a name is one cell's")
        module = sys.modules.get(found.function.__module__)
        self.cells[found.name] = (found, self._know(module) if module is not None else State())

    def _know(self, module: ModuleType) -> State:
        if id(module) not in self._states:
            self._states[id(module)] = State()
            self._modules.append(module)
        return self._states[id(module)]

    def state_of(self, module: ModuleType) -> State:
        """Return what a module's hooks and cells share here."""
        return self._states[id(module)]

    async def start(self) -> None:
        """Run the modules' start hooks. Where one fails, the modules before it are stopped again, and it raises."""
        try:
            for module in self._modules:
                for hook in hooks(module)[0]:
                    await hook.run(self.state_of(module))
                # After its hooks, as a body does: a stop hook may rely on all that the start hooks make.
                self._started.append(module)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Run the stop hooks, the last module's first. One that fails is logged, and the others run."""
        while self._started:
            module = self._started.pop()
            for hook in hooks(module)[1]:
                try:
                    await hook.run(self.state_of(module))
                except Exception:
                    _logger.exception("a stop hook of %s failed", module.__name__)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = _threads(self._threads_max)  # it may be started again

    @property
    def blocking(self) -> int:
        """How many ``def`` cells are at work on their threads, those included whose callers have given up."""
        return len(self._blocking)

    async def _on_thread(self, call: Call, found: Definition, context: Context | None, value: Any) -> Any:
        if len(self._hanging) >= self._threads_max:
            # No thread comes back for it, and what waits for one would pile up.
            raise overloaded(f"cell {call.cell}")
        loop, within, thread = asyncio.get_running_loop(), contextvars.copy_context(), _Thread()
        try:
            return await loop.run_in_executor(self._threads, within.run, self._block, thread, found, context, value)
        except asyncio.CancelledError:
            if thread.ident in self._blocking:
                self._hanging.add(thread.ident)
            raise

    def _block(self, thread: _Thread, found: Definition, context: Context | None, value: Any) -> Any:
        thread.ident = threading.get_ident()
        self._blocking.add(thread.ident)
        try:
            return found.invoke(context, value)
        except StopIteration as error:
            # A future cannot hold it: its waiter would hear nothing.
            raise RuntimeError("the cell raised StopIteration") from error
        finally:
            self._blocking.discard(thread.ident)
            self._hanging.discard(thread.ident)

    async def answer(self, call: Call, port: Port, found: Definition, state: State) -> Incoming:
        """Run a cell within its call's deadline.

        Raises `CellError`: the cell's own, ``bad-request``, ``timeout``, or ``cell-failed`` for what is
        none, which the log has under the call's id.
        """
        request = call.request
        # A task of its own: what the cell sets in its context is the call's alone, and a cell that does
        # not end when it is told to costs its caller no more than the deadline.
        context, loop = self._base.copy(), asyncio.get_running_loop()
        context.run(CURRENT.set, lambda: Context(call, port, state, loop))
        if found.never_suspends:
            try:
                return context.run(_finish, self._guarded(call, port, found, state))
            except (asyncio.CancelledError, GeneratorExit) as error:
                raise _failed(call, error) from None
        task = asyncio.create_task(self._guarded(call, port, found, state), context=context)
        try:
            await asyncio.wait({task}, timeout=max(0.0, call.deadline - time.monotonic()))
        except asyncio.CancelledError:
            self._give_up(task)
            raise
        if not task.done():
            self._give_up(task)
            raise timed_out(f"cell {call.cell}", (request.timeout_ms or TIMEOUT_DEFAULT * 1000) / 1000)
        try:
            return task.result()
        except (asyncio.CancelledError, GeneratorExit) as error:
            raise _failed(call, error) from None

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._lingering.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Future[Any]) -> None:
        self._lingering.discard(task)
        if not task.cancelled():
            task.exception()  # asked for, else Python warns that nobody did

    async def _guarded(self, call: Call, port: Port, found: Definition, state: State) -> Incoming:
        try:
            value = found.decode(call.request.payload, call.request.content_type)
            context = Context(call, port, state) if found.wants_context else None
            if context is not None:
                CURRENT.set(context)
            if found.is_async:
                value = await found.invoke(context, value)
            else:
                value = await self._on_thread(call, found, context, value)
            payload, content_type = found.encode(value)
            return Incoming(payload, content_type)
        except CellError as error:
            try:
                raise checked(error)
            except EncodeError as wrong:
                raise _failed(call, wrong) from None
        except (asyncio.CancelledError, GeneratorExit):
            raise  # perhaps the host's word, not the cell's
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises costs its own caller
            raise _failed(call, error) from None


def _threads(most: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(most, thread_name_prefix="cbs")  # each is started when it is first needed


class _Thread:
    """Which thread runs a call; 0 before one does."""

    ident = 0


def _failed(call: Call, error: BaseException) -> CellError:
    """Log what is no `CellError`, and return what the caller gets: the message never leaves, it may be a secret."""
    logging.getLogger(call.cell).error("the cell failed", exc_info=error, extra=ids_of(call))
    return cell_failed(call.id)


def _finish(coroutine: Any) -> Incoming:
    """Run a coroutine that has no place to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        answer: Incoming = done.value
        return answer
    coroutine.close()
    raise AssertionError("a coroutine without a place to wait waits")
